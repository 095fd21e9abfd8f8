// SPDX-License-Identifier: Apache-2.0
// A clock for tests.
#ifndef FOREKEY_TESTS_SUPPORT_FAKE_CLOCK_H_
#define FOREKEY_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "src/base/clock.h"

namespace forekey {

// A clock that moves only when told to. Safe from any thread.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'800'000'000))
      : wall_nanos_(absl::ToUnixNanos(start)), boot_(int64_t{1'000'000'000'000}) {}
  absl::Time WallNow() const override { return absl::FromUnixNanos(wall_nanos_); }
  BootTime BootNow() const override { return BootTime::FromNanos(boot_); }
  void Advance(absl::Duration by) {
    wall_nanos_ += absl::ToInt64Nanoseconds(by);
    boot_ += absl::ToInt64Nanoseconds(by);
  }
  // Steps the wall clock alone, as an administrator or NTP would.
  void StepWall(absl::Duration by) { wall_nanos_ += absl::ToInt64Nanoseconds(by); }

 private:
  std::atomic<int64_t> wall_nanos_;
  std::atomic<int64_t> boot_;
};

}  // namespace forekey

#endif  // FOREKEY_TESTS_SUPPORT_FAKE_CLOCK_H_
