// SPDX-License-Identifier: Apache-2.0
// One question at a time at each display and each terminal: of two, what is typed for one token
// could reach the other, and cost one of its tries. And one use at a time of a key that asks its
// person: who waits for it learns what the person answered to the one before.
#ifndef FOREKEY_SRC_AGENT_PROMPT_TURNS_H_
#define FOREKEY_SRC_AGENT_PROMPT_TURNS_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "src/agent/prompt_place.h"

namespace forekey {

// Safe from any thread.
class PromptTurns {
 public:
  // Waits until nobody else has one of them; Give() them back afterwards. kCancelled when
  // `cancelled` said so first.
  absl::Status Take(const std::vector<std::string>& names, const std::function<bool()>& cancelled);
  void Give(const std::vector<std::string>& names);
  // A display and a terminal: a pinentry may take any of them.
  static std::vector<std::string> NamesOf(const PromptPlace& place);

 private:
  absl::Mutex mutex_;
  std::set<std::string> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PROMPT_TURNS_H_
