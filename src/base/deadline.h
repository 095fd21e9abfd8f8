// SPDX-License-Identifier: Apache-2.0
// Waiting by a clock that nobody sets. Abseil's own timed waits, like absl::Now(), go by the wall
// clock: after it was set back by an hour they end an hour late. What is here goes by
// CLOCK_BOOTTIME, which counts the time that the machine slept, too; tests/lint forbids the others
// in src/ and hw/. A program with this in it has Abseil's own timed waits, and so gRPC's, go by it,
// too (deadline.cc).
//
// Everything is safe from any thread.
#ifndef FOREKEY_SRC_BASE_DEADLINE_H_
#define FOREKEY_SRC_BASE_DEADLINE_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/boot_time.h"

namespace forekey {

// A moment of the machine's boot time. By default one that never comes.
class Deadline {
 public:
  Deadline() = default;
  static Deadline Never() { return Deadline(); }
  static Deadline In(absl::Duration time);  // from now; it has passed where that is not positive

  bool Passed() const { return Left() == absl::ZeroDuration(); }
  absl::Duration Left() const;  // never negative; infinite where it never comes
  // For poll(2): rounded up, so that it has passed afterwards; at most `most`, which may be -1 for
  // "as long as it takes".
  int LeftMillis(int most = -1) const;

  friend bool operator<(const Deadline& a, const Deadline& b) { return a.at_ < b.at_; }

 private:
  friend bool AwaitUntil(absl::Mutex&, const absl::Condition&, const Deadline&);
  static constexpr BootTime kNever = BootTime::InfiniteFuture();
  BootTime at_ = kNever;
};

// Like Mutex::AwaitWithTimeout() and AwaitWithDeadline(): until `condition` holds, or it is time.
// Returns whether it holds. A suspend that the end fell into is noticed some seconds after waking.
bool AwaitFor(absl::Mutex& mutex, const absl::Condition& condition, absl::Duration time)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
bool AwaitUntil(absl::Mutex& mutex, const absl::Condition& condition, const Deadline& deadline)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

// Wakes one thread that else looks at something from time to time.
class Bell {
 public:
  void Ring() {
    absl::MutexLock lock(&mutex_);
    rung_ = true;
  }
  // Until it rings, or has rung since the last Await(); false where neither was so in time.
  bool Await(absl::Duration time);

 private:
  absl::Mutex mutex_;
  bool rung_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_DEADLINE_H_
