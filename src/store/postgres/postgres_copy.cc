// SPDX-License-Identifier: Apache-2.0
#include "src/store/postgres/postgres_copy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/store/postgres/postgres_pool.h"
#include "src/store/postgres/postgres_schema.h"
#include "src/store/postgres/postgres_steps.h"

namespace forekey {
namespace {

constexpr absl::Duration kConnectPatience = absl::Seconds(15);
// For one statement of a copy: it may sort a table.
constexpr absl::Duration kCopyPatience = absl::Minutes(10);
constexpr int kCopyPage = 200;

absl::StatusOr<std::unique_ptr<PostgresConnection>> OpenPrepared(const std::string& url) {
  FOREKEY_ASSIGN_OR_RETURN(auto connection,
                           PostgresConnection::Open(url, PostgresConnection::Role::kOwner,
                                                    Deadline::In(kConnectPatience)));
  FOREKEY_RETURN_IF_ERROR(
      MigratePostgresSchema(*connection, PostgresSchemaSteps(), Deadline::In(kCopyPatience)));
  return connection;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresCopyEnd>> PostgresCopyEnd::Open(const std::string& url) {
  FOREKEY_ASSIGN_OR_RETURN(auto connection, OpenPrepared(url));
  FOREKEY_RETURN_IF_ERROR(AwaitNoReplica(*connection));
  FOREKEY_RETURN_IF_ERROR(connection->Execute(
      absl::StrCat("BEGIN READ WRITE; SELECT pg_advisory_xact_lock(", kPostgresLockClass, ", ",
                   static_cast<int>(PostgresLock::kChanges), ")"),
      Deadline::In(kConnectPatience)));
  FOREKEY_ASSIGN_OR_RETURN(const PostgresRows replicas,
                           connection->Query("SELECT name FROM replicas", PostgresValues(),
                                             Deadline::In(kConnectPatience)));
  if (!replicas.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the replica ", replicas.Bytes(0, 0), " runs on this registry: stop every gate first"));
  }
  return std::unique_ptr<PostgresCopyEnd>(new PostgresCopyEnd(std::move(connection)));
}

absl::Status PostgresCopyEnd::ReadRows(const CopyTable& table,
                                       absl::FunctionRef<absl::Status(const CopyRow&)> take) {
  const std::string cursor = absl::StrCat("copy_", table.name);
  FOREKEY_RETURN_IF_ERROR(connection_->Execute(
      absl::StrCat("DECLARE ", cursor, " BINARY CURSOR FOR ", CopySelect(table)),
      Deadline::In(kCopyPatience)));
  const std::string fetch = absl::StrCat("FETCH ", kCopyPage, " FROM ", cursor);
  absl::Status status;
  for (bool more = true; more && status.ok();) {
    FOREKEY_ASSIGN_OR_RETURN(const PostgresRows rows,
                             connection_->QueryOnce(fetch, Deadline::In(kCopyPatience)));
    more = !rows.empty();
    for (int index = 0; index < rows.size() && status.ok(); ++index) {
      CopyRow row;
      for (int column = 0; column < static_cast<int>(table.columns.size()); ++column) {
        if (rows.IsNull(index, column)) {
          row.emplace_back();
        } else if (table.columns[column].type == CopyTable::Type::kInteger) {
          row.emplace_back(rows.Int(index, column));
        } else {
          row.emplace_back(rows.Bytes(index, column));
        }
      }
      status = take(row);
    }
  }
  if (!connection_->broken()) {
    (void)connection_->Execute(absl::StrCat("CLOSE ", cursor), Deadline::In(kCopyPatience));
  }
  return status;
}

absl::Status PostgresCopyEnd::WriteRow(const CopyTable& table, const CopyRow& row) {
  PostgresValues values;
  for (size_t column = 0; column < row.size(); ++column) {
    const CopyValue& value = row[column];
    const CopyTable::Type type = table.columns[column].type;
    if (type == CopyTable::Type::kInteger) {
      value ? values.Int(std::get<int64_t>(*value)) : values.NullInt();
    } else if (type == CopyTable::Type::kText) {
      value ? values.Text(std::get<std::string>(*value)) : values.NullText();
    } else {
      value ? values.Bytes(std::get<std::string>(*value)) : values.NullBytes();
    }
  }
  const absl::Status status =
      connection_->Query(CopyInsert(table, '$'), values, Deadline::In(kCopyPatience)).status();
  if (absl::IsInvalidArgument(status)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a row of ", table.name,
                     " has text that PostgreSQL can't hold (a NUL byte, or "
                     "not UTF-8): ",
                     status.message()));
  }
  return status;
}

absl::Status PostgresCopyEnd::Commit() {
  // The next subject must not get a number that was copied.
  FOREKEY_RETURN_IF_ERROR(connection_->Execute(
      "SELECT setval(pg_get_serial_sequence('forekey.subjects', 'id'), (SELECT coalesce(max(id), "
      "0) + 1 FROM subjects), false)",
      Deadline::In(kCopyPatience)));
  (void)connection_->TakeWarning();
  FOREKEY_RETURN_IF_ERROR(connection_->Execute("COMMIT", Deadline::In(kCopyPatience)));
  if (connection_->TakeWarning()) {
    return absl::UnknownError("COMMIT gave a warning: look whether the copy is there");
  }
  return absl::OkStatus();
}

absl::Status PreparePostgres(const std::string& url, const std::string& role) {
  FOREKEY_ASSIGN_OR_RETURN(auto connection, OpenPrepared(url));
  if (role.empty()) return absl::OkStatus();
  return GrantPostgresRights(*connection, role, Deadline::In(kConnectPatience));
}

}  // namespace forekey
