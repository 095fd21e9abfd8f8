// SPDX-License-Identifier: Apache-2.0
// How often one credential may try a further factor. Nobody else's tries count, so that nobody is
// locked out by another.
//
// Counted twice: in the registry, by wall time, so that a restart gives none back; and in memory,
// by boot time, so that a wall clock that is set forward gives none back either, and that who has
// none left costs no look at a disk.
#ifndef FOREKEY_SRC_GATE_FACTOR_FACTOR_TRIES_H_
#define FOREKEY_SRC_GATE_FACTOR_FACTOR_TRIES_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/base/reason.h"
#include "src/store/registry.h"

namespace forekey {

struct FactorTriesOptions {
  std::string factor;  // under which the registry counts them
  size_t tries = 0;    // of one credential ...
  absl::Duration per;
  Reason reason;  // what is beyond is refused with
};

// Safe from any thread. Bounded: full, who is not in it waits for the oldest to expire.
class FactorTries {
 public:
  // Both are borrowed.
  FactorTries(FactorTriesOptions options, Registry& registry, const Clock& clock);

  // Counted, durably, before the factor is looked at: neither tries at once nor a kill -9 slip by.
  // kStoreUnavailable; `credential_ids`: whose signatures verified.
  absl::Status Take(absl::Span<const std::string> credential_ids);
  // Where the registry can't do so, they stay used.
  void GiveBack(absl::Span<const std::string> credential_ids);

 private:
  struct Used {
    size_t tries = 0;
    BootTime since;
  };
  absl::Status TakeInMemory(absl::Span<const std::string> credential_ids);

  const FactorTriesOptions options_;
  Registry& registry_;
  const Clock& clock_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Used> used_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_FACTOR_TRIES_H_
