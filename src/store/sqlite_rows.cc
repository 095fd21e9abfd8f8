// SPDX-License-Identifier: Apache-2.0
#include "src/store/sqlite_rows.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

std::optional<absl::Time> OptionalTime(const SqliteDatabase::Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return absl::FromUnixNanos(row.Integer(column));
}

// A number that is not listed stays what it is, and is refused where it is used; one that does not
// fit must not become a listed one by losing its upper half.
TokenKind KindFromRow(int64_t value) {
  return value >= 0 && value <= INT32_MAX ? static_cast<TokenKind>(value)
                                          : v1::TOKEN_KIND_UNSPECIFIED;
}

std::vector<std::string> SplitWords(const std::string& words) {
  return absl::StrSplit(words, ' ', absl::SkipEmpty());
}

}  // namespace

InviteRecord InviteFromRow(const SqliteDatabase::Statement& row) {
  InviteRecord invite;
  invite.id = row.Bytes(0);
  invite.public_key = row.Bytes(1);
  invite.subject = row.Bytes(2);
  invite.roles = SplitWords(row.Bytes(3));
  for (const std::string& kind : SplitWords(row.Bytes(4))) {
    // A kind that does not read is one that no token has, so that "only these" never becomes "any".
    int64_t value = 0;
    invite.kinds.push_back(KindFromRow(absl::SimpleAtoi(kind, &value) ? value : 0));
  }
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

std::string JoinWords(const std::vector<std::string>& words) { return absl::StrJoin(words, " "); }
std::string JoinKinds(const std::vector<TokenKind>& kinds) {
  return absl::StrJoin(std::vector<int>(kinds.begin(), kinds.end()), " ");
}

std::vector<std::string> SortedOnce(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

absl::Status CheckNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!IsWellFormedSubject(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CEscape(name), "\" is no well-formed name"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInviteShape(const InviteRecord& invite) {
  FOREKEY_RETURN_IF_ERROR(CheckNames({invite.subject}));
  FOREKEY_RETURN_IF_ERROR(CheckNames(invite.roles));
  if (invite.public_key.size() != 32 || invite.id != Sha256(invite.public_key)) {
    return absl::InvalidArgumentError("an invite's id is the SHA-256 of its 32-byte public key");
  }
  return absl::OkStatus();
}

absl::Status CheckCredentialShape(const CredentialRecord& credential) {
  FOREKEY_RETURN_IF_ERROR(CheckNames({credential.subject}));
  // Factors have the alphabet of names: "piv+pin", "tpm".
  FOREKEY_RETURN_IF_ERROR(CheckNames(credential.factors));
  if (credential.id.size() != kCredentialIdSize) {
    return absl::InvalidArgumentError("a credential's id has 32 bytes");
  }
  if (credential.spki.empty()) return absl::InvalidArgumentError("a credential has a key");
  if (credential.revoked_at) return absl::InvalidArgumentError("a new credential is not revoked");
  return absl::OkStatus();
}

}  // namespace forekey
