// SPDX-License-Identifier: Apache-2.0
#include "src/base/reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

struct Entry {
  absl::string_view name;
  absl::StatusCode code;
  absl::string_view meaning;
};

constexpr Entry kEntries[] = {
#define FOREKEY_REASON(enumerator, name, code, meaning) {name, absl::StatusCode::k##code, meaning},
#include "src/base/reason.def"
#undef FOREKEY_REASON
};

constexpr absl::string_view kPayloadUrl = "forekey/reason";

const Entry& EntryOf(Reason reason) { return kEntries[static_cast<size_t>(reason)]; }

}  // namespace

absl::string_view ReasonName(Reason reason) { return EntryOf(reason).name; }
absl::string_view ReasonMeaning(Reason reason) { return EntryOf(reason).meaning; }
absl::StatusCode PublicCode(Reason reason) { return EntryOf(reason).code; }

std::optional<Reason> ReasonFromName(absl::string_view name) {
  for (size_t i = 0; i < sizeof(kEntries) / sizeof(kEntries[0]); ++i) {
    if (kEntries[i].name == name) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

absl::Status Refuse(Reason reason, absl::string_view detail) {
  const Entry& entry = EntryOf(reason);
  absl::Status status(entry.code,
                      absl::StrCat(entry.name, ": ", detail.empty() ? entry.meaning : detail));
  status.SetPayload(kPayloadUrl, absl::Cord(entry.name));
  return status;
}

absl::Status WithReason(absl::Status status, Reason reason) {
  status.SetPayload(kPayloadUrl, absl::Cord(EntryOf(reason).name));
  return status;
}

std::optional<Reason> ReasonOf(const absl::Status& status) {
  auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  return ReasonFromName(std::string(*payload));
}

}  // namespace forekey
