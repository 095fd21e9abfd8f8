// SPDX-License-Identifier: Apache-2.0
#include "src/store/sqlite_database.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// How long a call waits for another program (a person with sqlite3, a backup tool) to let go.
constexpr int kBusyTimeoutMs = 2000;

absl::Status Unavailable(absl::string_view detail) {
  return Refuse(Reason::kStoreUnavailable, detail);
}

absl::string_view Advice(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
      return "the disk or the registry's allowed size is full: make room; nothing was changed";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "the file is damaged or is no registry: keep it aside and restore a backup";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program holds the file: let it finish";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return "this user must own the file and its folder, and may write both";
    case SQLITE_IOERR:
      return "the file system refused to read or write: look at the disk, its quota and the "
             "kernel's "
             "log; nothing was changed";
    default:
      return "nothing was changed";
  }
}

std::string HolderOf(int fd) {
  char buffer[32];
  ssize_t size = pread(fd, buffer, sizeof(buffer), 0);
  int64_t pid;
  if (size <= 0 || !absl::SimpleAtoi(absl::string_view(buffer, size), &pid))
    return "another process";
  return absl::StrCat("process ", pid);
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Unavailable(absl::ErrnoToStatus(errno, absl::StrCat("open ", path)).message());
  }
  FileLock lock(fd);
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno != EWOULDBLOCK) {
      return Unavailable(absl::ErrnoToStatus(errno, absl::StrCat("flock ", path)).message());
    }
    return Unavailable(absl::StrCat("the registry is in use by ", HolderOf(fd), " (lock file ",
                                    path, "): stop it first, or change the registry through it"));
  }
  // The pid is only for the message above; the lock itself is the kernel's and dies with its
  // holder.
  std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) != ssize_t(pid.size())) {
    return Unavailable(absl::ErrnoToStatus(errno, absl::StrCat("write ", path)).message());
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

absl::Status CheckPrivateFile(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return Unavailable(absl::ErrnoToStatus(errno, absl::StrCat("stat ", path)).message());
  }
  if (!S_ISREG(info.st_mode)) return Unavailable(absl::StrCat(path, " is not a regular file"));
  if (info.st_uid != geteuid()) {
    return Unavailable(
        absl::StrCat(path, " belongs to uid ", info.st_uid, ", not to uid ", geteuid()));
  }
  if ((info.st_mode & 077) != 0) {
    return Unavailable(absl::StrFormat("%s is open to others (mode %04o): run chmod 600 %s", path,
                                       info.st_mode & 07777, path));
  }
  return absl::OkStatus();
}

SqliteDatabase::Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      parameter_(other.parameter_),
      bind_result_(other.bind_result_) {}

SqliteDatabase::Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void SqliteDatabase::Statement::Bound(int result) {
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
}

// SQLite takes a null pointer for NULL, and an empty view may have one.
SqliteDatabase::Statement& SqliteDatabase::Statement::Blob(absl::string_view bytes) {
  Bound(sqlite3_bind_blob64(statement_, ++parameter_, bytes.empty() ? "" : bytes.data(),
                            bytes.size(), SQLITE_STATIC));
  return *this;
}

