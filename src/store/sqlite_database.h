// SPDX-License-Identifier: Apache-2.0
// One SQLite connection: statements prepared once, transactions that roll back unless committed,
// and SQLite's result codes as kStoreUnavailable with what to do about them. Used by one thread at
// a time: the owner's mutex sees to that.
#ifndef FOREKEY_SRC_STORE_SQLITE_DATABASE_H_
#define FOREKEY_SRC_STORE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// An advisory lock (flock) that lasts as long as this object and the process.
class FileLock {
 public:
  FileLock() = default;  // holds nothing
  // kStoreUnavailable naming the process that holds it, and what to do.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

// Refuses (kStoreUnavailable) a file that is not regular, not this user's, or open to others. OK
// where there is none.
absl::Status CheckPrivateFile(const std::string& path);

class SqliteDatabase {
 public:
  // A cached statement in use: parameters are bound one after the other, and it is reset when this
  // goes. At most one use of the same statement at a time.
  class Statement {
   public:
    Statement(SqliteDatabase* database, sqlite3_stmt* statement)
        : database_(database), statement_(statement) {}
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&&) = delete;
    ~Statement();

    // The bytes are borrowed until this object goes.
    Statement& Blob(absl::string_view bytes);
    Statement& Text(absl::string_view text);
    Statement& Int(int64_t value);
    Statement& Null();

    // True: there is a row; false: done.
    absl::StatusOr<bool> Step();
    // Runs to the end, ignoring rows.
    absl::Status Run();

    std::string Bytes(int column) const;  // TEXT or BLOB; empty for NULL
    int64_t Integer(int column) const { return sqlite3_column_int64(statement_, column); }
    bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

   private:
    void Bound(int result);
    SqliteDatabase* database_;
    sqlite3_stmt* statement_;
    int parameter_ = 0;
    int bind_result_ = SQLITE_OK;
  };

  // BEGIN IMMEDIATE ... COMMIT, or ROLLBACK when it goes without Commit() having succeeded.
  class Transaction {
   public:
    static absl::StatusOr<Transaction> Begin(SqliteDatabase* database);
    Transaction(Transaction&& other) noexcept;
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    absl::Status Commit();

   private:
    explicit Transaction(SqliteDatabase* database) : database_(database) {}
    SqliteDatabase* database_;
  };

  // The file must exist. Sets the pragmas that sqlite_registry.h promises.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path,
                                                              bool read_only);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  // `sql`: one statement, a string literal (the cache is keyed by its text).
  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  // Several statements, uncached, no parameters.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<int64_t> QueryInteger(const std::string& sql);
  // Rows changed by the statement that ran last.
  int64_t Changes() const { return sqlite3_changes64(connection_); }

  const std::string& path() const { return path_; }
  sqlite3* connection() { return connection_; }
  // What `result` (of `call`) means, for the person who must repair it.
  absl::Status Error(int result, absl::string_view call) const;

 private:
  SqliteDatabase(std::string path, sqlite3* connection)
      : path_(std::move(path)), connection_(connection) {}

  std::string path_;
  sqlite3* connection_;
  absl::flat_hash_map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SQLITE_DATABASE_H_
