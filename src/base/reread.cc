// SPDX-License-Identifier: Apache-2.0
#include "src/base/reread.h"

#include <algorithm>
#include <utility>

namespace forekey {

void Reread::Use(std::string signature) {
  in_use_ = std::move(signature);
  tried_.clear();
  message_.clear();
}

bool Reread::Due(const std::string& now) {
  const bool settled = std::exchange(seen_, now) == now;
  if (!settled || now == in_use_) return false;
  if (now != tried_) {
    tried_ = now;
    message_.clear();
    pause_ = 1;
  } else if (looks_left_ > 1) {
    --looks_left_;
    return false;
  } else {
    pause_ = std::min(pause_ * 2, kMostLooks);
  }
  looks_left_ = pause_;
  return true;
}

bool Reread::Failed(absl::string_view message) {
  const bool told = message == message_;
  message_ = std::string(message);
  return !told;
}

}  // namespace forekey
