// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/live_rules.h"

#include <utility>

namespace forekey {

LiveRules::LiveRules(std::shared_ptr<const CallPolicy> rules) { Replace(std::move(rules)); }

void LiveRules::Replace(std::shared_ptr<const CallPolicy> rules) {
  absl::MutexLock lock(&mutex_);
  current_.store(rules.get(), std::memory_order_release);
  kept_.push_back(std::move(rules));
}

}  // namespace forekey
