// SPDX-License-Identifier: Apache-2.0
// A few connections to one database, and transactions over them.
#ifndef FOREKEY_SRC_STORE_POSTGRES_POSTGRES_POOL_H_
#define FOREKEY_SRC_STORE_POSTGRES_POSTGRES_POOL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/deadline.h"
#include "src/store/postgres/postgres_connection.h"

namespace forekey {

// Advisory locks (PostgreSQL 15, section 13.3.5), two numbers each: this, and one of these.
inline constexpr int kPostgresLockClass = 0x464b4559;  // "FKEY"
enum class PostgresLock {
  kNone = 0,
  kSchema = 1,    // migrations
  kChanges = 2,   // whatever changes who may do what: one after the other, in the order of commits
  kIdTokens = 3,  // ID tokens that were used
};

// A transaction, or a look, that a pool runs: what it may ask, and until when.
class PostgresSession {
 public:
  PostgresSession(PostgresConnection& connection, const Deadline& deadline)
      : connection_(connection), deadline_(deadline) {}
  absl::StatusOr<PostgresRows> Query(absl::string_view sql,
                                     const PostgresValues& values = PostgresValues()) {
    return connection_.Query(sql, values, deadline_);
  }
  absl::Status Run(absl::string_view sql, const PostgresValues& values = PostgresValues()) {
    return Query(sql, values).status();
  }
  PostgresConnection& connection() { return connection_; }

 private:
  PostgresConnection& connection_;
  const Deadline deadline_;
};

// Safe from any thread.
class PostgresPool {
 public:
  using Body = absl::FunctionRef<absl::Status(PostgresSession&)>;

  // `most`: connections at once; who finds none free waits, as long as for the server.
  PostgresPool(std::string url, size_t most, absl::Duration patience)
      : url_(std::move(url)), most_(most), patience_(patience) {}

  // BEGIN, the lock, the body, COMMIT. Durable when it returns OK. The body is run again after a
  // serialization failure, a deadlock, and once after a connection that was lost before COMMIT was
  // sent: it begins from nothing each time. Everything is rolled back when it returns an error,
  // which is returned as it is. A connection that is lost after COMMIT was sent is
  // kStoreUnavailable, and nobody knows what became of it: it is not run again.
  absl::Status Transact(PostgresLock lock, Body body);
  // Statements that only look, each on its own.
  absl::Status Look(Body body);
  // No connection of before is used for anything that begins from now on.
  void DropAll();
  // Nothing begins any more: it is answered with `why`.
  void Close(const absl::Status& why);

 private:
  // With the generation that it is of.
  struct Taken {
    std::unique_ptr<PostgresConnection> connection;
    uint64_t generation = 0;
    PostgresConnection* operator->() const { return connection.get(); }
    PostgresConnection& operator*() const { return *connection; }
  };
  // `anew`: another one of those that rest was found broken, so none of them is trusted.
  absl::StatusOr<Taken> Take(const Deadline& deadline, bool anew = false);
  void PutBack(Taken taken);
  absl::Status NotKnown(absl::string_view why);
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !idle_.empty() || in_use_ < most_;
  }

  const std::string url_;
  const size_t most_;
  const absl::Duration patience_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<PostgresConnection>> idle_ ABSL_GUARDED_BY(mutex_);
  size_t in_use_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;  // of those in idle_
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);      // not OK: see Close()
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_POSTGRES_POSTGRES_POOL_H_
