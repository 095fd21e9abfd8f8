#include "src/base/clock.h"

#include <gtest/gtest.h>

#include "src/base/status.h"
#include "tests/support/fake_clock.h"

namespace forekey {
namespace {

TEST(ClockTest, BootTimeNeverGoesBack) {
  const Clock& clock = Clock::System();
  int64_t last = clock.BootNanos();
  EXPECT_GT(last, 0);
  for (int i = 0; i < 1000; ++i) {
    const int64_t now = clock.BootNanos();
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_GT(clock.WallNow(), absl::FromUnixSeconds(1'600'000'000));
}

TEST(FakeClockTest, SteppingTheWallLeavesBootTimeAlone) {
  FakeClock clock;
  const absl::Time wall = clock.WallNow();
  const int64_t boot = clock.BootNanos();
  clock.Advance(absl::Seconds(2));
  EXPECT_EQ(clock.WallNow() - wall, absl::Seconds(2));
  EXPECT_EQ(clock.BootNanos() - boot, 2'000'000'000);
  clock.StepWall(-absl::Hours(1));
  EXPECT_EQ(clock.WallNow() - wall, absl::Seconds(2) - absl::Hours(1));
  EXPECT_EQ(clock.BootNanos() - boot, 2'000'000'000);
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
