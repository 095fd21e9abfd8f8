// SPDX-License-Identifier: Apache-2.0
#include "src/gate/limits/stranger_limit.h"

#include <optional>
#include <string>

#include "src/base/reason.h"

namespace forekey {
namespace {

bool IsPeersFault(const absl::Status& why) {
  const std::optional<Reason> reason = ReasonOf(why);
  return reason && PublicCode(*reason) != absl::StatusCode::kUnavailable &&
         *reason != Reason::kTicketClock;
}

}  // namespace

StrangerLimit::StrangerLimit(const StrangerLimitOptions& options)
    : hosts_(options.per_address_per_second, options.per_address_burst),
      look_ups_bounded_(options.look_ups > 0),
      look_ups_(options.look_ups, options.look_ups),
      bucket_(options.per_second, options.burst),
      unknown_(options.per_second, options.burst) {}

uint64_t StrangerLimit::HashOf(absl::string_view peer) const {
  return hosts_.HashOf(HostKey(peer));
}

bool StrangerLimit::AllowLookUp(absl::string_view peer, BootTime now) {
  if (peer.empty()) return unknown_.Take(now);
  const std::string host = HostKey(peer);
  if (Knows(hosts_.HashOf(host))) return true;
  return hosts_.Take(host, now) && (!look_ups_bounded_ || look_ups_.Take(now));
}

bool StrangerLimit::AllowSignature(absl::string_view peer, BootTime now) {
  return peer.empty() || Knows(HashOf(peer)) || bucket_.Take(now);
}

void StrangerLimit::Succeeded(absl::string_view peer) {
  if (peer.empty()) return;
  const uint64_t hash = HashOf(peer);
  known_[hash % kSlots].store(hash, std::memory_order_relaxed);
}

void StrangerLimit::Failed(absl::string_view peer, const absl::Status& why) {
  if (peer.empty() || !IsPeersFault(why)) return;
  const uint64_t hash = HashOf(peer);
  uint64_t expected = hash;
  known_[hash % kSlots].compare_exchange_strong(expected, 0, std::memory_order_relaxed);
}

}  // namespace forekey
