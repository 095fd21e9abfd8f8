// SPDX-License-Identifier: Apache-2.0
#include "src/gate/limits/stranger_limit.h"

#include <optional>

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

StrangerLimit::Host StrangerLimit::HostOf(absl::string_view peer) const {
  Host host;
  if (peer.empty()) return host;
  host.key = HostKey(peer);
  host.hash = hosts_.HashOf(host.key);
  return host;
}

bool StrangerLimit::AllowLookUp(const Host& host, BootTime now) {
  if (host.hash == 0) return unknown_.Take(now);
  if (Knows(host.hash)) return true;
  return hosts_.Take(host.key, now) && (!look_ups_bounded_ || look_ups_.Take(now));
}

bool StrangerLimit::AllowSignature(const Host& host, BootTime now) {
  return host.hash == 0 || Knows(host.hash) || bucket_.Take(now);
}

void StrangerLimit::Succeeded(const Host& host) {
  if (host.hash == 0) return;
  known_[host.hash % kSlots].store(host.hash, std::memory_order_relaxed);
}

void StrangerLimit::Failed(const Host& host, const absl::Status& why) {
  if (host.hash == 0 || !IsPeersFault(why)) return;
  uint64_t expected = host.hash;
  known_[host.hash % kSlots].compare_exchange_strong(expected, 0, std::memory_order_relaxed);
}

}  // namespace forekey
