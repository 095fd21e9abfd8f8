// SPDX-License-Identifier: Apache-2.0
// The one place where drivers are listed. Only the programs in src/cli (and tests) include it: all
// others see hw/device_key.h alone.
#ifndef FOREKEY_HW_DRIVERS_H_
#define FOREKEY_HW_DRIVERS_H_

#include <memory>
#include <string>
#include <vector>

#include "hw/device_key.h"

namespace forekey {

// `uris`: devices to be listed besides those that are found, each for the driver of its scheme
// ("tpm:swtpm:path=..."). Call it before starting threads.
std::vector<std::unique_ptr<Driver>> AllDrivers(const std::vector<std::string>& uris = {});

}  // namespace forekey

#endif  // FOREKEY_HW_DRIVERS_H_
