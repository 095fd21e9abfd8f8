// SPDX-License-Identifier: Apache-2.0
#include "src/store/postgres/postgres_pool.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// After these many serialization failures something is wrong that another try does not mend.
constexpr int kAttempts = 10;

using Failure = PostgresConnection::Failure;

}  // namespace

absl::StatusOr<PostgresPool::Taken> PostgresPool::Take(const Deadline& deadline, bool anew) {
  Taken taken;
  {
    std::unique_ptr<PostgresConnection> given_up;  // closed after the lock
    absl::MutexLock lock(&mutex_);
    if (!AwaitUntil(mutex_, absl::Condition(this, &PostgresPool::HasRoom), deadline)) {
      return Refuse(Reason::kStoreUnavailable,
                    "PostgreSQL: every connection is busy, and none came free in time");
    }
    if (!closed_.ok()) return closed_;
    ++in_use_;
    taken.generation = generation_;
    if (!idle_.empty() && !anew) {
      taken.connection = std::move(idle_.back());
      idle_.pop_back();
      return taken;
    }
    if (idle_.size() + in_use_ > most_) {
      given_up = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  auto opened = PostgresConnection::Open(url_, PostgresConnection::Role::kGate, deadline);
  if (opened.ok()) {
    taken.connection = *std::move(opened);
    return taken;
  }
  PutBack(std::move(taken));
  return opened.status();
}

// One that is broken, or of an older generation, is closed, outside the lock. The others stay: it
// may have been that one alone; and where the server was restarted, each is found broken in its
// turn, and what it was taken for begins anew on a new one.
void PostgresPool::PutBack(Taken taken) {
  const bool broken = taken.connection != nullptr && taken->broken();
  {
    absl::MutexLock lock(&mutex_);
    --in_use_;
    if (taken.connection != nullptr && !broken && taken.generation == generation_) {
      idle_.push_back(std::move(taken.connection));
    }
  }
}

void PostgresPool::DropAll() {
  std::vector<std::unique_ptr<PostgresConnection>> dropped;
  absl::MutexLock lock(&mutex_);
  ++generation_;
  dropped.swap(idle_);
}

void PostgresPool::Close(const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = why;
  }
  DropAll();
}

absl::Status PostgresPool::NotKnown(absl::string_view why) {
  return Refuse(Reason::kStoreUnavailable,
                absl::StrCat(why, why.empty() ? "" : "; ",
                             "whether the change was made is not known: look, and try again"));
}

absl::Status PostgresPool::Transact(PostgresLock lock, Body body) {
  const Deadline deadline = Deadline::In(patience_);
  bool lost_one = false;
  for (int attempt = 1;; ++attempt) {
    FOREKEY_ASSIGN_OR_RETURN(Taken connection, Take(deadline, /*anew=*/lost_one));
    PostgresSession session(*connection, deadline);
    absl::Status status = connection->Execute("BEGIN READ WRITE", deadline);
    if (status.ok() && lock != PostgresLock::kNone) {
      status = session.Run("SELECT pg_advisory_xact_lock($1::int, $2::int)::text",
                           PostgresValues().Int(kPostgresLockClass).Int(static_cast<int>(lock)));
    }
    if (status.ok()) status = body(session);
    bool committing = false;
    if (status.ok()) {
      committing = true;
      (void)connection->TakeWarning();
      status = connection->Execute("COMMIT", deadline);
      const bool warned = connection->TakeWarning();
      if (status.ok() || warned) {
        PutBack(std::move(connection));
        return warned ? NotKnown("COMMIT gave a warning") : status;
      }
    }
    const Failure failure = connection->failure();
    if (!connection->broken()) (void)connection->Execute("ROLLBACK", deadline);
    const bool broken = connection->broken();
    PutBack(std::move(connection));
    if (broken && committing) return NotKnown(status.message());
    const bool again = failure == Failure::kTryAgain ? attempt < kAttempts
                                                     : broken && !std::exchange(lost_one, true);
    if (!again || deadline.Passed()) return status;
  }
}

absl::Status PostgresPool::Look(Body body) {
  const Deadline deadline = Deadline::In(patience_);
  for (bool lost_one = false;; lost_one = true) {
    FOREKEY_ASSIGN_OR_RETURN(Taken connection, Take(deadline, /*anew=*/lost_one));
    PostgresSession session(*connection, deadline);
    absl::Status status = body(session);
    const bool broken = connection->broken();
    PutBack(std::move(connection));
    if (status.ok() || !broken || lost_one || deadline.Passed()) return status;
  }
}

}  // namespace forekey
