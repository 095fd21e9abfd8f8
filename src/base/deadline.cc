#include "src/base/deadline.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "src/base/clock.h"

namespace forekey {
namespace {

// Condition variables go by CLOCK_MONOTONIC, which stands still while the machine sleeps: this is
// how late the end of a sleep may be noticed.
constexpr int64_t kLongestSlice = 5'000'000'000;
// Until a mutex that was held is tried again.
constexpr int64_t kTryAgain = 1'000'000;
constexpr absl::Duration kForEver = absl::Hours(24 * 365 * 100);

// One wait that ends by itself.
struct Alarm {
  absl::Mutex* const mutex;
  const int64_t due;  // boot time
  std::atomic<bool> rung{false};
};

// A thread that rings alarms. It never waits for a mutex of theirs: else one that is held for long
// would keep all other alarms of the process from ringing.
class AlarmThread {
 public:
  // Lives for ever: threads may wait while the process ends.
  static AlarmThread& OfProcess() {
    static AlarmThread* const thread = new AlarmThread;
    return *thread;
  }

  void Set(Alarm* alarm) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto added = alarms_.emplace(alarm->due, alarm).first;
    if (added == alarms_.begin()) changed_.notify_one();
  }
  // From here on the thread does not know it.
  void Unset(Alarm* alarm) {
    std::lock_guard<std::mutex> lock(mutex_);
    alarms_.erase({alarm->due, alarm});
  }

 private:
  AlarmThread() {
    // Signals are for the threads that expect them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([this] { Run(); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  [[noreturn]] void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      const int64_t now = Clock::System().BootNanos();
      const int64_t next = RingDue(now);
      if (alarms_.empty())
        changed_.wait(lock);
      else
        changed_.wait_until(  // of the steady clock
            lock, std::chrono::steady_clock::now() + std::chrono::nanoseconds(next - now));
    }
  }

  // When to look again.
  int64_t RingDue(int64_t now) {
    int64_t next = now + kLongestSlice;
    auto it = alarms_.begin();
    while (it != alarms_.end() && it->first <= now) {
      Alarm* const alarm = it->second;
      alarm->rung.store(true);
      // Who unlocks a mutex looks at what its waiters wait for.
      if (alarm->mutex->TryLock()) {
        alarm->mutex->Unlock();
        it = alarms_.erase(it);
      } else {
        next = now + kTryAgain;
        ++it;
      }
    }
    return it == alarms_.end() ? next : std::min(next, it->first);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::pair<int64_t, Alarm*>> alarms_;
};

}  // namespace

Deadline Deadline::In(absl::Duration time) {
  Deadline deadline;
  if (time < kForEver) {
    deadline.boot_nanos_ =
        Clock::System().BootNanos() + std::max<int64_t>(0, absl::ToInt64Nanoseconds(time));
  }
  return deadline;
}

absl::Duration Deadline::Left() const {
  if (boot_nanos_ == kNever) return absl::InfiniteDuration();
  return absl::Nanoseconds(std::max<int64_t>(0, boot_nanos_ - Clock::System().BootNanos()));
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
  const absl::Duration left = deadline.Left();
  if (left == absl::ZeroDuration()) return false;
  if (left == absl::InfiniteDuration()) {
    mutex.Await(condition);
    return true;
  }
  Alarm alarm{&mutex, Clock::System().BootNanos() + absl::ToInt64Nanoseconds(left)};
  AlarmThread::OfProcess().Set(&alarm);
  const auto over = [&] { return condition.Eval() || alarm.rung.load(); };
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
