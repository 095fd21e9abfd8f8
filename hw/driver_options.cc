// SPDX-License-Identifier: Apache-2.0
#include "hw/driver_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace forekey {

void DriverOptions::Set(absl::string_view name, Secret value) {
  if (value.empty()) {
    values_.erase(std::string(name));
  } else {
    values_[std::string(name)] = std::move(value);
  }
}

absl::Status DriverOptions::CheckNames(absl::string_view driver,
                                       std::initializer_list<absl::string_view> known) const {
  for (const auto& [name, value] : values_) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "an enrolment with ", driver, ": has no option \"", absl::CHexEscape(name),
        known.size() == 0 ? "\": it has none" : "\"; it has: ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

absl::string_view DriverOptions::Text(absl::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? absl::string_view() : found->second.view();
}

absl::StatusOr<bool> DriverOptions::Flag(absl::string_view name) const {
  const absl::string_view text = Text(name);
  if (text == "true") return true;
  if (text.empty() || text == "false") return false;
  return absl::InvalidArgumentError(
      absl::StrCat("the option \"", name, "\" is \"true\" or \"false\""));
}

}  // namespace forekey
