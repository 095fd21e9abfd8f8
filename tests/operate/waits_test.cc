// SPDX-License-Identifier: Apache-2.0
// Waits of Abseil's and deadlines of gRPC's in a process whose wall clock is set in the worst
// moments: between the reckoning of a wait and its beginning, and while absl::Now() does not know
// of it yet. The program starts itself again with the clock of tests/operate/clock.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/rpc/call_deadline.h"
#include "tests/operate/clock/set_clock.h"

namespace forekey::testing {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr absl::Duration kStep = absl::Hours(24);

SetClock* clock_of_process = nullptr;

// As gRPC reckons its waits.
absl::Time KernelNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return absl::TimeFromTimespec(now);
}

class WaitsTest : public ::testing::Test {
 protected:
  void Pass(absl::Duration time) {
    absl::Mutex mutex;
    absl::MutexLock lock(&mutex);
    const bool never = false;
    AwaitFor(mutex, absl::Condition(&never), time);
  }

  // Sets the clock so that absl::Now() does not know it yet. For that it must have measured its
  // counter: it must be called in the last seconds, and half a second apart.
  void StepUnseen(absl::Duration by) {
    for (;;) {
      absl::Now();
      Pass(absl::Milliseconds(600));
      absl::Now();
      clock_of_process->Step(by);
      if (absl::AbsDuration(KernelNow() - absl::Now()) > absl::Hours(1)) return;
      clock_of_process->Step(-by);  // it has just looked
    }
  }

  // Whether a wait until that time of the wall clock ends in this test's time. Whatever comes of
  // it, nothing waits afterwards.
  bool Ends(const std::function<absl::Time()>& until) {
    absl::Mutex mutex;
    bool over = false;
    std::thread waiter([&] {
      absl::Mutex own;
      absl::CondVar nobody_signals;
      {
        absl::MutexLock lock(&own);
        nobody_signals.WaitWithDeadline(&own, until());
      }
      absl::MutexLock lock(&mutex);
      over = true;
    });
    bool in_time = false;
    {
      absl::MutexLock lock(&mutex);
      in_time = AwaitFor(mutex, absl::Condition(&over), kPatience);
    }
    if (!in_time) {
      clock_of_process->Step(-absl::Minutes(1));  // ends what an alarm ends
      Pass(absl::Seconds(10));
      clock_of_process->Step(3 * kStep);  // ends what the kernel ends
    }
    waiter.join();
    return in_time;
  }
};

// The wait was a day too long: the kernel's clock had said when it ends, and absl::Now() how long
// that is from now.
TEST_F(WaitsTest, AWaitByTheKernelsClockIsNoLongerWhereAbseilDoesNotKnowOfAStepForward) {
  StepUnseen(kStep);
  EXPECT_TRUE(Ends([] { return KernelNow() + absl::Milliseconds(20); }));
}

TEST_F(WaitsTest, AWaitByAbseilsClockIsNoLongerWhereItDoesNotKnowOfAStepBack) {
  StepUnseen(-kStep);
  EXPECT_TRUE(Ends([] { return absl::Now() + absl::Milliseconds(20); }));
}

TEST_F(WaitsTest, AWaitThatWasReckonedBeforeAStepBackIsNoLonger) {
  EXPECT_TRUE(Ends([this] {
    const absl::Time until = KernelNow() + absl::Milliseconds(20);
    clock_of_process->Step(-kStep);
    Pass(absl::Milliseconds(1));  // whoever looks for steps has seen this one
    Pass(absl::Milliseconds(1));
    return until;
  }));
}

TEST_F(WaitsTest, AWaitInWhichTheClockIsSetBackEnds) {
  absl::Mutex mutex;
  bool begun = false;
  std::thread setter([&] {
    {
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(&begun));
    }
    clock_of_process->Step(-kStep);
  });
  EXPECT_TRUE(Ends([&] {
    absl::MutexLock lock(&mutex);
    begun = true;
    return KernelNow() + absl::Seconds(1);
  }));
  setter.join();
}

// Long waits are whole again when the step was some seconds ago: an end that comes early is for
// the time about a step alone.
TEST_F(WaitsTest, WaitsAreWholeAgainSomeTimeAfterAStep) {
  clock_of_process->Step(-kStep);
  const Deadline enough = Deadline::In(kPatience);
  bool whole = false;
  while (!whole && !enough.Passed()) {
    absl::Mutex own;
    absl::CondVar nobody_signals;
    absl::MutexLock lock(&own);
    const BootTime begun = Clock::System().BootNow();
    nobody_signals.WaitWithDeadline(&own, KernelNow() + absl::Seconds(1));
    whole = Clock::System().BootNow() - begun >= absl::Milliseconds(990);
  }
  EXPECT_TRUE(whole);
}

TEST_F(WaitsTest, TheClockOfTheProgramSeesAStepAtOnce) {
  StepUnseen(kStep);
  EXPECT_LT(absl::AbsDuration(KernelNow() - Clock::System().WallNow()), absl::Hours(1));
}

// Calls got deadlines of absl::Now() before: a day too late here, and gone at once after a step
// forward.
TEST_F(WaitsTest, ADeadlineOfACallIsNoLaterNorEarlierWhereTheClockWasJustSet) {
  for (absl::Duration step : {-kStep, kStep}) {
    StepUnseen(step);
    const absl::Duration left = TimeLeft(CallDeadline(absl::Minutes(10)));
    EXPECT_LE(left, absl::Minutes(10));
    EXPECT_GT(left, absl::Minutes(1));
  }
}

TEST_F(WaitsTest, ADeadlineThatNeverComesIsNeverAndOneThatPassedIsNegative) {
  EXPECT_EQ(TimeLeft(gpr_inf_future(GPR_CLOCK_REALTIME)), absl::InfiniteDuration());
  EXPECT_EQ(TimeLeft(gpr_inf_future(GPR_CLOCK_MONOTONIC)), absl::InfiniteDuration());
  EXPECT_LT(TimeLeft(CallDeadline(-absl::Seconds(1))), absl::ZeroDuration());
}

}  // namespace
}  // namespace forekey::testing

int main(int argc, char** argv) {
  constexpr char kClock[] = "FOREKEY_TEST_CLOCK";
  if (getenv(kClock) == nullptr) {
    char path[] = "/tmp/forekey-waits-XXXXXX";
    close(mkstemp(path));
    const forekey::testing::SetClock clock(path);
    for (const std::string& variable : clock.environment()) {
      const size_t equals = variable.find('=');
      setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
    }
    execv("/proc/self/exe", argv);
    return 1;
  }
  const auto clock = std::make_unique<forekey::testing::SetClock>(getenv(kClock));
  forekey::Clock::System().WallNow();  // the file is mapped from here on
  unlink(getenv(kClock));
  forekey::testing::clock_of_process = clock.get();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
