// SPDX-License-Identifier: Apache-2.0
#include "src/store/token_description.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/wire/json_object.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

std::string FirstText(const nlohmann::json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    auto found = object.find(key);
    if (found == object.end()) continue;
    if (found->is_string()) return found->get<std::string>();
    if (found->is_number_unsigned()) return absl::StrCat(found->get<uint64_t>());
  }
  return "";
}

void ReadNames(const CredentialRecord& credential, TokenDescription& token) {
  const nlohmann::json proved = ParseBoundedJson(credential.proved_json);
  if (!proved.is_object()) return;
  token.model = FirstText(proved, {"model", "aaguid"});
  if (const std::string maker = FirstText(proved, {"manufacturer"}); !maker.empty()) {
    token.model = absl::StrCat(maker, token.model.empty() ? "" : " ", token.model);
  }
  token.serial = FirstText(proved, {"serial", "ek_certificate_serial"});
  if (token.serial.empty()) token.serial = absl::BytesToHexString(credential.device_id);
}

}  // namespace

std::shared_ptr<const TokenDescription> DescribeToken(const CredentialRecord& credential) {
  TokenDescription token;
  token.kind = std::string(TokenKindName(credential.kind));
  token.label = credential.label;
  token.algorithm = credential.algorithm;
  token.spki = credential.spki;
  token.rp_id = credential.rp_id;
  token.origin = credential.origin;
  ReadNames(credential, token);
  return std::make_shared<const TokenDescription>(std::move(token));
}

}  // namespace forekey
