#include "src/gate/core/stranger_limit.h"

#include "absl/strings/match.h"
#include "src/base/bytes.h"
#include "src/base/secret.h"
#include "src/crypto/random.h"

namespace forekey {

absl::string_view HostOfPeer(absl::string_view peer) {
  if (!absl::StartsWith(peer, "ipv4:") && !absl::StartsWith(peer, "ipv6:")) return peer;
  const size_t colon = peer.rfind(':');
  // The scheme's own colon is no port's.
  return colon <= 4 ? peer : peer.substr(0, colon);
}

StrangerLimit::StrangerLimit(double per_second, double burst)
    : key_(Secret(RandomBytes(kSha256Size)).view()), bucket_(per_second, burst) {}

uint64_t StrangerLimit::HashOf(absl::string_view peer) const {
  const auto mac = key_.Mac({HostOfPeer(peer)});
  uint64_t hash = ByteReader(View(mac.data(), 8)).U64();
  return hash == 0 ? 1 : hash;
}

bool StrangerLimit::Allow(absl::string_view peer, int64_t now_boot_nanos) {
  const uint64_t hash = HashOf(peer);
  if (known_[hash % kSlots].load(std::memory_order_relaxed) == hash) return true;
  return bucket_.Take(now_boot_nanos);
}

void StrangerLimit::Succeeded(absl::string_view peer) {
  const uint64_t hash = HashOf(peer);
  known_[hash % kSlots].store(hash, std::memory_order_relaxed);
}

void StrangerLimit::Failed(absl::string_view peer) {
  const uint64_t hash = HashOf(peer);
  uint64_t expected = hash;
  known_[hash % kSlots].compare_exchange_strong(expected, 0, std::memory_order_relaxed);
}

}  // namespace forekey
