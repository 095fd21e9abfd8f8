// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/exempt_calls.h"

namespace forekey {
namespace {

// So many calls that were refused for their number, one after the other, end a connection.
constexpr uint32_t kRefusals = 16;
// A call gets to its interceptor in less.
constexpr int64_t kWayNanos = 1'000'000'000;

}  // namespace

ExemptCalls::Answer ExemptCalls::Ask(const Call& call, absl::FunctionRef<bool()> address_allows) {
  if (!rate_.Take(call.now)) {
    too_fast_.store(true, std::memory_order_relaxed);
    return Refused("exempt calls of this connection", true);
  }
  if (!call.proved && !address_allows()) return {"exempt calls of this address"};
  const int32_t running = running_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!call.proved && running > stranger_calls_) {
    running_.fetch_sub(1, std::memory_order_relaxed);
    constexpr absl::string_view kWhy = "exempt calls at once, with nothing admitted";
    if (!watches()) return Refused(kWhy, true);
    // A prober whose calls were given up before anybody saw them: it shall probe on, by another
    // connection, instead of being refused for ever.
    const bool all_are_lost =
        began_.load(std::memory_order_relaxed) == 0 &&
        call.now.NanosSince(let_in_.load(std::memory_order_relaxed)) > kWayNanos;
    if (all_are_lost) return {kWhy, /*ends=*/true, /*costs=*/false};
    return Refused(kWhy, too_fast_.load(std::memory_order_relaxed));
  }
  if (!call.own) watches_.store(true, std::memory_order_relaxed);
  let_in_.store(call.now, std::memory_order_relaxed);
  refused_.store(0, std::memory_order_relaxed);
  too_fast_.store(false, std::memory_order_relaxed);
  return {};
}

ExemptCalls::Answer ExemptCalls::Refused(absl::string_view why, bool costs) {
  const uint32_t count = refused_.fetch_add(1, std::memory_order_relaxed) + 1;
  return {why, count >= kRefusals, costs};
}

}  // namespace forekey
