// SPDX-License-Identifier: Apache-2.0
// Token buckets, one for each address that does something, in fixed memory: what a stranger does
// costs his own address, and nobody can make the gate remember more by coming from many (LAWs
// 5 and 7).
#ifndef FOREKEY_SRC_GATE_LIMITS_HOST_BUCKETS_H_
#define FOREKEY_SRC_GATE_LIMITS_HOST_BUCKETS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/boot_time.h"
#include "src/crypto/table_hash.h"

namespace forekey {

// "ipv4:192.0.2.1:4711" -> "ipv4:192.0.2.1": a port says nothing about who it is.
absl::string_view HostOfPeer(absl::string_view peer);

// What counts as one address: 4 bytes of IPv4 (also where it is mapped into IPv6), the /64 of IPv6,
// which one machine has all of; for anything else the peer without its port. Empty for an empty
// peer.
std::string HostKey(absl::string_view peer);

// The site that a HostKey() is of: the /48 of an IPv6 address, which one customer of a provider may
// have all of (65,536 addresses here); all else is a site of its own. Neighbours may share one,
// too: so a site gets more than an address does, of rates and of places.
absl::string_view SiteKey(absl::string_view host_key);
constexpr double kSiteRates = 4;
constexpr size_t kSitePlaces = 2;

// About 100 KiB. Where more addresses than there are slots are active at once, those that used
// least of their tokens are forgotten first. Safe from any thread.
class HostBuckets {
 public:
  HostBuckets(double per_second, double burst);
  // A keyed hash of a HostKey(), never 0: nobody chooses whose slot he takes.
  uint64_t HashOf(absl::string_view host_key) const;
  bool Take(uint64_t hash, BootTime now);
  // Takes `tokens` whether they are there or not: at most `burst` are owed.
  void Charge(uint64_t hash, double tokens, BootTime now);

 private:
  static constexpr size_t kSets = 1024;
  static constexpr size_t kWays = 4;
  struct Bucket {
    uint64_t hash = 0;
    BootTime last;
    double tokens = 0;
  };
  struct Set {
    absl::Mutex mutex;
    std::array<Bucket, kWays> ways ABSL_GUARDED_BY(mutex);
  };
  Bucket& Refilled(Set& set, uint64_t hash, BootTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(set.mutex);

  const TableHash table_hash_;
  const double per_nano_;
  const double burst_;
  const std::unique_ptr<std::array<Set, kSets>> sets_;
};

// HostBuckets of addresses, and of their sites with kSiteRates times as much. Safe from any thread.
class SiteBuckets {
 public:
  SiteBuckets(double per_second, double burst)
      : hosts_(per_second, burst), sites_(kSiteRates * per_second, kSiteRates * burst) {}
  uint64_t HashOf(absl::string_view host_key) const { return hosts_.HashOf(host_key); }
  // What the address has not got is not taken from its site.
  bool Take(absl::string_view host_key, BootTime now);
  // The address alone pays: its neighbours would lose as much by one forger.
  void Charge(absl::string_view host_key, double tokens, BootTime now) {
    hosts_.Charge(HashOf(host_key), tokens, now);
  }

 private:
  HostBuckets hosts_, sites_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_HOST_BUCKETS_H_
