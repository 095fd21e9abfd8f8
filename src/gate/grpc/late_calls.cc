// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/late_calls.h"

#include <utility>

namespace forekey {

void LateCalls::Begin() { began_.store(true, std::memory_order_release); }

void LateCalls::TellAll() {
  std::vector<std::function<void()>> kept;
  {
    absl::MutexLock lock(&mutex_);
    told_ = true;
    kept.swap(kept_);
  }
  for (const auto& refuse : kept) refuse();
}

void LateCalls::Add(std::function<void()> refuse) {
  {
    absl::MutexLock lock(&mutex_);
    if (!told_ && kept_.size() < kMostKept) return kept_.push_back(std::move(refuse));
  }
  refuse();
}

}  // namespace forekey
