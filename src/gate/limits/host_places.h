// Places for work that takes long: so many in all, so many for one address. Who has none is refused
// at once, so that one address never fills what all wait in.
#ifndef FOREKEY_SRC_GATE_LIMITS_HOST_PLACES_H_
#define FOREKEY_SRC_GATE_LIMITS_HOST_PLACES_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread.
class HostPlaces {
 public:
  HostPlaces(size_t most, size_t share) : most_(most), share_(share) {}

  // `host`: a HostKey(). True: a place is taken, to be given back by Leave().
  bool Enter(const std::string& host) {
    absl::MutexLock lock(&mutex_);
    if (taken_ >= most_) return false;
    auto own = by_host_.try_emplace(host, 0).first;
    if (own->second >= share_) return false;
    ++own->second;
    ++taken_;
    return true;
  }
  void Leave(const std::string& host) {
    absl::MutexLock lock(&mutex_);
    auto own = by_host_.find(host);
    if (own == by_host_.end()) return;
    --taken_;
    if (--own->second == 0) by_host_.erase(own);
  }

 private:
  const size_t most_, share_;
  absl::Mutex mutex_;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, size_t> by_host_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_HOST_PLACES_H_
