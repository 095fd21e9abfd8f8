// SPDX-License-Identifier: Apache-2.0
// The registry's schema in PostgreSQL, and how older ones become it. Everything lies in the schema
// "forekey" of one database; another gate takes another database.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_SCHEMA_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_SCHEMA_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "src/store/postgres/postgres_connection.h"

namespace forekey {

// Step i takes a registry from version i to i + 1. A step that was released is never changed.
absl::Span<const char* const> PostgresSchemaSteps();

// Brings the database to version steps.size(): one transaction under an advisory lock, so that of
// several programs that start at once one does it and the others find it done. Changes nothing, and
// needs no right to, where the version is that already. Refuses (kStoreUnavailable) a newer
// version, another program's schema, and says what to run where this role may not make tables.
absl::Status MigratePostgresSchema(PostgresConnection& connection,
                                   absl::Span<const char* const> steps, const Deadline& deadline);

// What the gate's role needs, and no more, as one statement after the other: to read and change
// rows, and not to make, alter or drop tables.
absl::Status GrantPostgresRights(PostgresConnection& connection, const std::string& role,
                                 const Deadline& deadline);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_SCHEMA_H_
