// SPDX-License-Identifier: Apache-2.0
// An instant of CLOCK_BOOTTIME, which goes on through suspend and which nobody sets. Whatever has
// an age or a lifetime while the process runs is counted by it: challenges, sessions, limits,
// pauses. Who sets the wall clock then makes nothing live longer and ends nothing early.
//
// Wall time (absl::Time) is for what outlives the machine's uptime or is told to people and other
// machines: certificates, invites, records of the registry, log lines. An instant of one boot means
// nothing to another machine, nor to this one once it has started again: it is never stored.
#ifndef FOREKEY_SRC_BASE_BOOT_TIME_H_
#define FOREKEY_SRC_BASE_BOOT_TIME_H_

#include <compare>
#include <cstdint>
#include <limits>
#include <ostream>

#include "absl/time/time.h"

namespace forekey {

// Trivially copyable and of 8 bytes, so that std::atomic<BootTime> takes no lock. Sums and
// differences that do not fit stop at the ends of the range: none wraps around.
class BootTime {
 public:
  // When the machine started: before everything that the clock shows.
  constexpr BootTime() = default;
  // After everything that the clock shows.
  static constexpr BootTime InfiniteFuture() {
    return BootTime(std::numeric_limits<int64_t>::max());
  }

  // Nanoseconds since the machine started: for the wire.
  static constexpr BootTime FromNanos(int64_t nanos) { return BootTime(nanos); }
  constexpr int64_t nanos() const { return nanos_; }

  // For what every call does: the operators below divide, these do not.
  constexpr int64_t NanosSince(BootTime earlier) const {
    int64_t difference = 0;
    if (!__builtin_sub_overflow(nanos_, earlier.nanos_, &difference)) return difference;
    return End(nanos_ > earlier.nanos_);
  }
  constexpr BootTime PlusNanos(int64_t nanos) const {
    int64_t sum = 0;
    if (!__builtin_add_overflow(nanos_, nanos, &sum)) return BootTime(sum);
    return BootTime(End(nanos > 0));
  }

  friend constexpr auto operator<=>(BootTime, BootTime) = default;
  friend constexpr absl::Duration operator-(BootTime later, BootTime earlier) {
    return absl::Nanoseconds(later.NanosSince(earlier));
  }
  friend BootTime operator+(BootTime time, absl::Duration by) {
    return time.PlusNanos(absl::ToInt64Nanoseconds(by));
  }
  friend BootTime operator-(BootTime time, absl::Duration by) { return time + -by; }
  BootTime& operator+=(absl::Duration by) { return *this = *this + by; }
  BootTime& operator-=(absl::Duration by) { return *this = *this - by; }

  friend std::ostream& operator<<(std::ostream& out, BootTime time) {
    return out << "boot+" << absl::FormatDuration(absl::Nanoseconds(time.nanos_));
  }

 private:
  explicit constexpr BootTime(int64_t nanos) : nanos_(nanos) {}
  static constexpr int64_t End(bool upper) {
    return upper ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
  }

  int64_t nanos_ = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_BOOT_TIME_H_
