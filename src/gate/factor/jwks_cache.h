// SPDX-License-Identifier: Apache-2.0
// An identity provider's keys, kept and renewed by a thread of its own.
//
// Threats, and what meets each (tests/unit/gate/core_jwks_cache_test.cc):
//   an outage, or garbage instead of keys   the good keys stay, up to `max_stale`; then nothing
//                                           passes
//   a rotated key                           an unknown key asks for newer ones at once
//   tokens with made-up key ids             so at most once in `retry`, whoever asks however often
//   a slow provider                         nobody waits for an answer longer than `longest_wait`
//                                           from its asking on: one after the other they wait no
//                                           longer
//   a key taken back                        what a good answer no longer has is gone with it, at
//                                           the latest after `refresh`; sooner where the provider
//                                           says so, or when an administrator asks
#ifndef FOREKEY_SRC_GATE_FACTOR_JWKS_CACHE_H_
#define FOREKEY_SRC_GATE_FACTOR_JWKS_CACHE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/verify/jwk_set.h"

namespace forekey {

// A fresh asking is due no sooner than this after a good answer, whatever its Cache-Control says.
inline constexpr absl::Duration kLeastJwksRefresh = absl::Minutes(1);

struct JwksCacheOptions {
  absl::Duration refresh = absl::Minutes(15);      // after a good answer, at the latest
  absl::Duration retry = absl::Seconds(30);        // the least time between two askings
  absl::Duration max_stale = absl::Hours(24);      // how long keys stay without a good answer
  absl::Duration longest_wait = absl::Seconds(3);  // of a caller, in real time
};

struct JwksDocument {
  std::string body;
  std::optional<absl::Duration> max_age;  // that the provider asks for
};

// Safe from any thread. Ages are counted by the given clock's boot time.
class JwksCache {
 public:
  // Blocks. `stop`: when it becomes true, it should end soon.
  using Fetch = std::function<absl::StatusOr<JwksDocument>(const std::atomic<bool>& stop)>;
  // Told, from the fetching thread, of keys that changed, of each new error, and of its end.
  using Report = std::function<void(bool good, const std::string& what)>;

  // `clock` is borrowed.
  JwksCache(const JwksCacheOptions& options, const Clock& clock, Fetch fetch, Report report);
  ~JwksCache();
  JwksCache(const JwksCache&) = delete;
  JwksCache& operator=(const JwksCache&) = delete;

  // Starts the thread, which asks at once. Without it only Refresh() asks.
  void Start();
  // Asks now, on the caller's thread, whatever the times say. What it failed with; the keys stay
  // then.
  absl::Status Refresh();
  // Has the thread ask, now; does not wait. The number of the attempt, for Await().
  uint64_t RefreshSoon();
  // Until that attempt is answered: what the last one failed with, or DeadlineExceeded. Without a
  // thread it is Refresh().
  absl::Status Await(uint64_t attempt, const Deadline& deadline);

  // The keys, where they can be had without waiting; the same refusal.
  absl::StatusOr<std::shared_ptr<const JwkSet>> AtHand() const;
  // The keys; waits for the first ones. kIdentityProviderUnavailable: there are none, or they are
  // stale.
  absl::StatusOr<std::shared_ptr<const JwkSet>> Keys();
  // Others than `than`, which lacked a key: where none came in time, the same again.
  absl::StatusOr<std::shared_ptr<const JwkSet>> Newer(const std::shared_ptr<const JwkSet>& than);

  struct State {
    size_t keys = 0;
    absl::Duration due_in;              // until it is asked again by itself
    std::optional<absl::Duration> age;  // since the last good answer was asked for
    std::string error;  // of the last attempt; empty: it was good, or there was none
  };
  State state() const;
  uint64_t attempts() const;

 private:
  void Run();
  // When it will be asked again.
  BootTime Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayAsk() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AskAndWait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<const JwkSet>> Current() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(const absl::StatusOr<std::shared_ptr<const JwkSet>>& got, const JwksDocument& document,
            BootTime begun);

  const JwksCacheOptions options_;
  const Clock& clock_;
  const Fetch fetch_;
  const Report report_;
  std::atomic<bool> stop_{false};

  absl::Mutex fetching_mutex_;  // one fetch at a time
  mutable absl::Mutex mutex_;
  std::shared_ptr<const JwkSet> keys_ ABSL_GUARDED_BY(mutex_);
  std::string body_ ABSL_GUARDED_BY(mutex_);         // that they were read from
  BootTime good_at_ ABSL_GUARDED_BY(mutex_);         // when they were asked for last with success
  absl::Duration lifetime_ ABSL_GUARDED_BY(mutex_);  // of the good answer
  BootTime asked_at_ ABSL_GUARDED_BY(mutex_);
  uint64_t begun_ ABSL_GUARDED_BY(mutex_) = 0;     // attempts
  uint64_t attempts_ ABSL_GUARDED_BY(mutex_) = 0;  // finished ones
  std::string error_ ABSL_GUARDED_BY(mutex_);      // of the last one; empty: it was good
  Deadline wait_until_ ABSL_GUARDED_BY(mutex_);    // real time: for the fetch under way
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool fetching_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_JWKS_CACHE_H_
