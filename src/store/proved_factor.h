// SPDX-License-Identifier: Apache-2.0
// One factor that a session or a call has proved, and when.
#ifndef FOREKEY_SRC_STORE_PROVED_FACTOR_H_
#define FOREKEY_SRC_STORE_PROVED_FACTOR_H_

#include <string>

#include "absl/time/time.h"
#include "src/base/boot_time.h"

namespace forekey {

struct ProvedFactor {
  std::string name;      // "tpm", ...
  absl::Time proved_at;  // never moved by a child
  // The same instant: ages are taken from a clock that does not step.
  BootTime proved_boot;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_PROVED_FACTOR_H_
