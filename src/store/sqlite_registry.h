// The embedded registry: one SQLite file (WAL, synchronous=FULL, foreign keys), mode 0600, in a folder
// that only its owner may enter. `PRAGMA user_version` is the schema's version; older schemas are
// migrated in one transaction at opening, newer ones are refused.
#ifndef FOREKEY_SRC_STORE_SQLITE_REGISTRY_H_
#define FOREKEY_SRC_STORE_SQLITE_REGISTRY_H_

#include <memory>
#include <string>

#include "src/store/registry.h"

namespace forekey {

struct SqliteRegistryOptions {
  // The gate holds the file exclusively (an advisory lock beside it), so that a tool can't change
  // what a running gate believes; tools open it the same way and fail clearly while a gate runs.
  bool exclusive = true;
};

absl::StatusOr<std::unique_ptr<Registry>> OpenSqliteRegistry(const std::string& path,
                                                             const SqliteRegistryOptions& options = {});

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SQLITE_REGISTRY_H_
