// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_slots.h"

#include "src/base/deadline.h"
#include "src/base/status.h"

namespace forekey {
namespace {
constexpr absl::Duration kSlotPoll = absl::Milliseconds(20);
}  // namespace

absl::Status FidoSlots::Take(const std::string& path, const FidoWait& wait) {
  auto free = [this, &path]()
                  ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !taken_.contains(path); };
  while (true) {
    FOREKEY_RETURN_IF_ERROR(wait.CheckCancelled());
    absl::MutexLock lock(&mutex_);
    if (AwaitFor(mutex_, absl::Condition(&free), kSlotPoll)) {
      taken_.insert(path);
      return absl::OkStatus();
    }
    if (wait.deadline.Passed()) {
      return DeviceFailure(DeviceError::kBusy, "the security key is in use by another call");
    }
  }
}

bool FidoSlots::TryTake(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  return taken_.insert(path).second;
}

void FidoSlots::Give(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  taken_.erase(path);
}

}  // namespace forekey
