// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/state.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::fido2sim {
namespace {

using nlohmann::json;

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

// Fields are read with value(): a file of another type makes nlohmann throw, caught in Load.
std::string FromHex(const json& object, const char* name) {
  return absl::HexStringToBytes(object.value(name, std::string()));
}

json CredentialJson(const Credential& credential) {
  return {{"id", Hex(credential.id)},
          {"rp_id", credential.rp_id},
          {"rp_id_hash", Hex(credential.rp_id_hash)},
          {"user_id", Hex(credential.user_id)},
          {"user_name", credential.user_name},
          {"user_display_name", credential.user_display_name},
          {"algorithm", credential.algorithm},
          {"key", Hex(credential.key.view())},
          {"discoverable", credential.discoverable},
          {"cred_protect", credential.cred_protect}};
}

Credential CredentialFrom(const json& object) {
  Credential out;
  out.id = FromHex(object, "id");
  out.rp_id = object.value("rp_id", "");
  out.rp_id_hash = FromHex(object, "rp_id_hash");
  out.user_id = FromHex(object, "user_id");
  out.user_name = object.value("user_name", "");
  out.user_display_name = object.value("user_display_name", "");
  out.algorithm = object.value("algorithm", kEs256);
  out.key = Secret(FromHex(object, "key"));
  out.discoverable = object.value("discoverable", false);
  out.cred_protect = object.value("cred_protect", 1);
  return out;
}

State StateFrom(const json& object) {
  State out;
  for (const json& credential : object.at("credentials")) {
    out.credentials.push_back(CredentialFrom(credential));
  }
  out.pin_hash = Secret(FromHex(object, "pin_hash"));
  out.pin_retries = object.value("pin_retries", kPinRetries);
  out.uv_retries = object.value("uv_retries", kUvRetries);
  out.counter = object.value("counter", 0u);
  out.root_key = Secret(FromHex(object, "root_key"));
  out.attestation_key = Secret(FromHex(object, "attestation_key"));
  out.root = FromHex(object, "root");
  out.packed_leaf = FromHex(object, "packed_leaf");
  out.u2f_leaf = FromHex(object, "u2f_leaf");
  out.leaf_for = FromHex(object, "leaf_for");
  return out;
}

}  // namespace

Credential* State::Find(absl::string_view credential_id) {
  for (Credential& credential : credentials) {
    if (credential.id == credential_id) return &credential;
  }
  return nullptr;
}

absl::StatusOr<State> State::Load(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/state.json");
  auto text = ReadPrivateFile(path, 64 << 20);
  if (absl::IsNotFound(text.status())) return State();
  FOREKEY_RETURN_IF_ERROR(text.status());
  try {
    return StateFrom(json::parse(*text));
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no token's state: ", error.what()));
  }
}

absl::Status State::Save(const std::string& directory) const {
  json object = {{"credentials", json::array()},
                 {"pin_hash", Hex(pin_hash.view())},
                 {"pin_retries", pin_retries},
                 {"uv_retries", uv_retries},
                 {"counter", counter},
                 {"root_key", Hex(root_key.view())},
                 {"attestation_key", Hex(attestation_key.view())},
                 {"root", Hex(root)},
                 {"packed_leaf", Hex(packed_leaf)},
                 {"u2f_leaf", Hex(u2f_leaf)},
                 {"leaf_for", Hex(leaf_for)}};
  for (const Credential& credential : credentials) {
    object["credentials"].push_back(CredentialJson(credential));
  }
  // User names are text of strangers: bytes that are no UTF-8 are replaced, not thrown at.
  return WriteFileAtomically(absl::StrCat(directory, "/state.json"),
                             object.dump(1, ' ', false, json::error_handler_t::replace), 0600);
}

}  // namespace forekey::fido2sim
