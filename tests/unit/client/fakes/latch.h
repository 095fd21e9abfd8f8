// SPDX-License-Identifier: Apache-2.0
#ifndef FOREKEY_TESTS_UNIT_CLIENT_FAKES_LATCH_H_
#define FOREKEY_TESTS_UNIT_CLIENT_FAKES_LATCH_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace forekey::testing {

// Holds up whoever passes it, from Hold() to Release().
class Latch {
 public:
  void Hold() { Set(true); }
  void HoldFirst() {  // one at a time: while it waits, the others pass
    absl::MutexLock lock(&mutex_);
    held_ = first_alone_ = true;
  }
  void Release() { Set(false); }
  void AwaitWaiters(int count) {  // until so many wait
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return waiting_ >= count; };
    mutex_.Await(absl::Condition(&there));
  }
  void Pass() {
    absl::MutexLock lock(&mutex_);
    if (first_alone_ && waiting_ > 0) return;
    ++waiting_;
    const auto released = [this] { return !held_; };
    mutex_.Await(absl::Condition(&released));
    --waiting_;
  }

 private:
  void Set(bool held) {
    absl::MutexLock lock(&mutex_);
    held_ = held;
    first_alone_ = false;
  }
  absl::Mutex mutex_;
  bool held_ = false;
  bool first_alone_ = false;
  int waiting_ = 0;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_UNIT_CLIENT_FAKES_LATCH_H_
