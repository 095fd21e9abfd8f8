#include "src/gate/limits/stranger_limit.h"

namespace forekey {

StrangerLimit::StrangerLimit(const StrangerLimitOptions& options)
    : hosts_(options.per_address_per_second, options.per_address_burst),
      bucket_(options.per_second, options.burst) {}

uint64_t StrangerLimit::HashOf(absl::string_view peer) const {
  return hosts_.HashOf(HostKey(peer));
}

bool StrangerLimit::Allow(absl::string_view peer, int64_t now_boot_nanos) {
  if (peer.empty()) return bucket_.Take(now_boot_nanos);
  const uint64_t hash = HashOf(peer);
  if (known_[hash % kSlots].load(std::memory_order_relaxed) == hash) return true;
  // His own first: what he is refused here he does not take from the others.
  if (!hosts_.Take(hash, now_boot_nanos)) return false;
  return bucket_.Take(now_boot_nanos);
}

void StrangerLimit::Succeeded(absl::string_view peer) {
  if (peer.empty()) return;
  const uint64_t hash = HashOf(peer);
  known_[hash % kSlots].store(hash, std::memory_order_relaxed);
}

void StrangerLimit::Failed(absl::string_view peer) {
  const uint64_t hash = HashOf(peer);
  uint64_t expected = hash;
  known_[hash % kSlots].compare_exchange_strong(expected, 0, std::memory_order_relaxed);
}

}  // namespace forekey
