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
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> exempt{0};
  std::atomic<uint64_t> resumed{0};                                   // sessions that went on here
  std::array<std::atomic<uint64_t>, kReasonCount + 1> refused_for{};  // the last: failures
  std::atomic<uint64_t> session_calls{0};                             // that were admitted
  // Of sessions' calls one in kTimedSessionCall is timed: the look at the clock and the two
  // additions that this takes are a tenth of what judging one costs. All others are.
  LatencyHistogram session_latency, device_latency, refused_latency;
  static constexpr uint64_t kTimedSessionCall = 8;

  uint64_t admitted() const {
    return session_calls.load(std::memory_order_relaxed) + device_latency.count() +
           resumed.load(std::memory_order_relaxed);
  }
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_GATE_COUNTERS_H_
