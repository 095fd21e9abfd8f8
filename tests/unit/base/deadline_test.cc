// SPDX-License-Identifier: Apache-2.0
#include "src/base/deadline.h"

#include <gtest/gtest.h>

#include <climits>
#include <thread>
#include <vector>

namespace forekey {
namespace {

constexpr absl::Duration kGenerous = absl::Minutes(5);

TEST(DeadlineTest, NeverComesByDefaultAndHasPassedWhereNoTimeIsLeft) {
  EXPECT_FALSE(Deadline().Passed());
  EXPECT_EQ(Deadline().Left(), absl::InfiniteDuration());
  EXPECT_EQ(Deadline().LeftMillis(), -1);
  EXPECT_EQ(Deadline().LeftMillis(20), 20);
  EXPECT_EQ(Deadline::In(absl::InfiniteDuration()).LeftMillis(), -1);
  for (absl::Duration none : {absl::ZeroDuration(), -absl::Hours(1), -absl::InfiniteDuration()}) {
    EXPECT_TRUE(Deadline::In(none).Passed());
    EXPECT_EQ(Deadline::In(none).LeftMillis(), 0);
  }
  EXPECT_GT(Deadline::In(absl::Hours(1)).Left(), absl::Minutes(50));
  EXPECT_EQ(Deadline::In(absl::Hours(1)).LeftMillis(20), 20);
  EXPECT_EQ(Deadline::In(absl::Hours(24 * 365)).LeftMillis(), INT_MAX);
  EXPECT_LT(Deadline::In(absl::Hours(1)), Deadline());
  EXPECT_LT(Deadline::In(absl::Hours(1)), Deadline::In(absl::Hours(2)));
}

TEST(AwaitForTest, EndsWithTheConditionOrWithTheTime) {
  absl::Mutex mutex;
  bool set = false;
  {
    absl::MutexLock lock(&mutex);
    EXPECT_FALSE(AwaitFor(mutex, absl::Condition(&set), absl::Milliseconds(1)));
    EXPECT_FALSE(AwaitFor(mutex, absl::Condition(&set), absl::ZeroDuration()));
    EXPECT_FALSE(AwaitFor(mutex, absl::Condition(&set), -absl::InfiniteDuration()));
  }
  std::thread setter([&] {
    absl::MutexLock lock(&mutex);
    set = true;
  });
  {
    absl::MutexLock lock(&mutex);
    EXPECT_TRUE(AwaitFor(mutex, absl::Condition(&set), kGenerous));
    EXPECT_TRUE(AwaitFor(mutex, absl::Condition(&set), absl::ZeroDuration()));
    EXPECT_TRUE(AwaitUntil(mutex, absl::Condition(&set), Deadline()));
  }
  setter.join();
}

// Else one slow lock would hold up the watch over revoked streams.
TEST(AwaitForTest, AMutexThatIsHeldForLongDelaysNoOtherWait) {
  absl::Mutex held, free;
  const bool never = false;
  bool late = false;
  std::thread waits_for_held([&] {
    absl::MutexLock lock(&held);
    AwaitFor(held, absl::Condition(&never), absl::Milliseconds(1));
    late = true;
  });
  {
    absl::MutexLock lock(&held);
    for (int i = 0; i < 20; ++i) {
      absl::MutexLock other(&free);
      EXPECT_FALSE(AwaitFor(free, absl::Condition(&never), absl::Milliseconds(1)));
    }
  }
  waits_for_held.join();
  EXPECT_TRUE(late);
}

TEST(AwaitForTest, ManyWaitsAtOnceEachEndAndLeaveTheirMutexAlone) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([i] {
      for (int turn = 0; turn < 50; ++turn) {
        absl::Mutex mutex;  // gone as soon as the wait is over
        const bool never = false;
        absl::MutexLock lock(&mutex);
        EXPECT_FALSE(AwaitFor(mutex, absl::Condition(&never), absl::Microseconds(10 * (i + turn))));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The alarms wake threads that Abseil itself put to sleep.
TEST(AbseilWaitTest, EndsInTimeAndLosesNoSignal) {
  absl::Mutex mutex;
  absl::CondVar changed;
  int turn = 0;
  constexpr int kTurns = 2000;
  const auto play = [&](int mine) {
    absl::MutexLock lock(&mutex);
    while (turn < kTurns) {
      if (turn % 2 != mine) {
        changed.WaitWithTimeout(&mutex, absl::Microseconds(turn % 7 == 0 ? 20 : 60'000'000));
        continue;
      }
      ++turn;
      changed.Signal();
    }
  };
  std::thread other([&] { play(1); });
  play(0);
  other.join();
  absl::MutexLock lock(&mutex);
  const bool never = false;
  EXPECT_TRUE(changed.WaitWithTimeout(&mutex, absl::Milliseconds(1)));
  EXPECT_FALSE(mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(1)));
}

TEST(BellTest, WakesOnceForAllThatRangBefore) {
  Bell bell;
  EXPECT_FALSE(bell.Await(absl::ZeroDuration()));
  bell.Ring();
  bell.Ring();
  EXPECT_TRUE(bell.Await(kGenerous));
  EXPECT_FALSE(bell.Await(absl::Milliseconds(1)));
  std::thread ringer([&] { bell.Ring(); });
  EXPECT_TRUE(bell.Await(kGenerous));
  ringer.join();
}

}  // namespace
}  // namespace forekey
