// SPDX-License-Identifier: Apache-2.0
// Deadlines of calls by a clock that nobody sets. A std::chrono::system_clock one becomes such a
// deadline only when the call begins: where the wall clock is set in between, it is off by as much.
// (absl::Now() makes that a matter of seconds: it asks the kernel every two seconds only.)
#ifndef FOREKEY_SRC_RPC_CALL_DEADLINE_H_
#define FOREKEY_SRC_RPC_CALL_DEADLINE_H_

#include <grpc/support/time.h>

#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace forekey {

// So long from now; for ClientContext::set_deadline() and the like.
inline gpr_timespec CallDeadline(absl::Duration time) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(time), GPR_TIMESPAN));
}

// Of ServerContextBase::raw_deadline(). Negative where it has passed, infinite where there is none.
inline absl::Duration TimeLeft(gpr_timespec deadline) {
  const gpr_timespec left = gpr_convert_clock_type(deadline, GPR_TIMESPAN);
  if (left.tv_sec == std::numeric_limits<int64_t>::max()) return absl::InfiniteDuration();
  return absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
}

}  // namespace forekey

#endif  // FOREKEY_SRC_RPC_CALL_DEADLINE_H_
