// SPDX-License-Identifier: Apache-2.0
// Records of src/store/registry.h as rows of the schema.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_ROWS_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_ROWS_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/store/postgres/postgres_connection.h"
#include "src/store/registry.h"

namespace forekey {

// What the functions below read, in their order of columns.
inline constexpr absl::string_view kPostgresInvite =
    "SELECT id, public_key, subject, roles, kinds, pinned_device, replaces_credential, created_at, "
    "expires_at, used_at FROM invites";
inline constexpr absl::string_view kPostgresSubject =
    "SELECT s.name, s.disabled, s.created_at, r.role, s.sessions_epoch, s.factors_epoch FROM "
    "subjects s LEFT JOIN subject_roles r ON r.subject_id = s.id";
inline constexpr absl::string_view kPostgresCredential =
    "SELECT c.id, s.name, c.kind, c.algorithm, c.sign_count, c.enrolled_at, c.revoked_at, "
    "c.revocation_note, c.spki, c.label, c.device_id, c.factors, c.rp_id, c.origin, c.proved_json, "
    "c.evidence FROM credentials c JOIN subjects s ON s.id = c.subject_id";

// What a statement's $1 holds: any number of byte strings, or of texts. It is PostgresList()'s.
inline constexpr absl::string_view kPostgresBytesOfList =
    "(SELECT decode(one, 'hex') FROM unnest(string_to_array($1, ',')) AS list (one))";
inline constexpr absl::string_view kPostgresTextsOfList =
    "(SELECT convert_from(decode(one, 'hex'), 'UTF8') FROM unnest(string_to_array($1, ',')) AS "
    "list (one))";
std::string PostgresList(absl::Span<const std::string> items);

std::vector<InviteRecord> PostgresInvites(const PostgresRows& rows);
std::vector<CredentialRecord> PostgresCredentials(const PostgresRows& rows);
// Rows of one subject follow each other, a row a role.
std::vector<SubjectRecord> PostgresSubjects(const PostgresRows& rows);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_ROWS_H_
