// SPDX-License-Identifier: Apache-2.0
#include "src/store/device_names.h"

#include <initializer_list>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/wire/json_object.h"

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

}  // namespace

DeviceNames DeviceNamesOf(const CredentialRecord& credential) {
  DeviceNames names;
  const nlohmann::json proved = ParseBoundedJson(credential.proved_json);
  if (!proved.is_object()) return names;
  names.model = FirstText(proved, {"model", "aaguid"});
  if (const std::string maker = FirstText(proved, {"manufacturer"}); !maker.empty()) {
    names.model = absl::StrCat(maker, names.model.empty() ? "" : " ", names.model);
  }
  names.serial = FirstText(proved, {"serial", "ek_certificate_serial"});
  if (names.serial.empty()) names.serial = absl::BytesToHexString(credential.device_id);
  return names;
}

}  // namespace forekey
