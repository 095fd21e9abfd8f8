// Time as an argument. Wall time dates certificates and log lines; boot time (CLOCK_BOOTTIME, which
// goes on through suspend and never steps) ages challenges and sessions.
#ifndef FOREKEY_SRC_BASE_CLOCK_H_
#define FOREKEY_SRC_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace forekey {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time WallNow() const = 0;
  // Nanoseconds since the machine started.
  virtual int64_t BootNanos() const = 0;

  // The machine's own clocks. Lives for ever; safe from any thread.
  static const Clock& System();
};

// A clock that moves only when told to. Safe from any thread.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'800'000'000))
      : wall_nanos_(absl::ToUnixNanos(start)), boot_nanos_(int64_t{1'000'000'000'000}) {}
  absl::Time WallNow() const override { return absl::FromUnixNanos(wall_nanos_); }
  int64_t BootNanos() const override { return boot_nanos_; }
  void Advance(absl::Duration by) {
    wall_nanos_ += absl::ToInt64Nanoseconds(by);
    boot_nanos_ += absl::ToInt64Nanoseconds(by);
  }
  // Steps the wall clock alone, as an administrator or NTP would.
  void StepWall(absl::Duration by) { wall_nanos_ += absl::ToInt64Nanoseconds(by); }

 private:
  std::atomic<int64_t> wall_nanos_;
  std::atomic<int64_t> boot_nanos_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_CLOCK_H_
