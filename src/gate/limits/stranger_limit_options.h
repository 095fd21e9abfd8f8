// SPDX-License-Identifier: Apache-2.0
// What the configuration says of strangers ([limits], docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_LIMITS_STRANGER_LIMIT_OPTIONS_H_
#define FOREKEY_SRC_GATE_LIMITS_STRANGER_LIMIT_OPTIONS_H_

namespace forekey {

struct StrangerLimitOptions {
  double per_second = 500;  // all strangers together
  double burst = 1000;
  double per_address_per_second = 50;
  double per_address_burst = 200;
  // Look-ups of all strangers together, in a second and at once; 0: each has what its address has.
  double look_ups = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_STRANGER_LIMIT_OPTIONS_H_
