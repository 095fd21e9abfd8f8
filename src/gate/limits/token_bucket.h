// A token bucket: at most `burst` at once, `per_second` on average.
#ifndef FOREKEY_SRC_GATE_LIMITS_TOKEN_BUCKET_H_
#define FOREKEY_SRC_GATE_LIMITS_TOKEN_BUCKET_H_

#include <algorithm>
#include <cstdint>

#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread. Starts full.
class TokenBucket {
 public:
  TokenBucket(double per_second, double burst)
      : per_nano_(per_second / 1e9), burst_(burst), tokens_(burst) {}

  // Takes one token at this time (CLOCK_BOOTTIME); false, taking nothing, where there is none.
  bool Take(int64_t now_boot_nanos) {
    absl::MutexLock lock(&mutex_);
    if (now_boot_nanos > last_) {
      if (last_ != 0) {
        tokens_ =
            std::min(burst_, tokens_ + per_nano_ * static_cast<double>(now_boot_nanos - last_));
      }
      last_ = now_boot_nanos;
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
  int64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_TOKEN_BUCKET_H_
