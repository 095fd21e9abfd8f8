// SPDX-License-Identifier: Apache-2.0
// What a gate in this process holds, for tests that break things: afterwards everything must be
// where it was.
#ifndef FOREKEY_TESTS_OPERATE_GATE_CALM_H_
#define FOREKEY_TESTS_OPERATE_GATE_CALM_H_

#include <poll.h>

#include <filesystem>
#include <functional>
#include <ostream>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/gate/grpc/live_calls.h"
#include "src/gate/service/gate_core.h"

namespace forekey::testing {

// Asks again and again until it is so; false where it is not within a minute.
inline bool Eventually(const std::function<bool()>& is_so) {
  const absl::Time until = absl::Now() + absl::Minutes(1);
  while (!is_so()) {
    if (absl::Now() > until) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

inline size_t EntriesOf(const char* folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

struct Holdings {
  size_t descriptors = 0, threads = 0, sessions = 0, live_calls = 0;

  static Holdings Of(GateCore& core) {
    return {.descriptors = EntriesOf("/proc/self/fd"),
            .threads = EntriesOf("/proc/self/task"),
            .sessions = core.sessions().size(),
            .live_calls = LiveCalls::OfProcess().size()};
  }
  // gRPC's sync server keeps a few threads more or less, as it likes.
  bool NoMoreThan(const Holdings& other) const {
    return descriptors <= other.descriptors && threads <= other.threads + 4 &&
           sessions <= other.sessions && live_calls <= other.live_calls;
  }
  friend std::ostream& operator<<(std::ostream& out, const Holdings& held) {
    return out << held.descriptors << " descriptors, " << held.threads << " threads, "
               << held.sessions << " sessions, " << held.live_calls << " live calls";
  }
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_OPERATE_GATE_CALM_H_
