// SPDX-License-Identifier: Apache-2.0
#include "src/agent/prompt_turns.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "hw/device_key.h"
#include "src/base/deadline.h"

namespace forekey {
namespace {

constexpr absl::Duration kTurnPoll = absl::Milliseconds(20);

}  // namespace

std::vector<std::string> PromptTurns::NamesOf(const PromptPlace& place) {
  std::vector<std::string> names;
  if (!place.display.empty()) names.push_back(absl::StrCat("X ", place.display));
  if (!place.wayland_display.empty()) names.push_back(absl::StrCat("W ", place.wayland_display));
  if (!place.tty.empty()) names.push_back(place.tty);
  if (names.empty()) names.emplace_back();  // wherever that may be
  return names;
}

absl::Status PromptTurns::Take(const std::vector<std::string>& names,
                               const std::function<bool()>& cancelled) {
  const auto free = [this, &names]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::none_of(names.begin(), names.end(),
                        [this](const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                          return taken_.contains(name);
                        });
  };
  while (true) {
    if (cancelled && cancelled()) {
      return DeviceFailure(DeviceError::kCancelled, "nobody waits for the answer any more");
    }
    absl::MutexLock lock(&mutex_);
    if (!AwaitFor(mutex_, absl::Condition(&free), kTurnPoll)) continue;
    taken_.insert(names.begin(), names.end());
    return absl::OkStatus();
  }
}

void PromptTurns::Give(const std::vector<std::string>& names) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& name : names) taken_.erase(name);
}

}  // namespace forekey
