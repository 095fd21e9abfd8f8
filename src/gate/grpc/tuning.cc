// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/tuning.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace grpc_core {
// src/core/lib/iomgr/executor.h of gRPC 1.51; declared here because that header is not installed.
class Executor {
 public:
  static void SetThreadingDefault(bool enable) __attribute__((weak));
};
}  // namespace grpc_core

namespace forekey {

std::string ApplyTuning(const TuningOptions& options) {
  std::string done;
  if (options.mutex_deadlock_detection_off) {
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    done = "mutex deadlock detection off";
  }
  if (options.executor_threads_off) {
    const std::string version = grpc::Version();
    absl::StrAppend(&done, done.empty() ? "" : ", ");
    if (!absl::StartsWith(version, "1.51.")) {
      absl::StrAppend(&done, "executor threads left on (gRPC ", version, " was not tried)");
    } else if (&grpc_core::Executor::SetThreadingDefault == nullptr) {
      absl::StrAppend(&done, "executor threads left on (this gRPC does not export the switch)");
    } else {
      grpc_core::Executor::SetThreadingDefault(false);
      absl::StrAppend(&done, "executor threads off");
    }
  }
  return done;
}

}  // namespace forekey
