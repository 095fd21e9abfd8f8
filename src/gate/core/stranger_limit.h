// How many signature checks the gate spends on peers that have not shown anything yet. A host that had
// a device proof admitted is not a stranger until a proof from it fails; strangers share one bucket.
// So a flood of bad proofs stops neither the hosts that work nor any credential (DESIGN LAWs 5, 7).
#ifndef FOREKEY_SRC_GATE_CORE_STRANGER_LIMIT_H_
#define FOREKEY_SRC_GATE_CORE_STRANGER_LIMIT_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/crypto/digest.h"
#include "src/gate/core/token_bucket.h"

namespace forekey {

// "ipv4:192.0.2.1:4711" -> "ipv4:192.0.2.1": a port says nothing about who it is.
absl::string_view HostOfPeer(absl::string_view peer);

// Fixed memory (32 KiB). Safe from any thread.
class StrangerLimit {
 public:
  StrangerLimit(double per_second, double burst);

  // False when `peer` is a stranger and the bucket is empty.
  bool Allow(absl::string_view peer, int64_t now_boot_nanos);
  void Succeeded(absl::string_view peer);
  void Failed(absl::string_view peer);

 private:
  static constexpr size_t kSlots = 4096;
  // A keyed hash, so that a peer can't choose whose slot it takes. Never 0.
  uint64_t HashOf(absl::string_view peer) const;

  const HmacSha256 key_;
  TokenBucket bucket_;
  std::array<std::atomic<uint64_t>, kSlots> known_{};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CORE_STRANGER_LIMIT_H_
