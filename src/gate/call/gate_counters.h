// SPDX-License-Identifier: Apache-2.0
// What a gate counts of the calls that it judges: for metrics and for its status.
#ifndef FOREKEY_SRC_GATE_CALL_GATE_COUNTERS_H_
#define FOREKEY_SRC_GATE_CALL_GATE_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "src/base/reason.h"
#include "src/gate/limits/latency.h"

namespace forekey {

// Safe from any thread.
struct GateCounters {
  std::atomic<uint64_t> admitted{0};
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> exempt{0};
  std::atomic<uint64_t> resumed{0};                                   // sessions that went on here
  std::array<std::atomic<uint64_t>, kReasonCount + 1> refused_for{};  // the last: failures
  LatencyHistogram session_latency, device_latency, refused_latency;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_GATE_COUNTERS_H_
