// SPDX-License-Identifier: Apache-2.0
#include "src/wire/piv_attestation.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::string_view kPivFirmwareOid = "1.3.6.1.4.1.41482.3.3";
constexpr absl::string_view kPivSerialOid = "1.3.6.1.4.1.41482.3.7";
constexpr absl::string_view kPivPoliciesOid = "1.3.6.1.4.1.41482.3.8";
constexpr absl::string_view kPivFormFactorOid = "1.3.6.1.4.1.41482.3.9";
constexpr absl::string_view kPivFipsOid = "1.3.6.1.4.1.41482.3.10";
constexpr absl::string_view kPivCspnOid = "1.3.6.1.4.1.41482.3.11";

absl::Status BadExtension(absl::string_view name, absl::string_view value, absl::string_view due) {
  return Refuse(Reason::kPivAttestationExtension,
                absl::StrCat(name, " is ", value.size(), " octets (",
                             absl::BytesToHexString(value.substr(0, 16)), "), not ", due));
}

std::string UnknownPivValue(uint8_t value) { return absl::StrFormat("unknown (0x%02x)", value); }

}  // namespace

std::string PivFirmware::Text() const { return absl::StrCat(major, ".", minor, ".", patch); }

std::string PivPinPolicyText(uint8_t policy) {
  switch (policy) {
    case piv::kPinNever:
      return "never";
    case piv::kPinOnce:
      return "once";
    case piv::kPinAlways:
      return "always";
    case piv::kPinMatchOnce:
      return "match-once";
    case piv::kPinMatchAlways:
      return "match-always";
    default:
      return UnknownPivValue(policy);
  }
}

std::string PivTouchPolicyText(uint8_t policy) {
  switch (policy) {
    case piv::kTouchNever:
      return "never";
    case piv::kTouchAlways:
      return "always";
    case piv::kTouchCached:
      return "cached";
    default:
      return UnknownPivValue(policy);
  }
}

std::string PivFormFactorText(uint8_t form_factor) {
  switch (form_factor) {
    case 0:
      return "unspecified";
    case 1:
      return "usb-a-keychain";
    case 2:
      return "usb-a-nano";
    case 3:
      return "usb-c-keychain";
    case 4:
      return "usb-c-nano";
    case 5:
      return "usb-c-lightning";
    case 6:
      return "usb-a-bio";
    case 7:
      return "usb-c-bio";
    default:
      return UnknownPivValue(form_factor);
  }
}

std::optional<PivFirmware> ParsePivFirmwareText(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 2 && parts.size() != 3) return std::nullopt;
  uint32_t numbers[3] = {0, 0, 0};
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty() || parts[i].size() > 3 ||
        parts[i].find_first_not_of("0123456789") != absl::string_view::npos ||
        !absl::SimpleAtoi(parts[i], &numbers[i]) || numbers[i] > 255) {
      return std::nullopt;
    }
  }
  return PivFirmware{static_cast<uint8_t>(numbers[0]), static_cast<uint8_t>(numbers[1]),
                     static_cast<uint8_t>(numbers[2])};
}

absl::StatusOr<PivFirmware> ParsePivFirmware(absl::string_view value) {
  if (value.size() != 3) return BadExtension("the firmware version (.3)", value, "3");
  return PivFirmware{U8(value)[0], U8(value)[1], U8(value)[2]};
}

absl::StatusOr<uint64_t> ParsePivSerial(absl::string_view value) {
  const auto refuse = [value] {
    return BadExtension("the serial number (.7)", value, "one small non-negative DER INTEGER");
  };
  ByteReader reader(value);
  const bool is_integer = reader.U8() == 0x02;
  const size_t size = reader.U8();
  if (!is_integer || size < 1 || size > 8) return refuse();
  const absl::string_view number = reader.Raw(size);
  if (!reader.Finished()) return refuse();
  const bool negative = (U8(number)[0] & 0x80) != 0;
  const bool superfluous = size > 1 && U8(number)[0] == 0 && (U8(number)[1] & 0x80) == 0;
  if (negative || superfluous) return refuse();
  uint64_t serial = 0;
  for (char c : number) serial = serial << 8 | static_cast<uint8_t>(c);
  return serial;
}

absl::StatusOr<PivExtensions> PivExtensions::Parse(const Certificate& certificate) {
  PivExtensions result;
  if (const auto value = certificate.Extension(kPivFirmwareOid)) {
    FOREKEY_ASSIGN_OR_RETURN(result.firmware, ParsePivFirmware(*value));
  }
  if (const auto value = certificate.Extension(kPivSerialOid)) {
    FOREKEY_ASSIGN_OR_RETURN(result.serial, ParsePivSerial(*value));
  }
  if (const auto value = certificate.Extension(kPivPoliciesOid)) {
    if (value->size() != 2) return BadExtension("PIN and touch policy (.8)", *value, "2");
    result.pin_policy = static_cast<uint8_t>((*value)[0]);
    result.touch_policy = static_cast<uint8_t>((*value)[1]);
  }
  if (const auto value = certificate.Extension(kPivFormFactorOid)) {
    if (value->size() != 1) return BadExtension("the form factor (.9)", *value, "1");
    const auto octet = static_cast<uint8_t>((*value)[0]);
    result.form_factor = octet & static_cast<uint8_t>(~piv::kFormFactorFips);
    result.fips = (octet & piv::kFormFactorFips) != 0;
  }
  result.fips = result.fips || certificate.Extension(kPivFipsOid).has_value();
  result.cspn = certificate.Extension(kPivCspnOid).has_value();
  return result;
}

}  // namespace forekey
