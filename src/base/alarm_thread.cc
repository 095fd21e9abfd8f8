#include "src/base/alarm_thread.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "src/base/clock.h"

namespace forekey {
namespace {

// Condition variables go by CLOCK_MONOTONIC, which stands still while the machine sleeps: this is
// how late the end of a sleep may be noticed.
constexpr int64_t kLongestSlice = 5'000'000'000;
constexpr int64_t kTryAgain = 1'000'000;
constexpr int64_t kSmallestStep = 100'000'000;

int64_t WallAhead(int64_t boot_nanos) {
  return absl::ToUnixNanos(Clock::System().WallNow()) - boot_nanos;
}

}  // namespace

AlarmThread& AlarmThread::OfProcess() {
  static AlarmThread* const thread = new AlarmThread;
  return *thread;
}

AlarmThread::AlarmThread() : wall_ahead_(WallAhead(Clock::System().BootNanos())) {
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([this] { Run(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void AlarmThread::Set(Alarm* alarm) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto added = alarms_.emplace(alarm->due(), alarm).first;
  if (added == alarms_.begin()) changed_.notify_one();
}

void AlarmThread::Unset(Alarm* alarm) {
  std::lock_guard<std::mutex> lock(mutex_);
  alarms_.erase({alarm->due(), alarm});
}

void AlarmThread::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    const int64_t now = Clock::System().BootNanos();
    LookForStepBack(now);
    const int64_t next = RingDue(now);
    if (alarms_.empty())
      changed_.wait(lock);
    else
      changed_.wait_until(  // of the steady clock
          lock, std::chrono::steady_clock::now() + std::chrono::nanoseconds(next - now));
  }
}

void AlarmThread::LookForStepBack(int64_t now) {
  const int64_t ahead = WallAhead(now);
  const bool stepped_back = ahead < wall_ahead_ - kSmallestStep;
  wall_ahead_ = ahead;
  if (!stepped_back) return;
  std::erase_if(alarms_, [](const auto& entry) {
    return entry.second->by_wall_clock() && entry.second->Ring();
  });
}

int64_t AlarmThread::RingDue(int64_t now) {
  int64_t next = now + kLongestSlice;
  auto it = alarms_.begin();
  while (it != alarms_.end() && it->first <= now) {
    if (it->second->Ring()) {
      it = alarms_.erase(it);
    } else {
      next = now + kTryAgain;
      ++it;
    }
  }
  return it == alarms_.end() ? next : std::min(next, it->first);
}

}  // namespace forekey
