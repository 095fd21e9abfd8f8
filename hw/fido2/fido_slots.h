// SPDX-License-Identifier: Apache-2.0
// Which keys are in use by which thread of this process: one operation a key at a time; the others
// wait no longer than their callers do. Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_SLOTS_H_
#define FOREKEY_HW_FIDO2_FIDO_SLOTS_H_

#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "hw/fido2/hid_link.h"

namespace forekey {

// Safe from any thread.
class FidoSlots {
 public:
  // kBusy when the deadline came first, kCancelled.
  absl::Status Take(const std::string& path, const FidoWait& wait);
  bool TryTake(const std::string& path);
  void Give(const std::string& path);

 private:
  absl::Mutex mutex_;
  std::set<std::string> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_SLOTS_H_
