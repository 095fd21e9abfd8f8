// SPDX-License-Identifier: Apache-2.0
// Records of src/store/registry.h as rows of the schema.
#ifndef FOREKEY_SRC_STORE_SQLITE_ROWS_H_
#define FOREKEY_SRC_STORE_SQLITE_ROWS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/store/registry.h"
#include "src/store/sqlite_database.h"

namespace forekey {

// What InviteFromRow, SubjectsFromRows and CredentialFromRow read, in their order of columns.
inline constexpr absl::string_view kSelectInvite =
    "SELECT id, public_key, subject, roles, kinds, pinned_device, replaces_credential, created_at, "
    "expires_at, used_at FROM invites";
inline constexpr absl::string_view kSelectSubject =
    "SELECT s.name, s.disabled, s.created_at, r.role, s.sessions_epoch, s.factors_epoch FROM "
    "subjects s LEFT JOIN subject_roles r ON r.subject_id = s.id";
inline constexpr absl::string_view kSelectCredential =
    "SELECT c.id, s.name, c.kind, c.algorithm, c.sign_count, c.enrolled_at, c.revoked_at, "
    "c.revocation_note, c.spki, c.label, c.device_id, c.factors, c.rp_id, c.origin, c.proved_json, "
    "c.evidence FROM credentials c JOIN subjects s ON s.id = c.subject_id";

InviteRecord InviteFromRow(const SqliteDatabase::Statement& row);
CredentialRecord CredentialFromRow(const SqliteDatabase::Statement& row);
// Rows of one subject follow each other, a row a role.
absl::StatusOr<std::vector<SubjectRecord>> SubjectsFromRows(SqliteDatabase::Statement& rows);

// NULL where empty.
void BindOptionalBlob(SqliteDatabase::Statement& statement, absl::string_view bytes);
void BindOptionalTime(SqliteDatabase::Statement& statement, const std::optional<absl::Time>& time);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SQLITE_ROWS_H_
