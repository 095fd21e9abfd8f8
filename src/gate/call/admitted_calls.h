// SPDX-License-Identifier: Apache-2.0
// The device proofs that were admitted last, in a fixed number of slots: so that a handler's
// accessor need not check signatures twice. Calls are found by a MAC over prefix and path under a
// key of this process, so nobody can make one hit; one that was overwritten only costs the
// signature checks again.
#ifndef FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_
#define FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/crypto/digest.h"

namespace forekey {

struct DeviceCall;

// Safe from any thread.
class AdmittedCalls {
 public:
  AdmittedCalls();
  void Add(absl::string_view prefix, absl::string_view path,
           std::shared_ptr<const DeviceCall> call);
  // Null where it is not known (any more).
  std::shared_ptr<const DeviceCall> Find(absl::string_view prefix, absl::string_view path) const;

 private:
  static constexpr size_t kSlots = 1024;
  using Tag = std::array<uint8_t, 16>;
  struct Slot {
    Tag tag{};
    std::shared_ptr<const DeviceCall> call;
  };
  Tag TagOf(absl::string_view prefix, absl::string_view path) const;
  static size_t SlotOf(const Tag& tag) { return (size_t{tag[0]} << 8 | tag[1]) % kSlots; }

  const HmacSha256 key_;
  mutable absl::Mutex mutex_;
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_
