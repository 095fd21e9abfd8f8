// SPDX-License-Identifier: Apache-2.0
// The device proofs that were admitted last, in a fixed number of slots: so that a handler's
// accessor need not check signatures twice. Calls are found by keyed hashes of prefix and path, so
// nobody can make one hit; one that was overwritten only costs the signature checks again.
#ifndef FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_
#define FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/crypto/table_hash.h"

namespace forekey {

struct DeviceCall;

// Safe from any thread.
class AdmittedCalls {
 public:
  AdmittedCalls() : slots_(kSlots) {}
  void Add(absl::string_view prefix, absl::string_view path,
           std::shared_ptr<const DeviceCall> call);
  // Null where it is not known (any more).
  std::shared_ptr<const DeviceCall> Find(absl::string_view prefix, absl::string_view path) const;

 private:
  static constexpr size_t kSlots = 1024;
  struct Slot {
    TableHash::Value prefix{}, path{};
    std::shared_ptr<const DeviceCall> call;
  };
  static size_t SlotOf(const TableHash::Value& prefix) {
    return (size_t{prefix[0]} << 8 | prefix[1]) % kSlots;
  }

  const TableHash hash_;
  mutable absl::Mutex mutex_;
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_
