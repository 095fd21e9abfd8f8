// SPDX-License-Identifier: Apache-2.0
#include "src/base/lanes.h"

#include <deque>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Shared with the threads: a task may let go of the last reference to the Lanes.
struct Lanes::State {
  struct Lane {
    int width = 1;
    int running = 0;
    std::deque<Task> tasks;
    bool ready() const { return running < width && !tasks.empty(); }
  };

  absl::Mutex mutex;
  absl::CondVar changed;
  std::map<std::string, Lane> lanes ABSL_GUARDED_BY(mutex);
  std::vector<std::thread> threads ABSL_GUARDED_BY(mutex);
  int idle ABSL_GUARDED_BY(mutex) = 0;
  int called ABSL_GUARDED_BY(mutex) = 0;  // of the idle ones, those that were told of work
  bool stopping ABSL_GUARDED_BY(mutex) = false;

  Lane* ReadyLane() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (auto& [name, lane] : lanes) {
      if (lane.ready()) return &lane;
    }
    return nullptr;
  }

  void Run() {
    absl::MutexLock lock(&mutex);
    while (true) {
      Lane* lane = ReadyLane();
      if (lane == nullptr) {
        if (stopping) return;
        ++idle;
        changed.Wait(&mutex);
        --idle;
        if (called > 0) --called;
        continue;
      }
      Task task = std::move(lane->tasks.front());
      lane->tasks.pop_front();
      ++lane->running;
      mutex.Unlock();
      task();
      task = nullptr;  // what it holds goes without the lock
      mutex.Lock();
      --lane->running;
    }
  }
};

Lanes::Lanes() : state_(std::make_shared<State>()) {}
Lanes::~Lanes() { Stop(); }

void Lanes::Post(const std::string& lane_name, int width, Task task) {
  {
    absl::MutexLock lock(&state_->mutex);
    if (!state_->stopping) {
      State::Lane& lane = state_->lanes[lane_name];
      lane.width = width;
      lane.tasks.push_back(std::move(task));
      if (!lane.ready()) return;  // who runs one of them goes on with it
      if (state_->idle > state_->called) {
        ++state_->called;
        state_->changed.Signal();
      } else {
        state_->threads.emplace_back([state = state_] { state->Run(); });
      }
      return;
    }
  }
  task();
}

void Lanes::Stop() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    threads.swap(state_->threads);
    state_->changed.SignalAll();
  }
  for (std::thread& thread : threads) {
    if (thread.get_id() == std::this_thread::get_id()) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

}  // namespace forekey
