// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/piv_config.h"

#include <openssl/objects.h>

#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

// Reads strings of which each names a value; `read` gives nullopt for one that does not.
template <typename T, typename Read>
void ReadSet(ConfigTable& table, absl::string_view key, absl::string_view due, Read read,
             std::set<T>* out) {
  std::vector<std::string> texts;
  table.Strings(key, &texts);
  for (const std::string& text : texts) {
    if (std::optional<T> value = read(text)) {
      out->insert(*value);
    } else {
      table.Error(key, absl::StrCat("\"", absl::CHexEscape(text), "\" is not ", due));
    }
  }
  if (table.Has(key) && texts.empty()) table.Error(key, "is empty: leave it out to say nothing");
}

std::optional<uint8_t> PivSlotFromText(const std::string& text) {
  uint32_t slot = 0;
  if (text.size() != 2 || !absl::SimpleHexAtoi(text, &slot)) return std::nullopt;
  const bool known = slot == 0x9a || slot == 0x9d || slot == 0x9e ||
                     IsDedicatedPivSlot(static_cast<uint8_t>(slot));
  return known ? std::optional<uint8_t>(static_cast<uint8_t>(slot)) : std::nullopt;
}

std::optional<uint8_t> PivFormFactorFromText(const std::string& text) {
  for (uint8_t value = 1; value <= 7; ++value) {
    if (PivFormFactorText(value) == text) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> PivSerialFromText(const std::string& text) {
  uint64_t serial = 0;
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(text, &serial)) {
    return std::nullopt;
  }
  return serial;
}

void ReadOids(ConfigTable& table, absl::string_view key, std::vector<std::string>* out) {
  table.Strings(key, out);
  for (const std::string& oid : *out) {
    ASN1_OBJECT* object = OBJ_txt2obj(oid.c_str(), 1);
    if (object == nullptr) {
      table.Error(key, absl::StrCat("\"", absl::CHexEscape(oid), "\" is not a dotted OID"));
    }
    ASN1_OBJECT_free(object);
  }
}

void ReadPivChoices(ConfigTable& table, PivPolicy* policy) {
  std::string least_pin = "any", least_touch = "any", weak = "recoverable", firmware;
  table.String("require_pin", &least_pin);
  table.String("require_touch", &least_touch);
  table.String("refuse_weak", &weak);
  table.String("min_firmware", &firmware);
  if (least_pin == "once") {
    policy->pin = PivPolicy::Pin::kOnce;
  } else if (least_pin == "always") {
    policy->pin = PivPolicy::Pin::kAlways;
  } else if (least_pin != "any") {
    table.Error("require_pin", "must be \"any\", \"once\" or \"always\"");
  }
  if (least_touch == "cached") {
    policy->touch = PivPolicy::Touch::kCached;
  } else if (least_touch == "always") {
    policy->touch = PivPolicy::Touch::kAlways;
  } else if (least_touch != "any") {
    table.Error("require_touch", "must be \"any\", \"cached\" or \"always\"");
  }
  if (weak == "all") {
    policy->weakness = PivWeakness::kRefuseAll;
  } else if (weak == "none") {
    policy->weakness = PivWeakness::kReport;
  } else if (weak != "recoverable") {
    table.Error("refuse_weak", "must be \"recoverable\", \"all\" or \"none\"");
  }
  if (!firmware.empty()) {
    policy->min_firmware = ParsePivFirmwareText(firmware);
    if (!policy->min_firmware) table.Error("min_firmware", "must be like \"5.7\" or \"5.7.0\"");
  }
  table.Bool("fips_only", &policy->fips_only);
  table.Bool("allow_shared", &policy->allow_shared);
}

void CheckPivTogether(ConfigTable& table, const PivConfig& config) {
  for (uint8_t slot : config.policy.slots) {
    if (!config.policy.allow_shared && !IsDedicatedPivSlot(slot)) {
      table.Error("slots",
                  "names 9a, 9d or 9e, with which other software signs, too: that needs "
                  "allow_shared = true");
      break;
    }
  }
  for (uint64_t serial : config.policy.serial_allow) {
    if (config.policy.serial_deny.contains(serial)) {
      table.Error("serial_deny", absl::StrCat(serial, " is in serial_allow, too"));
    }
  }
  if (config.issuers.empty()) {
    for (const char* key : {"hardware_policies", "dedicated_usages", "required_usages", "crls"}) {
      if (table.Has(key) && (key != absl::string_view("crls") || config.trust.empty())) {
        table.Error(key, "needs issuers, whose certificates it is about");
      }
    }
  }
  if (config.policy.hardware_only && config.policy.hardware_policies.empty()) {
    table.Error("hardware_only",
                "needs hardware_policies: nothing else says that a key of an issuer "
                "is in hardware");
  }
}

}  // namespace

void PivConfig::Read(ConfigTable& table, absl::string_view base) {
  table.Path("trust", base, &trust);
  table.Path("firmware", base, &firmware);
  table.Path("issuers", base, &issuers);
  table.Path("crls", base, &crls);
  ReadSimulatorTrust(table, base, &simulator_trust, &insecure_simulators);
  ReadPivChoices(table, &policy);
  ReadSet(table, "slots", "one of 9a, 9c, 9d, 9e, 82 to 95", PivSlotFromText, &policy.slots);
  ReadSet(table, "form_factors", "a form factor such as \"usb-c-nano\"", PivFormFactorFromText,
          &policy.form_factors);
  ReadSet(table, "serial_allow", "a serial number", PivSerialFromText, &policy.serial_allow);
  ReadSet(table, "serial_deny", "a serial number", PivSerialFromText, &policy.serial_deny);
  ReadOids(table, "hardware_policies", &policy.hardware_policies);
  ReadOids(table, "dedicated_usages", &policy.dedicated_usages);
  ReadOids(table, "required_usages", &policy.required_usages);
  table.Bool("hardware_only", &policy.hardware_only);
  CheckPivTogether(table, *this);
}

}  // namespace forekey
