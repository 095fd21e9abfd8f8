// SPDX-License-Identifier: Apache-2.0
#include "src/store/postgres/postgres_rows.h"

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "src/store/record_shapes.h"

namespace forekey {
namespace {

std::optional<absl::Time> OptionalTimeAt(const PostgresRows& rows, int row, int column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return absl::FromUnixNanos(rows.Int(row, column));
}

}  // namespace

std::string PostgresList(absl::Span<const std::string> items) {
  return absl::StrJoin(items, ",", [](std::string* out, const std::string& item) {
    out->append(absl::BytesToHexString(item));
  });
}

std::vector<InviteRecord> PostgresInvites(const PostgresRows& rows) {
  std::vector<InviteRecord> invites;
  for (int row = 0; row < rows.size(); ++row) {
    InviteRecord& invite = invites.emplace_back();
    invite.id = rows.Bytes(row, 0);
    invite.public_key = rows.Bytes(row, 1);
    invite.subject = rows.Bytes(row, 2);
    invite.roles = SplitWords(rows.Bytes(row, 3));
    invite.kinds = SplitKinds(rows.Bytes(row, 4));
    invite.pinned_device = rows.Bytes(row, 5);
    invite.replaces_credential = rows.Bytes(row, 6);
    invite.created_at = absl::FromUnixNanos(rows.Int(row, 7));
    invite.expires_at = absl::FromUnixNanos(rows.Int(row, 8));
    invite.used_at = OptionalTimeAt(rows, row, 9);
  }
  return invites;
}

std::vector<CredentialRecord> PostgresCredentials(const PostgresRows& rows) {
  std::vector<CredentialRecord> credentials;
  for (int row = 0; row < rows.size(); ++row) {
    CredentialRecord& credential = credentials.emplace_back();
    credential.id = rows.Bytes(row, 0);
    credential.subject = rows.Bytes(row, 1);
    credential.kind = KindFromRow(rows.Int(row, 2));
    credential.algorithm = static_cast<int>(rows.Int(row, 3));
    credential.sign_count = static_cast<uint32_t>(rows.Int(row, 4));
    credential.enrolled_at = absl::FromUnixNanos(rows.Int(row, 5));
    credential.revoked_at = OptionalTimeAt(rows, row, 6);
    credential.revocation_note = rows.Bytes(row, 7);
    credential.spki = rows.Bytes(row, 8);
    credential.label = rows.Bytes(row, 9);
    credential.device_id = rows.Bytes(row, 10);
    credential.factors = SplitWords(rows.Bytes(row, 11));
    credential.rp_id = rows.Bytes(row, 12);
    credential.origin = rows.Bytes(row, 13);
    credential.proved_json = rows.Bytes(row, 14);
    credential.evidence = rows.Bytes(row, 15);
  }
  return credentials;
}

std::vector<SubjectRecord> PostgresSubjects(const PostgresRows& rows) {
  std::vector<SubjectRecord> subjects;
  for (int row = 0; row < rows.size(); ++row) {
    std::string name = rows.Bytes(row, 0);
    if (subjects.empty() || subjects.back().name != name) {
      SubjectRecord& subject = subjects.emplace_back();
      subject.name = std::move(name);
      subject.disabled = rows.Int(row, 1) != 0;
      subject.created_at = absl::FromUnixNanos(rows.Int(row, 2));
      subject.sessions_epoch = static_cast<uint64_t>(rows.Int(row, 4));
      subject.factors_epoch = static_cast<uint64_t>(rows.Int(row, 5));
    }
    if (!rows.IsNull(row, 3)) subjects.back().roles.push_back(rows.Bytes(row, 3));
  }
  return subjects;
}

}  // namespace forekey
