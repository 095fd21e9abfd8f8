// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/admitted_calls.h"

#include <algorithm>
#include <utility>

#include "src/base/bytes.h"
#include "src/base/secret.h"
#include "src/crypto/random.h"

namespace forekey {

AdmittedCalls::AdmittedCalls() : key_(Secret(RandomBytes(kSha256Size)).view()), slots_(kSlots) {}

AdmittedCalls::Tag AdmittedCalls::TagOf(absl::string_view prefix, absl::string_view path) const {
  // The path is well formed, so it holds no zero byte: the two can't be cut elsewhere.
  const auto mac = key_.Mac({path, absl::string_view("\0", 1), prefix});
  Tag tag;
  std::copy_n(mac.begin(), tag.size(), tag.begin());
  return tag;
}

void AdmittedCalls::Add(absl::string_view prefix, absl::string_view path,
                        std::shared_ptr<const DeviceCall> call) {
  const Tag tag = TagOf(prefix, path);
  absl::MutexLock lock(&mutex_);
  Slot& slot = slots_[SlotOf(tag)];
  slot.tag = tag;
  slot.call.swap(call);  // the old one is let go outside the lock, with `call`
}

std::shared_ptr<const DeviceCall> AdmittedCalls::Find(absl::string_view prefix,
                                                      absl::string_view path) const {
  const Tag tag = TagOf(prefix, path);
  absl::MutexLock lock(&mutex_);
  const Slot& slot = slots_[SlotOf(tag)];
  if (!ConstantTimeEqual(View(slot.tag.data(), slot.tag.size()), View(tag.data(), tag.size()))) {
    return nullptr;
  }
  return slot.call;
}

}  // namespace forekey
