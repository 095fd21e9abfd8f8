// SPDX-License-Identifier: Apache-2.0
#include "src/base/clock.h"

#include <gtest/gtest.h>

#include "src/base/status.h"
#include "tests/support/fake_clock.h"

namespace forekey {
namespace {

TEST(ClockTest, BootTimeNeverGoesBack) {
  const Clock& clock = Clock::System();
  BootTime last = clock.BootNow();
  EXPECT_GT(last, BootTime());
  for (int i = 0; i < 1000; ++i) {
    const BootTime now = clock.BootNow();
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_GT(clock.WallNow(), absl::FromUnixSeconds(1'600'000'000));
}

TEST(FakeClockTest, SteppingTheWallLeavesBootTimeAlone) {
  FakeClock clock;
  const absl::Time wall = clock.WallNow();
  const BootTime boot = clock.BootNow();
  clock.Advance(absl::Seconds(2));
  EXPECT_EQ(clock.WallNow() - wall, absl::Seconds(2));
  EXPECT_EQ(clock.BootNow() - boot, absl::Seconds(2));
  clock.StepWall(-absl::Hours(1));
  EXPECT_EQ(clock.WallNow() - wall, absl::Seconds(2) - absl::Hours(1));
  EXPECT_EQ(clock.BootNow() - boot, absl::Seconds(2));
}

absl::Status Twice(const absl::StatusOr<int>& input, int* out) {
  FOREKEY_ASSIGN_OR_RETURN(int value, input);
  FOREKEY_RETURN_IF_ERROR(value < 0 ? absl::OutOfRangeError("negative") : absl::OkStatus());
  *out = 2 * value;
  return absl::OkStatus();
}

TEST(StatusMacrosTest, ReturnTheErrorOrGoOn) {
  int out = 0;
  EXPECT_TRUE(Twice(21, &out).ok());
  EXPECT_EQ(out, 42);
  EXPECT_EQ(Twice(-1, &out).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Twice(absl::NotFoundError("none"), &out).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(out, 42);
}

}  // namespace
}  // namespace forekey
