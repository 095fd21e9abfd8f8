// SPDX-License-Identifier: Apache-2.0
// Places for work that takes long: so many in all, so many for one address and one site. Who has
// none is refused at once, so that one address never fills what all wait in.
#ifndef FOREKEY_SRC_GATE_LIMITS_HOST_PLACES_H_
#define FOREKEY_SRC_GATE_LIMITS_HOST_PLACES_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/limits/host_buckets.h"

namespace forekey {

// Safe from any thread.
class HostPlaces {
 public:
  // `share`: of one address; a site has kSitePlaces times as many.
  HostPlaces(size_t most, size_t share) : most_(most), share_(share) {}

  // `host`: a HostKey(). True: a place is taken, to be given back by Leave().
  bool Enter(const std::string& host) {
    const std::string site(SiteKey(host));
    absl::MutexLock lock(&mutex_);
    if (taken_ >= most_ || CountOf(by_host_, host) >= share_ ||
        CountOf(by_site_, site) >= kSitePlaces * share_) {
      return false;
    }
    ++by_host_[host];
    ++by_site_[site];
    ++taken_;
    return true;
  }
  void Leave(const std::string& host) {
    absl::MutexLock lock(&mutex_);
    if (CountOf(by_host_, host) == 0) return;
    --taken_;
    Release(by_host_, host);
    Release(by_site_, std::string(SiteKey(host)));
  }

 private:
  using Counts = absl::flat_hash_map<std::string, size_t>;
  static size_t CountOf(const Counts& counts, const std::string& key) {
    auto found = counts.find(key);
    return found == counts.end() ? 0 : found->second;
  }
  static void Release(Counts& counts, const std::string& key) {
    if (auto found = counts.find(key); --found->second == 0) counts.erase(found);
  }

  const size_t most_, share_;
  absl::Mutex mutex_;
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  Counts by_host_ ABSL_GUARDED_BY(mutex_);
  Counts by_site_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_HOST_PLACES_H_
