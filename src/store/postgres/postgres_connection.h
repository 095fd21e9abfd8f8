// SPDX-License-Identifier: Apache-2.0
// One connection to a PostgreSQL server (libpq; "The PostgreSQL 15 documentation", chapter 34):
// statements prepared once, values in binary form both ways, and every wait bounded by a Deadline,
// so that a server that is stopped or cut off holds nobody up for longer. Used by one thread at a
// time.
//
// What errors say: libpq's own words while connecting, and afterwards PostgreSQL's primary message
// with its SQLSTATE. Details and hints are left away, since PostgreSQL puts whole rows there. A
// password is in none of them: CheckPostgresUrl() takes no URL that holds one.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_CONNECTION_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/deadline.h"

struct pg_conn;
struct pg_result;

namespace forekey {

// True for "postgresql://..." and "postgres://...".
bool IsPostgresUrl(absl::string_view text);

// InvalidArgument for what libpq does not take, and for a URL with a password in it: configuration
// files are copied, shown and kept in repositories. libpq finds a password in a file
// (?passfile=, ~/.pgpass), in a service file (?service=) or in PGPASSWORD.
absl::Status CheckPostgresUrl(const std::string& url);

// The values of a statement's $1, $2, ... in their order. Bytes are copied.
class PostgresValues {
 public:
  PostgresValues& Bytes(absl::string_view bytes) { return Add(kBytea, std::string(bytes)); }
  PostgresValues& OptionalBytes(absl::string_view bytes) {
    return bytes.empty() ? Null(kBytea) : Bytes(bytes);
  }
  PostgresValues& Text(absl::string_view text) { return Add(kText, std::string(text)); }
  PostgresValues& Int(int64_t value);
  PostgresValues& NullInt() { return Null(kInt8); }
  PostgresValues& NullText() { return Null(kText); }
  PostgresValues& NullBytes() { return Null(kBytea); }

 private:
  friend class PostgresConnection;
  // Object ids of PostgreSQL's types (pg_type.dat).
  enum Type : unsigned { kBytea = 17, kInt8 = 20, kText = 25 };
  struct Value {
    Type type;
    bool null;
    std::string bytes;  // as PostgreSQL's binary format has it
  };
  PostgresValues& Add(Type type, std::string bytes);
  PostgresValues& Null(Type type);
  std::vector<Value> values_;
};

// What a statement gave. Columns are bytea, text or bigint: statements cast what is not.
class PostgresRows {
 public:
  explicit PostgresRows(pg_result* result) : result_(result) {}
  int size() const;
  bool empty() const { return size() == 0; }
  std::string Bytes(int row, int column) const;  // also text; empty for NULL
  int64_t Int(int row, int column) const;        // 0 for NULL
  bool IsNull(int row, int column) const;
  int64_t Affected() const;  // rows that were changed

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

class PostgresConnection {
 public:
  enum class Role {
    kGate,   // search_path is the registry's schema; writes are durable when they are acknowledged
    kOwner,  // the same without a limit on how long a statement may take: for migrations and copies
  };
  // kStoreUnavailable with what to do. Refuses servers older than 15, with fsync off, in recovery,
  // and databases that are not in UTF-8. A server or role that has synchronous_commit off or local
  // gets it switched on for this connection. Of several hosts the one that was good last is tried
  // first, and each has its share of the time, so that one that is silent hides no other.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(const std::string& url, Role role,
                                                                  const Deadline& deadline);
  // Of several hosts another one is tried first the next time: the one that took the last
  // connection is of no use. An old primary, which lost its standby to a failover, takes
  // connections for as long as it lives, and never commits anything.
  static void TryAnotherFirst(const std::string& url);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // One statement. InvalidArgument for text that PostgreSQL can't hold; everything else is
  // kStoreUnavailable, and failure() says of what kind it was.
  absl::StatusOr<PostgresRows> Query(absl::string_view sql, const PostgresValues& values,
                                     const Deadline& deadline);
  // One statement without values that is not worth being prepared; integers come as text or in
  // binary form, as its cursor says.
  absl::StatusOr<PostgresRows> QueryOnce(const std::string& sql, const Deadline& deadline);
  // Several statements without values.
  absl::Status Execute(const std::string& sql, const Deadline& deadline);

  enum class Failure {
    kNone,
    kTryAgain,   // serialization failure or deadlock: the transaction did nothing
    kForbidden,  // the role may not
    kBroken,     // the connection is gone, or of no more use
    kOther,
  };
  Failure failure() const { return failure_; }
  bool broken() const { return broken_; }
  std::string Server() const;  // "db1:5432": whom of several hosts it is to
  // Makes it of no more use, and says why.
  absl::Status Distrust(absl::string_view why) { return Break(why); }
  // The server warned since this was last asked. A COMMIT that warns is not acknowledged: a
  // cancelled wait for a synchronous standby is told in no other way.
  bool TakeWarning() { return std::exchange(warned_, false); }

  // After LISTEN: true when a notice has come since the last call, whether while this waited or
  // while another statement ran. False when it is time, or `wake` (a descriptor, or -1) is
  // readable.
  absl::StatusOr<bool> AwaitNotice(const Deadline& deadline, int wake);

 private:
  explicit PostgresConnection(pg_conn* connection) : connection_(connection) {}
  // What libpq has begun to connect to; null: out of memory.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> OpenBegun(pg_conn* begun, Role role,
                                                                       const Deadline& deadline);
  absl::Status Connect(const Deadline& deadline);
  absl::Status Prepare(Role role, const Deadline& deadline);
  absl::StatusOr<std::string> StatementFor(absl::string_view sql, const PostgresValues& values,
                                           const Deadline& deadline);
  absl::Status Flush(const Deadline& deadline);
  // The next result of what was sent; null after the last one.
  absl::StatusOr<pg_result*> NextResult(const Deadline& deadline);
  // All results of what was sent; gives the last one, or the first error.
  absl::StatusOr<PostgresRows> Results(const Deadline& deadline);
  absl::Status Wait(short events, const Deadline& deadline);
  absl::Status Break(absl::string_view why);
  absl::Status ErrorOf(const pg_result* result);
  void TakeNotices();

  pg_conn* connection_;
  absl::flat_hash_map<std::string, std::string> statements_;  // by their SQL
  Failure failure_ = Failure::kNone;
  bool broken_ = false;
  bool noticed_ = false;
  bool warned_ = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_CONNECTION_H_
