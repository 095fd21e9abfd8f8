// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/admitted_calls.h"

#include <utility>

namespace forekey {

void AdmittedCalls::Add(absl::string_view prefix, absl::string_view path,
                        std::shared_ptr<const DeviceCall> call) {
  const TableHash::Value of_prefix = hash_(prefix), of_path = hash_(path);
  absl::MutexLock lock(&mutex_);
  Slot& slot = slots_[SlotOf(of_prefix)];
  slot.prefix = of_prefix;
  slot.path = of_path;
  slot.call.swap(call);  // the old one is let go outside the lock, with `call`
}

std::shared_ptr<const DeviceCall> AdmittedCalls::Find(absl::string_view prefix,
                                                      absl::string_view path) const {
  const TableHash::Value of_prefix = hash_(prefix), of_path = hash_(path);
  absl::MutexLock lock(&mutex_);
  const Slot& slot = slots_[SlotOf(of_prefix)];
  return slot.prefix == of_prefix && slot.path == of_path ? slot.call : nullptr;
}

}  // namespace forekey
