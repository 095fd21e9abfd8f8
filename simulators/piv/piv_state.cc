// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "simulators/piv/piv_card.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

using Json = nlohmann::json;

Json Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }
std::string Bytes(const Json& hex) { return absl::HexStringToBytes(hex.get<std::string>()); }

Json ConfigToJson(const PivConfig& config) {
  return {{"kind", static_cast<int>(config.kind)},
          {"firmware", {config.firmware.major, config.firmware.minor, config.firmware.patch}},
          {"serial", config.serial},
          {"serial_in_attestation", config.serial_in_attestation},
          {"form_factor", static_cast<int>(config.form_factor)},
          {"fips", config.fips},
          {"cspn", config.cspn},
          {"attestation", config.attestation},
          {"extended_apdus", config.extended_apdus},
          {"verify_reset", config.verify_reset},
          {"pin_tries", config.pin_tries},
          {"puk_tries", config.puk_tries}};
}

PivConfig ConfigFromJson(const Json& json) {
  PivConfig config;
  config.kind = static_cast<PivConfig::Kind>(json.at("kind").get<int>());
  const Json& firmware = json.at("firmware");
  config.firmware = {firmware.at(0), firmware.at(1), firmware.at(2)};
  config.serial = json.at("serial");
  config.serial_in_attestation = json.at("serial_in_attestation");
  config.form_factor = static_cast<FormFactor>(json.at("form_factor").get<int>());
  config.fips = json.at("fips");
  config.cspn = json.at("cspn");
  config.attestation = json.at("attestation");
  config.extended_apdus = json.at("extended_apdus");
  config.verify_reset = json.at("verify_reset");
  config.pin_tries = json.at("pin_tries");
  config.puk_tries = json.at("puk_tries");
  return config;
}

PivState StateFromJson(const Json& json) {
  PivState state;
  state.config = ConfigFromJson(json.at("config"));
  state.pin = Secret(Bytes(json.at("pin")));
  state.puk = Secret(Bytes(json.at("puk")));
  state.management_key = Secret(Bytes(json.at("management_key")));
  state.management_algorithm = static_cast<Algorithm>(json.at("management_algorithm").get<int>());
  state.management_touch = json.at("management_touch");
  state.management_default = json.at("management_default");
  state.pin_default = json.at("pin_default");
  state.puk_default = json.at("puk_default");
  state.pin_tries_left = json.at("pin_tries_left");
  state.puk_tries_left = json.at("puk_tries_left");
  state.pin_tries = json.at("pin_tries");
  state.puk_tries = json.at("puk_tries");
  for (const Json& item : json.at("keys")) {
    PivKey key;
    key.algorithm = static_cast<Algorithm>(item.at("algorithm").get<int>());
    key.pin_policy = static_cast<PinPolicy>(item.at("pin_policy").get<int>());
    key.touch_policy = static_cast<TouchPolicy>(item.at("touch_policy").get<int>());
    key.imported = item.at("imported");
    key.private_der = Secret(Bytes(item.at("private")));
    state.keys[item.at("slot").get<uint8_t>()] = std::move(key);
  }
  for (const Json& item : json.at("objects")) {
    state.objects[item.at("tag").get<uint32_t>()] = Bytes(item.at("value"));
  }
  state.root_pem = json.at("root");
  state.intermediates_pem = json.at("intermediates");
  state.f9_certificate_der = Bytes(json.at("f9_certificate"));
  state.issuer_key_der = Secret(Bytes(json.at("issuer_key")));
  return state;
}

