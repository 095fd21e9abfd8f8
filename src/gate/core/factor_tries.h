// How often one credential may try a further factor. Nobody else's tries count, so that nobody is
// locked out by another.
#ifndef FOREKEY_SRC_GATE_CORE_FACTOR_TRIES_H_
#define FOREKEY_SRC_GATE_CORE_FACTOR_TRIES_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/base/reason.h"

namespace forekey {

// Safe from any thread. Bounded: full, who is not in it waits for the oldest to expire.
class FactorTries {
 public:
  // `tries` of one credential in `per`; what is beyond is refused with `reason`.
  FactorTries(size_t tries, absl::Duration per, Reason reason)
      : tries_(tries), per_nanos_(absl::ToInt64Nanoseconds(per)), reason_(reason) {}

  // Counted before the factor is looked at, so that tries at once don't slip by. `credential_ids`:
  // whose signatures verified.
  absl::Status Take(absl::Span<const std::string> credential_ids, int64_t now_boot_nanos);
  void GiveBack(absl::Span<const std::string> credential_ids);

 private:
  struct Used {
    size_t tries = 0;
    int64_t since_boot_nanos = 0;
  };
  const size_t tries_;
  const int64_t per_nanos_;
  const Reason reason_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Used> used_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CORE_FACTOR_TRIES_H_
