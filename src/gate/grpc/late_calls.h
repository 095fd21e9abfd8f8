// SPDX-License-Identifier: Apache-2.0
// Calls that arrive while the server shuts down. gRPC tells its peers to go elsewhere (GOAWAY), and
// what they sent before they heard of it still arrives; gRPC 1.51 ends such a call as CANCELLED,
// which no client may take for "try again". So the gate refuses these itself, before they get
// there. At first it keeps the refusals: a client that is refused before it heard of the GOAWAY
// would come again by the same connection.
#ifndef FOREKEY_SRC_GATE_GRPC_LATE_CALLS_H_
#define FOREKEY_SRC_GATE_GRPC_LATE_CALLS_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread.
class LateCalls {
 public:
  // More than these are refused at once.
  static constexpr size_t kMostKept = 1024;

  // Whether calls are late. Asked for every call: it takes no lock.
  bool began() const { return began_.load(std::memory_order_acquire); }
  // From now on calls are late, and are kept.
  void Begin();
  // Refuses those that are kept, and from now on each at once.
  void TellAll();
  // `refuse` is called once: by TellAll(), or here.
  void Add(std::function<void()> refuse);

 private:
  std::atomic<bool> began_{false};
  absl::Mutex mutex_;
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_LATE_CALLS_H_
