// SPDX-License-Identifier: Apache-2.0
// The agent's side of toys (toy_kind.h): a driver of the seam hw/device_key.h.
#ifndef FOREKEY_TESTS_TOY_TOY_DRIVER_H_
#define FOREKEY_TESTS_TOY_TOY_DRIVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "src/crypto/public_key.h"

namespace forekey::testing {

// One toy, "toy:". Outlives its drivers and keys.
class Toy {
 public:
  explicit Toy(const SoftwareKey* vendor) : vendor_(vendor) {}
  std::unique_ptr<Driver> MakeDriver();

 private:
  friend class ToyEnroller;
  friend class ToyDriver;
  const SoftwareKey* const vendor_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const SoftwareKey>> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_TOY_TOY_DRIVER_H_