Json StateToJson(const PivState& state) {
  Json keys = Json::array(), objects = Json::array();
  for (const auto& [slot, key] : state.keys) {
    keys.push_back({{"slot", slot},
                    {"algorithm", static_cast<int>(key.algorithm)},
                    {"pin_policy", static_cast<int>(key.pin_policy)},
                    {"touch_policy", static_cast<int>(key.touch_policy)},
                    {"imported", key.imported},
                    {"private", Hex(key.private_der.view())}});
  }
  for (const auto& [tag, value] : state.objects)
    objects.push_back({{"tag", tag}, {"value", Hex(value)}});
  return {{"config", ConfigToJson(state.config)},
          {"pin", Hex(state.pin.view())},
          {"puk", Hex(state.puk.view())},
          {"management_key", Hex(state.management_key.view())},
          {"management_algorithm", static_cast<int>(state.management_algorithm)},
          {"management_touch", state.management_touch},
          {"management_default", state.management_default},
          {"pin_default", state.pin_default},
          {"puk_default", state.puk_default},
          {"pin_tries_left", state.pin_tries_left},
          {"puk_tries_left", state.puk_tries_left},
          {"pin_tries", state.pin_tries},
          {"puk_tries", state.puk_tries},
          {"keys", keys},
          {"objects", objects},
          {"root", state.root_pem},
          {"intermediates", state.intermediates_pem},
          {"f9_certificate", Hex(state.f9_certificate_der)},
          {"issuer_key", Hex(state.issuer_key_der.view())}};
}

}  // namespace

PivState PivState::Clone() const { return StateFromJson(StateToJson(*this)); }

absl::Status PivState::Save(const std::string& directory) const {
  return WriteFileAtomically(directory + "/card.json", StateToJson(*this).dump(1), 0600);
}

absl::StatusOr<PivState> PivState::Load(const std::string& directory) {
  const std::string path = directory + "/card.json";
  FOREKEY_ASSIGN_OR_RETURN(std::string text, ReadPrivateFile(path));
  // The library reports a missing or odd member by exception alone.
  try {
    return StateFromJson(Json::parse(text));
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat(path, " is no card: ", error.what()));
  }
}

absl::Status AddMisbehaviour(absl::string_view name, PivMisbehaviour* misbehaviour,
                             PivState* state) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(name, absl::MaxSplits('=', 1));
  const auto [what, text] = parts;
  int number = 0;
  const bool has_value = !text.empty();
  const bool hexadecimal = what == "wrong-status-words";
  if (has_value &&
      !(hexadecimal ? absl::SimpleHexAtoi(text, &number) : absl::SimpleAtoi(text, &number))) {
    return absl::InvalidArgumentError(absl::StrCat("no number behind ", what, "="));
  }
  if (number < 0 || number > 0xffff)
    return absl::InvalidArgumentError("the number is out of range");
  if (what == "removed-in-mid-apdu") {
    misbehaviour->remove_after = number;
  } else if (what == "reset-by-other") {
    misbehaviour->reset_after = number;
  } else if (what == "forgets-pin") {
    misbehaviour->forget_after = number;
  } else if (what == "pin-blocked") {
    state->pin_tries_left = 0;
  } else if (what == "puk-blocked") {
    state->puk_tries_left = 0;
  } else if (what == "touch-never") {
    misbehaviour->touch_never = true;
  } else if (what == "slow") {
    misbehaviour->key_latency = absl::Milliseconds(has_value ? number : 300);
  } else if (what == "slow-commands") {
    misbehaviour->latency = absl::Milliseconds(has_value ? number : 50);
  } else if (what == "wrong-status-words") {
    misbehaviour->wrong_status = static_cast<uint16_t>(has_value ? number : 0x6f00);
  } else if (what == "truncated-answers") {
    misbehaviour->truncate = has_value ? number : 1;
  } else if (what == "corrupt-signatures") {
    misbehaviour->corrupt_signature = true;
  } else if (what == "attestation-of-another-key") {
    misbehaviour->attest_other_key = true;
  } else if (what == "attestation-by-another-issuer") {
    misbehaviour->attest_other_issuer = true;
  } else if (what == "another-public-key") {
    misbehaviour->generate_other_key = true;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown misbehaviour '", what,
        "'; known: removed-in-mid-apdu[=N], reset-by-other[=N], "
        "forgets-pin[=N], pin-blocked, puk-blocked, touch-never, slow[=MS], slow-commands[=MS], "
        "wrong-status-words[=HEX], truncated-answers[=BYTES], corrupt-signatures, "
        "attestation-of-another-key, attestation-by-another-issuer, another-public-key"));
  }
  return absl::OkStatus();
}

}  // namespace forekey::piv
