// SPDX-License-Identifier: Apache-2.0
#include "src/store/sqlite_rows.h"

#include "src/base/status.h"
#include "src/store/record_shapes.h"

namespace forekey {
namespace {

std::optional<absl::Time> OptionalTime(const SqliteDatabase::Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return absl::FromUnixNanos(row.Integer(column));
}

}  // namespace

InviteRecord InviteFromRow(const SqliteDatabase::Statement& row) {
  InviteRecord invite;
  invite.id = row.Bytes(0);
  invite.public_key = row.Bytes(1);
  invite.subject = row.Bytes(2);
  invite.roles = SplitWords(row.Bytes(3));
  invite.kinds = SplitKinds(row.Bytes(4));
  invite.pinned_device = row.Bytes(5);
  invite.replaces_credential = row.Bytes(6);
  invite.created_at = absl::FromUnixNanos(row.Integer(7));
  invite.expires_at = absl::FromUnixNanos(row.Integer(8));
  invite.used_at = OptionalTime(row, 9);
  return invite;
}

CredentialRecord CredentialFromRow(const SqliteDatabase::Statement& row) {
  CredentialRecord credential;
  credential.id = row.Bytes(0);
  credential.subject = row.Bytes(1);
  credential.kind = KindFromRow(row.Integer(2));
  credential.algorithm = static_cast<int>(row.Integer(3));
  credential.sign_count = static_cast<uint32_t>(row.Integer(4));
  credential.enrolled_at = absl::FromUnixNanos(row.Integer(5));
  credential.revoked_at = OptionalTime(row, 6);
  credential.revocation_note = row.Bytes(7);
  credential.spki = row.Bytes(8);
  credential.label = row.Bytes(9);
  credential.device_id = row.Bytes(10);
  credential.factors = SplitWords(row.Bytes(11));
  credential.rp_id = row.Bytes(12);
  credential.origin = row.Bytes(13);
  credential.proved_json = row.Bytes(14);
  credential.evidence = row.Bytes(15);
  return credential;
}

absl::StatusOr<std::vector<SubjectRecord>> SubjectsFromRows(SqliteDatabase::Statement& rows) {
  std::vector<SubjectRecord> subjects;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(bool row, rows.Step());
    if (!row) return subjects;
    std::string name = rows.Bytes(0);
    if (subjects.empty() || subjects.back().name != name) {
      SubjectRecord& subject = subjects.emplace_back();
      subject.name = std::move(name);
      subject.disabled = rows.Integer(1) != 0;
      subject.created_at = absl::FromUnixNanos(rows.Integer(2));
    }
    subjects.back().sessions_epoch = static_cast<uint64_t>(rows.Integer(4));
    subjects.back().factors_epoch = static_cast<uint64_t>(rows.Integer(5));
    if (!rows.IsNull(3)) subjects.back().roles.push_back(rows.Bytes(3));
  }
}

void BindOptionalBlob(SqliteDatabase::Statement& statement, absl::string_view bytes) {
  if (bytes.empty()) {
    statement.Null();
  } else {
    statement.Blob(bytes);
  }
}

void BindOptionalTime(SqliteDatabase::Statement& statement, const std::optional<absl::Time>& time) {
  if (time) {
    statement.Int(absl::ToUnixNanos(*time));
  } else {
    statement.Null();
  }
}

}  // namespace forekey
