// SPDX-License-Identifier: Apache-2.0
// Threads with one bounded queue.
#ifndef FOREKEY_SRC_GATE_GRPC_WORKER_H_
#define FOREKEY_SRC_GATE_GRPC_WORKER_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

class Worker {
 public:
  // At most `capacity` tasks wait.
  explicit Worker(size_t capacity, size_t threads = 1);
  // Runs what is queued, then joins.
  ~Worker();

  // False, and `task` is dropped, where the queue is full.
  bool Submit(std::function<void()> task);

 private:
  void Run();

  const size_t capacity_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_WORKER_H_
