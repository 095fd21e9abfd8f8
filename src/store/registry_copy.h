// SPDX-License-Identifier: Apache-2.0
// Moves a registry from one store to another, row for row, and checks that it came whole.
//
// The tables and columns are the same in every store (src/store/sqlite_schema.h,
// src/store/postgres/postgres_schema.h). What is not moved is what belongs to a store alone: its
// schema's version, and what replicas tell each other.
#ifndef FOREKEY_SRC_STORE_REGISTRY_COPY_H_
#define FOREKEY_SRC_STORE_REGISTRY_COPY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace forekey {

struct CopyTable {
  enum class Type { kInteger, kText, kBytes };
  struct Column {
    const char* name;
    Type type;
  };
  const char* name;
  std::vector<Column> columns;
  const char* order;  // ORDER BY, the same in every store
};
// In an order in which they can be written: what is referred to comes first.
absl::Span<const CopyTable> CopyTables();
// "SELECT a, b FROM name ORDER BY ...", and "INSERT INTO name (a, b) VALUES ($1, $2)" with this
// sign before each number.
std::string CopySelect(const CopyTable& table);
std::string CopyInsert(const CopyTable& table, char sign);

using CopyValue = std::optional<std::variant<int64_t, std::string>>;  // empty: NULL
using CopyRow = std::vector<CopyValue>;

// One end of a copy: a registry that nobody else changes while this lives.
class RegistryCopyEnd {
 public:
  virtual ~RegistryCopyEnd() = default;
  // Every row, in the table's order. An error of `take` ends it, and is returned.
  virtual absl::Status ReadRows(const CopyTable& table,
                                absl::FunctionRef<absl::Status(const CopyRow&)> take) = 0;
  virtual absl::Status WriteRow(const CopyTable& table, const CopyRow& row) = 0;
  // Nothing that was written is there before this returned OK.
  virtual absl::Status Commit() = 0;
};

struct CopiedTable {
  std::string name;
  uint64_t rows = 0;
};

// Copies everything into `to`, which must be empty (FailedPrecondition), reads both ends again and
// compares every row (DataLoss, naming the table and the row), then commits.
absl::StatusOr<std::vector<CopiedTable>> CopyRegistry(RegistryCopyEnd& from, RegistryCopyEnd& to);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_REGISTRY_COPY_H_
