// SPDX-License-Identifier: Apache-2.0
// The registry's schema and how older ones become it.
#ifndef FOREKEY_SRC_STORE_SQLITE_SCHEMA_H_
#define FOREKEY_SRC_STORE_SQLITE_SCHEMA_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "src/store/sqlite_database.h"

namespace forekey {

// Marks the file as Forekey's ("FKEY"), so that another program's database is never taken for one.
inline constexpr int32_t kRegistryApplicationId = 0x464b4559;

// Step i takes a file from version i to i + 1. A step that was released is never changed.
absl::Span<const char* const> RegistrySchemaSteps();

// Brings the file to version steps.size(), a transaction a step, so that a failure leaves the file
// at a version that is whole. Refuses (kStoreUnavailable) a newer version and another program's
// file.
absl::Status MigrateSchema(SqliteDatabase* database, absl::Span<const char* const> steps);

// The same checks, for who may not write: the version must be steps.size() exactly.
absl::Status CheckSchema(SqliteDatabase* database, absl::Span<const char* const> steps);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SQLITE_SCHEMA_H_
