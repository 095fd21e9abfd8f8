// SPDX-License-Identifier: Apache-2.0
// A SQLite registry as one end of a copy (src/store/registry_copy.h).
#ifndef FOREKEY_SRC_STORE_SQLITE_COPY_H_
#define FOREKEY_SRC_STORE_SQLITE_COPY_H_

#include <memory>
#include <string>

#include "src/store/registry_copy.h"
#include "src/store/sqlite_database.h"
#include "src/store/sqlite_registry.h"

namespace forekey {

class SqliteCopyEnd final : public RegistryCopyEnd {
 public:
  // Makes the file where there is none. Errors: those of SqliteRegistry::Open; a gate that runs
  // holds it.
  static absl::StatusOr<std::unique_ptr<SqliteCopyEnd>> Open(const std::string& path);

  absl::Status ReadRows(const CopyTable& table,
                        absl::FunctionRef<absl::Status(const CopyRow&)> take) override;
  absl::Status WriteRow(const CopyTable& table, const CopyRow& row) override;
  absl::Status Commit() override;

 private:
  SqliteCopyEnd(std::unique_ptr<SqliteRegistry> registry, std::unique_ptr<SqliteDatabase> database,
                SqliteDatabase::Transaction transaction)
      : registry_(std::move(registry)),
        database_(std::move(database)),
        transaction_(std::move(transaction)) {}

  const std::unique_ptr<SqliteRegistry> registry_;  // holds the lock of the file
  const std::unique_ptr<SqliteDatabase> database_;
  SqliteDatabase::Transaction transaction_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SQLITE_COPY_H_
