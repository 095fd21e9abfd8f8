// SPDX-License-Identifier: Apache-2.0
// The device proofs and resumptions that were admitted last, in a fixed number of slots: so that a
// handler's accessor need not check signatures twice. Calls are found by keyed hashes of prefix and
// path, so nobody can make one hit. A device proof that was overwritten only costs the signature
// checks again; a resumption would be refused, so four later ones of its set have to come between
// its judging and its handler.
#ifndef FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_
#define FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_

#include <array>
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
  AdmittedCalls() : sets_(kSets) {}
  void Add(absl::string_view prefix, absl::string_view path,
           std::shared_ptr<const DeviceCall> call);
  // Null where it is not known (any more).
  std::shared_ptr<const DeviceCall> Find(absl::string_view prefix, absl::string_view path) const;

 private:
  static constexpr size_t kSets = 256, kWays = 4;
  struct Slot {
    TableHash::Value prefix{}, path{};
    std::shared_ptr<const DeviceCall> call;
  };
  using Set = std::array<Slot, kWays>;  // the latest first
  static size_t SetOf(const TableHash::Value& prefix) { return size_t{prefix[0]} % kSets; }

  const TableHash hash_;
  mutable absl::Mutex mutex_;
  std::vector<Set> sets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_ADMITTED_CALLS_H_
