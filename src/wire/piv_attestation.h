// SPDX-License-Identifier: Apache-2.0
// Yubico's extensions of PIV attestation certificates (arc 1.3.6.1.4.1.41482.3), as
// developers.yubico.com, "PIV attestation", lists them. Only the serial number is DER: the others
// are raw octets in the extension's OCTET STRING.
//
//   .3  firmware       3 octets: major, minor, patch
//   .7  serial         DER INTEGER; absent where the card does not tell its serial
//   .8  policies       2 octets: PIN, touch; of a slot's attestation alone, never of the F9
//   .9  form factor    1 octet, 0x80 set on FIPS models; absent on 4.x
//   .10 FIPS certified, .11 CSPN certified: there or not
#ifndef FOREKEY_SRC_WIRE_PIV_ATTESTATION_H_
#define FOREKEY_SRC_WIRE_PIV_ATTESTATION_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/certificate.h"

namespace forekey {

struct PivFirmware {
  uint8_t major = 0;
  uint8_t minor = 0;
  uint8_t patch = 0;
  std::string Text() const;  // "5.4.3"
  friend bool operator==(const PivFirmware& a, const PivFirmware& b) = default;
  friend auto operator<=>(const PivFirmware& a, const PivFirmware& b) = default;
};

// Values beyond these are kept as they come and mean nothing here.
namespace piv {
inline constexpr uint8_t kPinNever = 1, kPinOnce = 2, kPinAlways = 3, kPinMatchOnce = 4,
                         kPinMatchAlways = 5;
inline constexpr uint8_t kTouchNever = 1, kTouchAlways = 2, kTouchCached = 3;
inline constexpr uint8_t kFormFactorFips = 0x80;
}  // namespace piv

// "always"; "unknown (0x07)" for values that are not Yubico's, or not yet.
std::string PivPinPolicyText(uint8_t policy);
std::string PivTouchPolicyText(uint8_t policy);
// Of the form factor without its FIPS bit: "usb-a-keychain", ...
std::string PivFormFactorText(uint8_t form_factor);
// "5.7" and "5.7.4"; nullopt for anything else.
std::optional<PivFirmware> ParsePivFirmwareText(absl::string_view text);

struct PivExtensions {
  std::optional<PivFirmware> firmware;
  std::optional<uint64_t> serial;
  std::optional<uint8_t> pin_policy;  // together with touch_policy
  std::optional<uint8_t> touch_policy;
  std::optional<uint8_t> form_factor;  // without the FIPS bit
  bool fips = false;                   // the form factor's bit, or .10
  bool cspn = false;

  // Those that the certificate has; a slot's and an F9's alike: which must be there is for the
  // caller to say. Refuses with kPivAttestationExtension one that is not exactly of its form, with
  // anything left over. (An extension that is there twice was refused with the certificate.)
  static absl::StatusOr<PivExtensions> Parse(const Certificate& certificate);
};

// The value of one extension each, from inside the OCTET STRING; whole buffer.
absl::StatusOr<PivFirmware> ParsePivFirmware(absl::string_view value);
// A DER INTEGER, minimal, not negative, of at most eight octets.
absl::StatusOr<uint64_t> ParsePivSerial(absl::string_view value);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_PIV_ATTESTATION_H_
