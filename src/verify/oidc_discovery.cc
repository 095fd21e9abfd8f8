// SPDX-License-Identifier: Apache-2.0
#include "src/verify/oidc_discovery.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr absl::string_view kHttps = "https://";
constexpr size_t kMaxKeysUrl = 2048;

bool IsHttps(absl::string_view url) {
  return absl::StartsWith(url, kHttps) && url.size() > kHttps.size() &&
         std::all_of(url.begin(), url.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

}  // namespace

absl::Status CheckDiscoverable(absl::string_view issuer) {
  if (!IsHttps(issuer)) return absl::InvalidArgumentError("must begin with https://");
  if (issuer.find_first_of("?#") != absl::string_view::npos) {
    return absl::InvalidArgumentError("has a query or a fragment");
  }
  return absl::OkStatus();
}

std::string DiscoveryUrl(absl::string_view issuer) {
  return absl::StrCat(absl::StripSuffix(issuer, "/"), "/.well-known/openid-configuration");
}

absl::StatusOr<std::string> ParseDiscovery(absl::string_view document, absl::string_view issuer) {
  FOREKEY_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(document));
  const auto text = [&json](const char* name) {
    const auto member = json.find(name);
    return member != json.end() && member->is_string() ? member->get<std::string>() : std::string();
  };
  if (text("issuer") != issuer) {
    return absl::InvalidArgumentError(absl::StrCat("it is the document of another issuer: \"",
                                                   text("issuer").substr(0, 255), "\""));
  }
  const std::string keys = text("jwks_uri");
  if (!IsHttps(keys) || keys.size() > kMaxKeysUrl) {
    return absl::InvalidArgumentError("it has no jwks_uri that is https");
  }
  return keys;
}

}  // namespace forekey
