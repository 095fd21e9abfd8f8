// SPDX-License-Identifier: Apache-2.0
#include "src/base/deadline.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <utility>

#include "absl/base/config.h"
#include "absl/synchronization/internal/per_thread_sem.h"
#include "absl/time/clock.h"
#include "src/base/alarm_thread.h"
#include "src/base/clock.h"

namespace forekey {
namespace {

constexpr absl::Duration kForEver = absl::Hours(24 * 365 * 100);

// A wait for a condition: it looks at `rung`, too.
class MutexAlarm final : public Alarm {
 public:
  MutexAlarm(absl::Mutex* mutex, BootTime due) : Alarm(due), mutex_(mutex) {}
  bool Ring() override {
    rung_.store(true);
    // Who unlocks a mutex looks at what its waiters wait for.
    if (!mutex_->TryLock()) return false;
    mutex_->Unlock();
    return true;
  }
  bool rung() const { return rung_.load(); }

 private:
  absl::Mutex* const mutex_;
  std::atomic<bool> rung_{false};
};

}  // namespace

Deadline Deadline::In(absl::Duration time) {
  Deadline deadline;
  if (time < kForEver) {
    deadline.at_ = Clock::System().BootNow() + std::max(absl::ZeroDuration(), time);
  }
  return deadline;
}

absl::Duration Deadline::Left() const {
  if (at_ == kNever) return absl::InfiniteDuration();
  return std::max(absl::ZeroDuration(), at_ - Clock::System().BootNow());
}

int Deadline::LeftMillis(int most) const {
  const absl::Duration left = Left();
  if (left == absl::InfiniteDuration()) return most;
  const int64_t millis = absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)));
  return static_cast<int>(std::min<int64_t>(millis, most < 0 ? INT_MAX : most));
}

bool AwaitFor(absl::Mutex& mutex, const absl::Condition& condition, absl::Duration time) {
  return AwaitUntil(mutex, condition, Deadline::In(time));
}

bool AwaitUntil(absl::Mutex& mutex, const absl::Condition& condition, const Deadline& deadline) {
  if (condition.Eval()) return true;
  if (deadline.at_ == Deadline::kNever) {
    mutex.Await(condition);
    return true;
  }
  if (deadline.Passed()) return false;
  MutexAlarm alarm(&mutex, deadline.at_);
  AlarmThread::OfProcess().Set(&alarm);
  const auto over = [&] { return condition.Eval() || alarm.rung(); };
  mutex.Await(absl::Condition(&over));
  AlarmThread::OfProcess().Unset(&alarm);
  return condition.Eval();
}

bool Bell::Await(absl::Duration time) {
  absl::MutexLock lock(&mutex_);
  AwaitFor(mutex_, absl::Condition(&rung_), time);
  return std::exchange(rung_, false);
}

}  // namespace forekey

// ---- Abseil's own timed waits ----
//
// gRPC's deadlines, retries and reconnections are timed waits of Abseil's, which go by the wall
// clock: set back by a day, it keeps a client from reconnecting for a day. Abseil has a point of
// extension for how a thread waits, a weak symbol; a program that contains this file has it take
// the place of the library's. It waits without a time, and an alarm wakes it. (Waking a thread
// that needed none is allowed: all callers look again at what they wait for. So is to end a wait
// too early, when the clock was set about the time at which its length was reckoned.)
//
// Only for the version that it was tried with, as a shared library. Not under ThreadSanitizer,
// which sees Abseil through tests/support/tsan_abseil.cc.
#if ABSL_LTS_RELEASE_VERSION == 20220623 && defined(FOREKEY_ABSEIL_IS_SHARED) && \
    !defined(__SANITIZE_THREAD__)

namespace forekey {
namespace {

using absl::synchronization_internal::KernelTimeout;
using Wait = bool (*)(KernelTimeout);

#define FOREKEY_TEXT(symbol) #symbol
#define FOREKEY_NAME(symbol) FOREKEY_TEXT(symbol)

class ThreadAlarm final : public Alarm {
 public:
  explicit ThreadAlarm(BootTime due)
      : Alarm(due), thread_(absl::synchronization_internal::GetOrCreateCurrentThreadIdentity()) {}
  bool Ring() override {
    rung_.store(true);
    ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemPost)(thread_);
    return true;
  }
  bool by_wall_clock() const override { return true; }
  bool rung() const { return rung_.load(); }

 private:
  absl::base_internal::ThreadIdentity* const thread_;
  std::atomic<bool> rung_{false};
};

// What a wait lasts that by one clock is over, and by the other is not.
constexpr int64_t kOneMoment = 10'000'000;

// How long from now: a KernelTimeout is nanoseconds of wall time, and does not tell them. gRPC
// reckons them by the kernel's clock, Abseil's own functions by absl::Now(), which asks the kernel
// every two seconds only and until then knows nothing of a step. Which of them it was can't be
// told, so the shorter time is taken.
int64_t NanosLeft(KernelTimeout timeout) {
  static_assert(sizeof(KernelTimeout) == sizeof(int64_t));
  int64_t until;
  std::memcpy(&until, &timeout, sizeof until);
  const auto [less, more] = std::minmax({until - absl::ToUnixNanos(Clock::System().WallNow()),
                                         until - absl::ToUnixNanos(absl::Now())});
  return less > 0 ? less : std::min(more, kOneMoment);
}

}  // namespace
}  // namespace forekey

extern "C" bool ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemWait)(
    absl::synchronization_internal::KernelTimeout timeout) {
  using forekey::AlarmThread;
  static const auto library = reinterpret_cast<forekey::Wait>(
      dlsym(RTLD_NEXT, FOREKEY_NAME(ABSL_INTERNAL_C_SYMBOL(AbslInternalPerThreadSemWait))));
  if (!timeout.has_timeout()) return library(timeout);
  const int64_t left = forekey::NanosLeft(timeout);
  // It is over whatever the clock is set to meanwhile; but a signal that is there counts.
  if (left <= 0) return library(absl::synchronization_internal::KernelTimeout(absl::UnixEpoch()));
  forekey::ThreadAlarm alarm(forekey::Clock::System().BootNow().PlusNanos(left));
  AlarmThread::OfProcess().Set(&alarm);
  library(absl::synchronization_internal::KernelTimeout::Never());
  AlarmThread::OfProcess().Unset(&alarm);
  return !alarm.rung();
}

#endif
