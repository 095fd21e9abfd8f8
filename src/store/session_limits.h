// SPDX-License-Identifier: Apache-2.0
// How many sessions a gate holds.
#ifndef FOREKEY_SRC_STORE_SESSION_LIMITS_H_
#define FOREKEY_SRC_STORE_SESSION_LIMITS_H_

#include <cstddef>

namespace forekey {

struct SessionLimits {
  size_t total = 200000;
  size_t per_subject = 64;  // children not counted: they have a cap of their own
  size_t children_per_parent = 64;
  size_t children_per_subject = 512;  // of all its sessions together
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SESSION_LIMITS_H_
