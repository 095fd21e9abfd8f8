// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/card_channel.h"

#include <utility>

#include "absl/strings/cord.h"

namespace forekey {
namespace {

constexpr absl::string_view kInterruptionUrl = "forekey/card-interruption";
constexpr std::pair<Interruption, absl::string_view> kInterruptionNames[] = {
    {Interruption::kCardReset, "reset"},
    {Interruption::kServiceLost, "service"},
    {Interruption::kAnotherApplication, "application"},
};

}  // namespace

absl::Status Interrupted(Interruption interruption, absl::Status status) {
  for (const auto& [known, name] : kInterruptionNames) {
    if (known == interruption) status.SetPayload(kInterruptionUrl, absl::Cord(name));
  }
  return status;
}

Interruption InterruptionOf(const absl::Status& status) {
  auto payload = status.GetPayload(kInterruptionUrl);
  for (const auto& [known, name] : kInterruptionNames) {
    if (payload.has_value() && *payload == name) return known;
  }
  return Interruption::kNone;
}

}  // namespace forekey
