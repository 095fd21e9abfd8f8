// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_key_file.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "hw/fido2/fido_address.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/crypto/public_key.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr size_t kMaxKeyFileSize = 16384;
constexpr size_t kMembers = 6;

absl::Status BadKeyFile(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the FIDO2 key reference is malformed: ", what));
}

absl::StatusOr<std::string> Member(const nlohmann::json& object, const char* name) {
  const auto member = object.find(name);
  const auto* text = member == object.end() ? nullptr : member->get_ptr<const std::string*>();
  if (text == nullptr) return BadKeyFile(absl::StrCat(name, " is missing or no string"));
  return *text;
}

absl::StatusOr<std::string> BytesMember(const nlohmann::json& object, const char* name) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string text, Member(object, name));
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || Base64UrlEncode(bytes) != text) {
    return BadKeyFile(absl::StrCat(name, " is no base64url"));
  }
  return bytes;
}

}  // namespace

std::string SerializeFidoKeyFile(const FidoKeyFile& key) {
  nlohmann::json object = {{"forekey_fido2_key", 1},
                           {"device", key.device_uri},
                           {"credential_id", Base64UrlEncode(key.credential_id)},
                           {"rp_id", key.rp_id},
                           {"spki", Base64UrlEncode(key.spki)},
                           {"aaguid", Base64UrlEncode(key.aaguid)}};
  if (key.hidden) object["hidden"] = true;
  return object.dump(2, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace) +
         "\n";
}

absl::StatusOr<FidoKeyFile> ParseFidoKeyFile(absl::string_view text) {
  if (text.size() > kMaxKeyFileSize) return BadKeyFile("too long");
  const auto object = ParseBoundedJson(text);
  if (!object.is_object()) return BadKeyFile("not its JSON object");
  FidoKeyFile key;
  if (const auto hidden = object.find("hidden"); hidden != object.end()) {
    key.hidden = hidden->is_boolean() && hidden->get<bool>();
    if (!key.hidden) return BadKeyFile("hidden is there and not true");
  }
  if (object.size() != kMembers + (key.hidden ? 1 : 0)) return BadKeyFile("not its JSON object");
  const auto version = object.find("forekey_fido2_key");
  if (version == object.end() || !version->is_number_unsigned() || version->get<uint64_t>() != 1) {
    return BadKeyFile("another version");
  }
  FOREKEY_ASSIGN_OR_RETURN(key.device_uri, Member(object, "device"));
  FOREKEY_RETURN_IF_ERROR(CheckFidoUri(key.device_uri));
  FOREKEY_ASSIGN_OR_RETURN(key.rp_id, Member(object, "rp_id"));
  FOREKEY_ASSIGN_OR_RETURN(key.credential_id, BytesMember(object, "credential_id"));
  FOREKEY_ASSIGN_OR_RETURN(key.spki, BytesMember(object, "spki"));
  FOREKEY_ASSIGN_OR_RETURN(key.aaguid, BytesMember(object, "aaguid"));
  if (key.rp_id.empty()) return BadKeyFile("rp_id is empty");
  if (key.credential_id.empty() || key.credential_id.size() > kMaxWebAuthnCredentialIdSize) {
    return BadKeyFile("credential_id");
  }
  if (!key.aaguid.empty() && key.aaguid.size() != kAaguidSize) return BadKeyFile("aaguid");
  if (!PublicKey::FromSpki(key.spki).ok()) return BadKeyFile("spki is no public key");
  return key;
}

}  // namespace forekey
