// SPDX-License-Identifier: Apache-2.0
#include "src/agent/gate_record.h"

#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/crypto/key_agreement.h"
#include "src/wire/json_object.h"
#include "src/wire/statement.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxIdentities = 2;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the record is malformed: ", what));
}

// Only these take values out of JSON: none of nlohmann's throwing conversions is used.
absl::StatusOr<std::string> Text(const json& object, const char* name, bool required = true) {
  auto member = object.find(name);
  if (member == object.end() && !required) return std::string();
  if (member == object.end()) return Malformed(absl::StrCat(name, " is missing"));
  const auto* text = member->get_ptr<const json::string_t*>();
  if (text == nullptr) return Malformed(absl::StrCat(name, " is not a string"));
  return *text;
}

absl::StatusOr<std::string> FromHex(const std::string& hex, size_t size, absl::string_view name) {
  std::string bytes;
  bool digits = hex.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (hex.size() != 2 * size || !digits) {
    return Malformed(absl::StrCat(name, " is not ", size, " bytes of lower-case hex"));
  }
  return absl::HexStringToBytes(hex);
}

absl::StatusOr<const json*> Array(const json& object, const char* name) {
  auto member = object.find(name);
  if (member == object.end() || !member->is_array()) {
    return Malformed(absl::StrCat(name, " is not a list"));
  }
  return &*member;
}

// A plain name: it is joined to the folder's path.
bool IsFileName(const std::string& name) {
  return !name.empty() && name.size() <= 128 && name[0] != '.' &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

absl::StatusOr<HeldCredential> ParseCredential(const json& object) {
  if (!object.is_object()) return Malformed("a credential is not an object");
  HeldCredential credential;
  FOREKEY_ASSIGN_OR_RETURN(std::string id, Text(object, "id"));
  FOREKEY_ASSIGN_OR_RETURN(credential.id, FromHex(id, kCredentialIdSize, "a credential's id"));
  FOREKEY_ASSIGN_OR_RETURN(const std::string kind_name, Text(object, "kind"));
  const std::optional<TokenKind> kind = TokenKindFromName(kind_name);
  if (!kind) return Malformed(absl::StrCat("unknown token kind ", kind_name));
  credential.kind = *kind;
  FOREKEY_ASSIGN_OR_RETURN(credential.label, Text(object, "label", false));
  FOREKEY_ASSIGN_OR_RETURN(credential.key_file, Text(object, "key_file"));
  if (!IsFileName(credential.key_file)) return Malformed("key_file is not a file name");
  FOREKEY_ASSIGN_OR_RETURN(credential.driver, Text(object, "driver"));
  FOREKEY_ASSIGN_OR_RETURN(credential.rp_id, Text(object, "rp_id", false));
  FOREKEY_ASSIGN_OR_RETURN(credential.origin, Text(object, "origin", false));
  if (auto pending = object.find("pending"); pending != object.end()) {
    const auto* value = pending->get_ptr<const json::boolean_t*>();
    if (value == nullptr) return Malformed("pending is not true or false");
    credential.pending = *value;
  }
  if (auto enrolled = object.find("enrolled_unix_s"); enrolled != object.end()) {
    if (!enrolled->is_number_integer()) return Malformed("enrolled_unix_s is not a number");
    credential.enrolled_unix_s = enrolled->get<int64_t>();
  }
  return credential;
}

absl::Status ParseTarget(const json& object, GateRecord* record) {
  GateTarget& target = record->target;
  FOREKEY_ASSIGN_OR_RETURN(target.audience, Text(object, "audience"));
  if (!IsWellFormedAudience(target.audience)) return Malformed("audience is not well-formed");
  FOREKEY_ASSIGN_OR_RETURN(target.address, Text(object, "address"));
  if (target.address.empty()) return Malformed("address is empty");
  FOREKEY_ASSIGN_OR_RETURN(target.ca_pem, Text(object, "ca_pem", false));
  FOREKEY_ASSIGN_OR_RETURN(target.tls_server_name, Text(object, "tls_server_name", false));
  FOREKEY_ASSIGN_OR_RETURN(record->subject, Text(object, "subject"));
  if (!IsWellFormedSubject(record->subject)) return Malformed("subject is not well-formed");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GateRecord> GateRecord::Parse(absl::string_view text) {
  json object = ParseBoundedJson(text);
  if (object.is_discarded()) return Malformed("it is not JSON");
  if (!object.is_object()) return Malformed("it is not a JSON object");
  auto version = object.find("version");
  if (version == object.end() || !version->is_number_integer()) {
    return Malformed("version is missing");
  }
  if (*version != kVersion) {
    return Malformed(
        absl::StrCat("its version is ", version->dump(), ", this program knows ", kVersion));
  }
  GateRecord record;
  FOREKEY_RETURN_IF_ERROR(ParseTarget(object, &record));
  FOREKEY_ASSIGN_OR_RETURN(const json* identities, Array(object, "gate_identities"));
  for (const json& identity : *identities) {
    const auto* hex = identity.get_ptr<const json::string_t*>();
    if (hex == nullptr) return Malformed("a gate identity is not a string");
    FOREKEY_ASSIGN_OR_RETURN(std::string bytes, FromHex(*hex, kX25519Size, "a gate identity"));
    record.identities.push_back(std::move(bytes));
  }
  if (record.identities.empty() || record.identities.size() > kMaxIdentities) {
    return Malformed("gate_identities has none, or more than two");
  }
  FOREKEY_ASSIGN_OR_RETURN(const json* credentials, Array(object, "credentials"));
  for (const json& credential : *credentials) {
    FOREKEY_ASSIGN_OR_RETURN(HeldCredential parsed, ParseCredential(credential));
    record.credentials.push_back(std::move(parsed));
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::string preferred, Text(object, "default_credential", false));
  if (!preferred.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(record.default_credential,
                             FromHex(preferred, kCredentialIdSize, "default_credential"));
  }
  return record;
}

std::string GateRecord::Serialize() const {
  json object;
  object["version"] = kVersion;
  object["audience"] = target.audience;
  object["address"] = target.address;
  object["ca_pem"] = target.ca_pem;
  object["tls_server_name"] = target.tls_server_name;
  object["subject"] = subject;
  if (!default_credential.empty()) {
    object["default_credential"] = absl::BytesToHexString(default_credential);
  }
  object["gate_identities"] = json::array();
  for (const std::string& identity : identities) {
    object["gate_identities"].push_back(absl::BytesToHexString(identity));
  }
  object["credentials"] = json::array();
  for (const HeldCredential& credential : credentials) {
    object["credentials"].push_back({{"id", absl::BytesToHexString(credential.id)},
                                     {"kind", std::string(TokenKindName(credential.kind))},
                                     {"label", credential.label},
                                     {"key_file", credential.key_file},
                                     {"driver", credential.driver},
                                     {"rp_id", credential.rp_id},
                                     {"origin", credential.origin},
                                     {"pending", credential.pending},
                                     {"enrolled_unix_s", credential.enrolled_unix_s}});
  }
  // A label that isn't UTF-8 must not end the program.
  return object.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace forekey
