// SPDX-License-Identifier: Apache-2.0
#include "src/store/sqlite_schema.h"

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Times are Unix nanoseconds; lists are words with one space between (their alphabet has no space).
// Evidence comes last in its row: SQLite reads a row's overflow pages only as far as it must.
constexpr const char* kSteps[] = {
    R"sql(
CREATE TABLE subjects (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE subject_roles (
  subject_id INTEGER NOT NULL REFERENCES subjects (id),
  role TEXT NOT NULL,
  PRIMARY KEY (subject_id, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  subject_id INTEGER NOT NULL REFERENCES subjects (id),
  spki_sha256 BLOB NOT NULL UNIQUE CHECK (length(spki_sha256) = 32),
  kind INTEGER NOT NULL,
  algorithm INTEGER NOT NULL,
  sign_count INTEGER NOT NULL CHECK (sign_count BETWEEN 0 AND 4294967295),
  enrolled_at INTEGER NOT NULL,
  revoked_at INTEGER,
  revocation_note TEXT NOT NULL,
  spki BLOB NOT NULL,
  label TEXT NOT NULL,
  device_id BLOB,
  factors TEXT NOT NULL,
  rp_id TEXT NOT NULL,
  origin TEXT NOT NULL,
  proved_json TEXT NOT NULL,
  evidence BLOB NOT NULL
) STRICT;
CREATE INDEX credentials_by_subject ON credentials (subject_id);
CREATE INDEX credentials_by_device ON credentials (device_id) WHERE device_id IS NOT NULL;

CREATE TABLE invites (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  public_key BLOB NOT NULL CHECK (length(public_key) = 32),
  subject TEXT NOT NULL,
  roles TEXT NOT NULL,
  kinds TEXT NOT NULL,
  pinned_device BLOB,
  replaces_credential BLOB REFERENCES credentials (id),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER
) STRICT;
CREATE INDEX invites_by_replaced ON invites (replaces_credential)
  WHERE replaces_credential IS NOT NULL;
)sql",
    R"sql(
CREATE TABLE passwords (
  subject_id INTEGER PRIMARY KEY REFERENCES subjects (id),
  hash TEXT NOT NULL,
  set_at INTEGER NOT NULL
) STRICT;
)sql",
    R"sql(
CREATE TABLE oidc_identities (
  subject_id INTEGER PRIMARY KEY REFERENCES subjects (id),
  issuer TEXT NOT NULL,
  claim TEXT NOT NULL,
  identity TEXT NOT NULL,
  set_at INTEGER NOT NULL
) STRICT;

CREATE TABLE used_id_tokens (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  good_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_id_tokens_by_time ON used_id_tokens (good_until);
)sql",
    R"sql(
CREATE TABLE factor_tries (
  credential_id BLOB NOT NULL REFERENCES credentials (id),
  factor TEXT NOT NULL,
  used INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (credential_id, factor)
) STRICT, WITHOUT ROWID;
)sql",
    R"sql(
CREATE TABLE identities (
  subject_id INTEGER NOT NULL REFERENCES subjects (id),
  issuer TEXT NOT NULL,
  claim TEXT NOT NULL,
  identity TEXT NOT NULL,
  set_at INTEGER NOT NULL,
  PRIMARY KEY (subject_id, issuer)
) STRICT, WITHOUT ROWID;
INSERT INTO identities SELECT subject_id, issuer, claim, identity, set_at FROM oidc_identities;
DROP TABLE oidc_identities;
ALTER TABLE identities RENAME TO oidc_identities;
)sql",
    R"sql(
ALTER TABLE subjects ADD COLUMN sessions_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subjects ADD COLUMN factors_epoch INTEGER NOT NULL DEFAULT 0;

CREATE TABLE session_families (
  family BLOB NOT NULL PRIMARY KEY CHECK (length(family) = 16),
  serial INTEGER NOT NULL,
  ended INTEGER NOT NULL CHECK (ended IN (0, 1)),
  good_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_families_by_time ON session_families (good_until);

CREATE TABLE ticket_state (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  version INTEGER NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
)sql",
    R"sql(
ALTER TABLE subjects ADD COLUMN tickets_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session_families ADD COLUMN subject_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX session_families_by_subject ON session_families (subject_id, ended);
)sql",
};

absl::Status Unavailable(const SqliteDatabase& database, absl::string_view detail) {
  return Refuse(Reason::kStoreUnavailable, absl::StrCat(database.path(), ": ", detail));
}

// The version that the file has. 0: it is new and empty.
absl::StatusOr<int64_t> VersionOf(SqliteDatabase* database, size_t supported) {
  FOREKEY_ASSIGN_OR_RETURN(int64_t application, database->QueryInteger("PRAGMA application_id"));
  FOREKEY_ASSIGN_OR_RETURN(int64_t version, database->QueryInteger("PRAGMA user_version"));
  if (application != kRegistryApplicationId) {
    FOREKEY_ASSIGN_OR_RETURN(int64_t objects,
                             database->QueryInteger("SELECT count(*) FROM sqlite_schema"));
    if (application != 0 || version != 0 || objects != 0) {
      return Unavailable(*database, "this is another program's database, not a registry");
    }
  }
  if (version < 0 || static_cast<uint64_t>(version) > supported) {
    return Unavailable(
        *database,
        absl::StrCat("its schema has version ", version, ", this program knows up to ", supported,
                     ": use the release of Forekey that wrote it, or a newer one"));
  }
  return version;
}

}  // namespace

absl::Span<const char* const> RegistrySchemaSteps() { return kSteps; }

absl::Status MigrateSchema(SqliteDatabase* database, absl::Span<const char* const> steps) {
  FOREKEY_ASSIGN_OR_RETURN(int64_t version, VersionOf(database, steps.size()));
  for (; static_cast<size_t>(version) < steps.size(); ++version) {
    FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database));
    FOREKEY_RETURN_IF_ERROR(database->Execute(steps[version]));
    FOREKEY_RETURN_IF_ERROR(database->Execute(absl::StrCat(
        "PRAGMA application_id=", kRegistryApplicationId, "; PRAGMA user_version=", version + 1)));
    FOREKEY_RETURN_IF_ERROR(transaction.Commit());
  }
  return absl::OkStatus();
}

absl::Status CheckSchema(SqliteDatabase* database, absl::Span<const char* const> steps) {
  FOREKEY_ASSIGN_OR_RETURN(int64_t version, VersionOf(database, steps.size()));
  if (static_cast<size_t>(version) == steps.size()) return absl::OkStatus();
  return Unavailable(*database, absl::StrCat("its schema has version ", version, ", older than ",
                                             steps.size(), ": start the gate once to bring it up"));
}

}  // namespace forekey
