// SPDX-License-Identifier: Apache-2.0
#include "src/wire/client_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

absl::Status Malformed(absl::string_view what) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("clientDataJSON: ", what));
}

absl::StatusOr<std::string> RequiredText(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) return Malformed(absl::StrCat("no member ", name));
  if (!member->is_string()) return Malformed(absl::StrCat(name, " is no string"));
  return member->get<std::string>();
}

}  // namespace

absl::StatusOr<ClientData> ClientData::Parse(absl::string_view json) {
  if (json.size() > kMaxClientDataSize) return Malformed("too long");
  absl::StatusOr<Json> parsed = ParseJsonObject(json);
  if (!parsed.ok()) return Malformed(parsed.status().message());
  const Json& object = *parsed;

  ClientData data;
  FOREKEY_ASSIGN_OR_RETURN(data.type, RequiredText(object, "type"));
  FOREKEY_ASSIGN_OR_RETURN(data.challenge, RequiredText(object, "challenge"));
  FOREKEY_ASSIGN_OR_RETURN(data.origin, RequiredText(object, "origin"));
  if (const auto member = object.find("crossOrigin"); member != object.end()) {
    if (!member->is_boolean()) return Malformed("crossOrigin is no boolean");
    data.cross_origin = member->get<bool>();
  }
  if (object.contains("topOrigin")) {
    FOREKEY_ASSIGN_OR_RETURN(data.top_origin, RequiredText(object, "topOrigin"));
  }
  return data;
}

std::string ClientData::Serialize(absl::string_view type, absl::string_view challenge,
                                  absl::string_view origin) {
  // Json::dump() escapes as section 5.8.1.2 (CCDToString) does for all that audiences may hold.
  const auto quote = [](absl::string_view text) { return Json(std::string(text)).dump(); };
  return absl::StrCat("{\"type\":", quote(type), ",\"challenge\":\"", Base64UrlEncode(challenge),
                      "\",\"origin\":", quote(origin), ",\"crossOrigin\":false}");
}

}  // namespace forekey
