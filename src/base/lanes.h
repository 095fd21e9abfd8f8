// SPDX-License-Identifier: Apache-2.0
// Threads for work that blocks: tasks stand in lanes, and of each lane so many run at once. So a
// lane whose tasks all hang holds up nobody else.
#ifndef FOREKEY_SRC_BASE_LANES_H_
#define FOREKEY_SRC_BASE_LANES_H_

#include <functional>
#include <memory>
#include <string>

namespace forekey {

// Safe from any thread. Threads are made when they are needed and kept; there are never more than
// the lanes are wide together.
class Lanes {
 public:
  using Task = std::function<void()>;

  Lanes();
  ~Lanes();  // Stop()

  // Runs the task in another thread, in its turn. After Stop(): here and now.
  void Post(const std::string& lane, int width, Task task);

  // Runs what is queued, and waits for it. From a task of its own, it does not wait for that one.
  void Stop();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_LANES_H_
