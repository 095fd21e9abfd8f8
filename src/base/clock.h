// Time as an argument. Wall time dates certificates and log lines; boot time (CLOCK_BOOTTIME, which
// goes on through suspend and never steps) ages challenges and sessions.
#ifndef FOREKEY_SRC_BASE_CLOCK_H_
#define FOREKEY_SRC_BASE_CLOCK_H_

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

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_CLOCK_H_