SqliteDatabase::Statement& SqliteDatabase::Statement::Text(absl::string_view text) {
  Bound(sqlite3_bind_text64(statement_, ++parameter_, text.empty() ? "" : text.data(), text.size(),
                            SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

SqliteDatabase::Statement& SqliteDatabase::Statement::Int(int64_t value) {
  Bound(sqlite3_bind_int64(statement_, ++parameter_, value));
  return *this;
}

SqliteDatabase::Statement& SqliteDatabase::Statement::Null() {
  Bound(sqlite3_bind_null(statement_, ++parameter_));
  return *this;
}

absl::StatusOr<bool> SqliteDatabase::Statement::Step() {
  if (bind_result_ != SQLITE_OK) return database_->Error(bind_result_, "bind");
  int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return database_->Error(result, sqlite3_sql(statement_));
}

absl::Status SqliteDatabase::Statement::Run() {
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

std::string SqliteDatabase::Statement::Bytes(int column) const {
  // The pointer first, then the size: the other order may convert in between.
  const void* data = sqlite3_column_blob(statement_, column);
  int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

absl::StatusOr<SqliteDatabase::Transaction> SqliteDatabase::Transaction::Begin(
    SqliteDatabase* database) {
  FOREKEY_ASSIGN_OR_RETURN(Statement begin, database->Prepare("BEGIN IMMEDIATE"));
  FOREKEY_RETURN_IF_ERROR(begin.Run());
  return Transaction(database);
}

SqliteDatabase::Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

SqliteDatabase::Transaction::~Transaction() {
  // Some errors (a full disk, a failing one) have rolled back already.
  if (database_ == nullptr || sqlite3_get_autocommit(database_->connection_) != 0) return;
  sqlite3_exec(database_->connection_, "ROLLBACK", nullptr, nullptr, nullptr);
}

absl::Status SqliteDatabase::Transaction::Commit() {
  FOREKEY_ASSIGN_OR_RETURN(Statement commit, database_->Prepare("COMMIT"));
  FOREKEY_RETURN_IF_ERROR(commit.Run());
  database_ = nullptr;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path,
                                                                     bool read_only) {
  sqlite3* connection = nullptr;
  int result =
      sqlite3_open_v2(path.c_str(), &connection,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path, connection));
  if (result != SQLITE_OK) return database->Error(result, "open");
  // SQLite falls back to reading alone where it may not write; that is for the caller to decide.
  if (!read_only && sqlite3_db_readonly(connection, "main") != 0) {
    return database->Error(SQLITE_READONLY, "open");
  }
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  // A file that someone else made must not run code of its own: no functions out of the schema.
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  FOREKEY_RETURN_IF_ERROR(database->Execute(
      "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON;"));
  if (read_only) {
    FOREKEY_RETURN_IF_ERROR(database->Execute("PRAGMA query_only=ON"));
    return database;
  }
  // An answer other than "wal" (a network file system) would change what a kill may lose.
  FOREKEY_ASSIGN_OR_RETURN(Statement mode, database->Prepare("PRAGMA journal_mode=WAL"));
  FOREKEY_ASSIGN_OR_RETURN(bool row, mode.Step());
  if (!row || mode.Bytes(0) != "wal") {
    return Unavailable(
        absl::StrCat(path, ": SQLite's WAL mode can't be had here: use a local disk"));
  }
  return database;
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::StatusOr<SqliteDatabase::Statement> SqliteDatabase::Prepare(absl::string_view sql) {
  auto found = statements_.find(sql);
  if (found != statements_.end()) return Statement(this, found->second);
  sqlite3_stmt* statement = nullptr;
  int result = sqlite3_prepare_v3(connection_, sql.data(), sql.size(), SQLITE_PREPARE_PERSISTENT,
                                  &statement, nullptr);
  if (result != SQLITE_OK) return Error(result, sql);
  statements_.emplace(sql, statement);
  return Statement(this, statement);
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  int result = sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
  return result == SQLITE_OK ? absl::OkStatus() : Error(result, sql);
}

absl::StatusOr<int64_t> SqliteDatabase::QueryInteger(const std::string& sql) {
  FOREKEY_ASSIGN_OR_RETURN(Statement query, Prepare(sql));
  FOREKEY_ASSIGN_OR_RETURN(bool row, query.Step());
  return row ? query.Integer(0) : 0;
}

absl::Status SqliteDatabase::Error(int result, absl::string_view call) const {
  // sqlite3_errmsg belongs to the last call on the connection; another code has its general text.
  const char* message = connection_ != nullptr && sqlite3_extended_errcode(connection_) == result
                            ? sqlite3_errmsg(connection_)
                            : sqlite3_errstr(result);
  return Unavailable(absl::StrCat(path_, ": ", message, " (SQLite ", result, " at \"",
                                  call.substr(0, 60), "\"): ", Advice(result)));
}

}  // namespace forekey
