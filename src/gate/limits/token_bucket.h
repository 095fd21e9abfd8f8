// SPDX-License-Identifier: Apache-2.0
// A token bucket: at most `burst` at once, `per_second` on average.
#ifndef FOREKEY_SRC_GATE_LIMITS_TOKEN_BUCKET_H_
#define FOREKEY_SRC_GATE_LIMITS_TOKEN_BUCKET_H_

#include <algorithm>

#include "absl/synchronization/mutex.h"
#include "src/base/boot_time.h"

namespace forekey {

// Safe from any thread. Starts full.
class TokenBucket {
 public:
  TokenBucket(double per_second, double burst)
      : per_nano_(per_second / 1e9), burst_(burst), tokens_(burst) {}

  // Takes one token at this time; false, taking nothing, where there is none.
  bool Take(BootTime now) {
    absl::MutexLock lock(&mutex_);
    if (now > last_) {
      if (last_ != BootTime()) {
        tokens_ =
            std::min(burst_, tokens_ + per_nano_ * static_cast<double>(now.NanosSince(last_)));
      }
      last_ = now;
    }
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  const double per_nano_;
  const double burst_;
  absl::Mutex mutex_;
  double tokens_ ABSL_GUARDED_BY(mutex_);
  BootTime last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_TOKEN_BUCKET_H_
