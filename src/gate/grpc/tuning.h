// SPDX-License-Identifier: Apache-2.0
// Where gRPC itself loses time behind a metadata processor, and what is done about it.
#ifndef FOREKEY_SRC_GATE_GRPC_TUNING_H_
#define FOREKEY_SRC_GATE_GRPC_TUNING_H_

#include <string>

namespace forekey {

struct TuningOptions {
  // gRPC 1.51 finishes a processor's decision in a nested execution context. Its transport takes
  // that for contention and hands the rest of the work to the threads of its default executor: two
  // context switches a call, and two thirds more CPU. Without those threads the work is done where
  // it is. The switch is gRPC's own (its Python asyncio layer uses it), but not in a public header:
  // it is linked weakly, and used with the versions alone that were tried.
  bool executor_threads_off = true;
  // Debian's Abseil is built with mutex deadlock detection, which costs about 15 % of a call's CPU.
  bool mutex_deadlock_detection_off = true;
};

// Once a process, before there is gRPC traffic in it: the executor's threads are joined here. gRPC
// must be initialised, and stay so. Returns what was done, for the log.
std::string ApplyTuning(const TuningOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_TUNING_H_
