// SPDX-License-Identifier: Apache-2.0
// What was seen lately, in bounded memory: the last kKept at least, twice as many at most.
#ifndef FOREKEY_SRC_GATE_LIMITS_LATELY_SEEN_H_
#define FOREKEY_SRC_GATE_LIMITS_LATELY_SEEN_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread.
class LatelySeen {
 public:
  static constexpr size_t kKept = 4096;

  void Add(absl::string_view key) {
    absl::MutexLock lock(&mutex_);
    if (newest_.size() >= kKept && !newest_.contains(key)) before_ = std::exchange(newest_, {});
    newest_.emplace(key);
  }
  bool Has(absl::string_view key) const {
    absl::MutexLock lock(&mutex_);
    return newest_.contains(key) || before_.contains(key);
  }

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_set<std::string> newest_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::string> before_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_LIMITS_LATELY_SEEN_H_
