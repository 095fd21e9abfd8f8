// SPDX-License-Identifier: Apache-2.0
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
constexpr absl::Duration kLongestSlice = absl::Seconds(5);
constexpr absl::Duration kTryAgain = absl::Milliseconds(1);
constexpr int64_t kSmallestStep = 100'000'000;
// How long before its Set() a wait may have been reckoned; and how long waits are meanwhile.
constexpr absl::Duration kCaution = absl::Seconds(10);
constexpr absl::Duration kCautiousWait = absl::Milliseconds(100);
// No more than this counts as time in which the process ran since the last look.
constexpr absl::Duration kMostBetweenLooks = absl::Seconds(1);
constexpr int64_t kUninterrupted = 10'000'000;

int64_t WallAhead() {
  for (;;) {
    // A thread that loses its processor between the two would take that for a step.
    const BootTime before = Clock::System().BootNow();
    const int64_t wall = absl::ToUnixNanos(Clock::System().WallNow());
    if (Clock::System().BootNow().NanosSince(before) < kUninterrupted) return wall - before.nanos();
  }
}

}  // namespace

AlarmThread& AlarmThread::OfProcess() {
  static AlarmThread* const thread = new AlarmThread;
  return *thread;
}

AlarmThread::AlarmThread() : wall_ahead_(WallAhead()), last_look_(Clock::System().BootNow()) {
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([this] { Run(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void AlarmThread::Set(Alarm* alarm) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (alarm->by_wall_clock()) {
    // The clock may have been set back after the wait was reckoned and before now: what is noticed
    // later finds the alarm here, what is noticed now or was before does not.
    const BootTime now = Clock::System().BootNow();
    LookForStepBack(now);
    if (caution_ > absl::ZeroDuration()) alarm->due_ = std::min(alarm->due_, now + kCautiousWait);
  }
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
    const BootTime now = Clock::System().BootNow();
    LookForStepBack(now);
    const BootTime next = RingDue(now);
    if (alarms_.empty())
      changed_.wait(lock);
    else
      changed_.wait_until(  // of the steady clock
          lock, std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(next - now));
  }
}

void AlarmThread::LookForStepBack(BootTime now) {
  caution_ -= std::min({caution_, now - last_look_, kMostBetweenLooks});
  last_look_ = now;
  const int64_t ahead = WallAhead();
  const bool stepped_back = ahead < wall_ahead_ - kSmallestStep;
  wall_ahead_ = ahead;
  if (!stepped_back) return;
  caution_ = kCaution;
  std::erase_if(alarms_, [](const auto& entry) {
    return entry.second->by_wall_clock() && entry.second->Ring();
  });
}

BootTime AlarmThread::RingDue(BootTime now) {
  BootTime next = now + kLongestSlice;
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
