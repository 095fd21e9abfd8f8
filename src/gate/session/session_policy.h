// SPDX-License-Identifier: Apache-2.0
// What the configuration says of sessions ([sessions], docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_SESSION_SESSION_POLICY_H_
#define FOREKEY_SRC_GATE_SESSION_SESSION_POLICY_H_

#include <cstdint>

#include "absl/time/time.h"
#include "src/store/session_limits.h"

namespace forekey {

struct SessionPolicy {
  absl::Duration idle = absl::Minutes(30);
  absl::Duration absolute = absl::Hours(12);
  uint32_t window = 1024;
  SessionLimits limits;
  bool resumption = false;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_SESSION_POLICY_H_
