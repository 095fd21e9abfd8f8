// SPDX-License-Identifier: Apache-2.0
// Time as an argument. Wall time dates certificates and log lines; boot time, which never steps,
// ages challenges and sessions (src/base/boot_time.h says when to use which).
#ifndef FOREKEY_SRC_BASE_CLOCK_H_
#define FOREKEY_SRC_BASE_CLOCK_H_

#include "absl/time/time.h"
#include "src/base/boot_time.h"

namespace forekey {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time WallNow() const = 0;
  virtual BootTime BootNow() const = 0;

  // The machine's own clocks. Lives for ever; safe from any thread.
  static const Clock& System();
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_CLOCK_H_
