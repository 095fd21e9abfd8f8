// SPDX-License-Identifier: Apache-2.0
// How many public-key operations the gate spends on peers that have not shown anything yet. A host
// that had a device proof admitted is not a stranger until a proof from it fails. Strangers have a
// bucket for each address and its site, which is asked before anything is looked up for them, and
// one together, which is asked last: what is refused before takes nothing from the others. So a
// flood of bad proofs from one address stops nobody else, and one from many stops neither the hosts
// that work nor any credential (LAWs 5 and 7).
#ifndef FOREKEY_SRC_GATE_LIMITS_STRANGER_LIMIT_H_
#define FOREKEY_SRC_GATE_LIMITS_STRANGER_LIMIT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/base/boot_time.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/limits/stranger_limit_options.h"
#include "src/gate/limits/token_bucket.h"

namespace forekey {

// Fixed memory. Safe from any thread. Empty peers (whose address is not known) have a bucket of
// their own together, take nothing from the others, and stay strangers.
class StrangerLimit {
 public:
  explicit StrangerLimit(const StrangerLimitOptions& options);

  // Where a peer comes from, as one limit knows it. Reading and hashing an address takes as long as
  // the MAC of a call, so who asks several things about one peer has it made once.
  class Host {
   private:
    friend class StrangerLimit;
    std::string key;    // HostKey()
    uint64_t hash = 0;  // of an empty peer: 0
  };
  Host HostOf(absl::string_view peer) const;

  // Before a look-up in a store: false when `host` is a stranger, and its own bucket is empty, or
  // the one of all strangers' look-ups.
  bool AllowLookUp(const Host& host, BootTime now);
  // After AllowLookUp, before a public-key operation: false when `host` is a stranger, and the
  // bucket of all strangers is empty.
  bool AllowSignature(const Host& host, BootTime now);
  void Succeeded(const Host& host);
  // `why`: only what the peer did wrong counts, not what the gate could not do (its registry, its
  // room, its clock): who works stays known over an outage.
  void Failed(const Host& host, const absl::Status& why);

  // The same of a peer that is asked about once.
  bool AllowLookUp(absl::string_view peer, BootTime now) { return AllowLookUp(HostOf(peer), now); }
  void Succeeded(absl::string_view peer) { Succeeded(HostOf(peer)); }
  void Failed(absl::string_view peer, const absl::Status& why) { Failed(HostOf(peer), why); }

 private:
  static constexpr size_t kSlots = 4096;
  bool Knows(uint64_t hash) const {
    return known_[hash % kSlots].load(std::memory_order_relaxed) == hash;
  }

  SiteBuckets hosts_;
  const bool look_ups_bounded_;
  TokenBucket look_ups_;
  TokenBucket bucket_;
  TokenBucket unknown_;
  std::array<std::atomic<uint64_t>, kSlots> known_{};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_STRANGER_LIMIT_H_
