// SPDX-License-Identifier: Apache-2.0
#include "src/wire/json_object.h"

#include <string>
#include <unordered_set>
#include <vector>

namespace forekey {

bool IsJsonDeeperThan(int depth, absl::string_view text) {
  int open = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;  // whatever is escaped ends no string
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++open;
    if (c == ']' || c == '}') --open;
    if (open > depth) return true;
  }
  return false;
}

nlohmann::json ParseBoundedJson(absl::string_view text) {
  if (text.find('\0') != absl::string_view::npos || IsJsonDeeperThan(kMaxJsonDepth, text)) {
    return nlohmann::json(nlohmann::json::value_t::discarded);
  }
  return nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text) {
  using Json = nlohmann::json;
  // The JSON library takes a NUL byte for the end and would not look at what follows.
  if (text.find('\0') != absl::string_view::npos) return absl::InvalidArgumentError("a NUL byte");
  if (IsJsonDeeperThan(kMaxJsonDepth, text)) {
    return absl::InvalidArgumentError("arrays or objects too deep inside one another");
  }
  // The library keeps the last of two members of one name; another reader may keep the first.
  std::vector<std::unordered_set<std::string>> names;
  bool duplicate = false;
  const Json::parser_callback_t watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key) {
      duplicate |= !names.back().insert(value.get<std::string>()).second;
    }
    return true;
  };
  Json object = Json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false);
  if (object.is_discarded() || !object.is_object())
    return absl::InvalidArgumentError("no JSON object");
  if (duplicate) return absl::InvalidArgumentError("a member is there twice");
  return object;
}

}  // namespace forekey
