// SPDX-License-Identifier: Apache-2.0
#include "src/base/clock.h"

#include <time.h>

namespace forekey {
namespace {

class SystemClock : public Clock {
 public:
  // Not absl::Now(), which sees up to two seconds late that the clock was set.
  absl::Time WallNow() const override {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return absl::TimeFromTimespec(now);
  }
  BootTime BootNow() const override {
    timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return BootTime::FromNanos(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
  }
};

}  // namespace

const Clock& Clock::System() {
  static const SystemClock* const clock = new SystemClock;
  return *clock;
}

}  // namespace forekey
