// SPDX-License-Identifier: Apache-2.0
#include "src/store/sqlite_copy.h"

#include <string>
#include <utility>

#include "src/base/status.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<SqliteCopyEnd>> SqliteCopyEnd::Open(const std::string& path) {
  // Makes it, migrates it, and takes its lock.
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<SqliteRegistry> registry, SqliteRegistry::Open(path));
  FOREKEY_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path, /*read_only=*/false));
  FOREKEY_ASSIGN_OR_RETURN(auto transaction, SqliteDatabase::Transaction::Begin(database.get()));
  return std::unique_ptr<SqliteCopyEnd>(
      new SqliteCopyEnd(std::move(registry), std::move(database), std::move(transaction)));
}

absl::Status SqliteCopyEnd::ReadRows(const CopyTable& table,
                                     absl::FunctionRef<absl::Status(const CopyRow&)> take) {
  FOREKEY_ASSIGN_OR_RETURN(auto rows, database_->Prepare(CopySelect(table)));
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(const bool there, rows.Step());
    if (!there) return absl::OkStatus();
    CopyRow row;
    for (int column = 0; column < static_cast<int>(table.columns.size()); ++column) {
      if (rows.IsNull(column)) {
        row.emplace_back();
      } else if (table.columns[column].type == CopyTable::Type::kInteger) {
        row.emplace_back(rows.Integer(column));
      } else {
        row.emplace_back(rows.Bytes(column));
      }
    }
    FOREKEY_RETURN_IF_ERROR(take(row));
  }
}

absl::Status SqliteCopyEnd::WriteRow(const CopyTable& table, const CopyRow& row) {
  FOREKEY_ASSIGN_OR_RETURN(auto insert, database_->Prepare(CopyInsert(table, '?')));
  for (size_t column = 0; column < row.size(); ++column) {
    const CopyValue& value = row[column];
    if (!value) {
      insert.Null();
    } else if (const int64_t* number = std::get_if<int64_t>(&*value)) {
      insert.Int(*number);
    } else if (table.columns[column].type == CopyTable::Type::kText) {
      insert.Text(std::get<std::string>(*value));
    } else {
      insert.Blob(std::get<std::string>(*value));
    }
  }
  return insert.Run();
}

absl::Status SqliteCopyEnd::Commit() { return transaction_.Commit(); }

}  // namespace forekey
