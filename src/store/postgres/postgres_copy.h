// SPDX-License-Identifier: Apache-2.0
// A registry in PostgreSQL as one end of a copy (src/store/registry_copy.h), and its preparation.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_COPY_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_COPY_H_

#include <memory>
#include <string>
#include <utility>

#include "src/store/postgres/postgres_connection.h"
#include "src/store/registry_copy.h"

namespace forekey {

class PostgresCopyEnd final : public RegistryCopyEnd {
 public:
  // Makes the schema where there is none. One transaction, which holds the lock of changes until it
  // ends: no replica can join and nothing is changed meanwhile. FailedPrecondition while a replica
  // runs: one that was not heard of is waited for, as long as its lease, to see whether it is gone.
  static absl::StatusOr<std::unique_ptr<PostgresCopyEnd>> Open(const std::string& url);

  absl::Status ReadRows(const CopyTable& table,
                        absl::FunctionRef<absl::Status(const CopyRow&)> take) override;
  absl::Status WriteRow(const CopyTable& table, const CopyRow& row) override;
  absl::Status Commit() override;

 private:
  explicit PostgresCopyEnd(std::unique_ptr<PostgresConnection> connection)
      : connection_(std::move(connection)) {}
  const std::unique_ptr<PostgresConnection> connection_;
};

// Makes the schema or brings it up, and grants `role` (none where it is empty) what a gate needs.
absl::Status PreparePostgres(const std::string& url, const std::string& role);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_COPY_H_
