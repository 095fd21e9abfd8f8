// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/admitted_calls.h"

#include <algorithm>
#include <utility>

namespace forekey {

void AdmittedCalls::Add(absl::string_view prefix, absl::string_view path,
                        std::shared_ptr<const DeviceCall> call) {
  const TableHash::Value of_prefix = hash_(prefix), of_path = hash_(path);
  absl::MutexLock lock(&mutex_);
  Set& set = sets_[SetOf(of_prefix)];
  std::rotate(set.begin(), set.end() - 1, set.end());
  set[0].prefix = of_prefix;
  set[0].path = of_path;
  set[0].call.swap(call);  // the oldest is let go outside the lock, with `call`
}

std::shared_ptr<const DeviceCall> AdmittedCalls::Find(absl::string_view prefix,
                                                      absl::string_view path) const {
  const TableHash::Value of_prefix = hash_(prefix), of_path = hash_(path);
  absl::MutexLock lock(&mutex_);
  for (const Slot& slot : sets_[SetOf(of_prefix)]) {
    if (slot.prefix == of_prefix && slot.path == of_path) return slot.call;
  }
  return nullptr;
}

}  // namespace forekey
