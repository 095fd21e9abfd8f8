// SPDX-License-Identifier: Apache-2.0
#include "src/wire/weak_firmware.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

struct Known {
  absl::string_view id, line, why;
  bool key_recoverable;
};

constexpr absl::string_view kRocaCard =
    "RSA keys made by this firmware can be factored (CVE-2017-15361)";
constexpr absl::string_view kBiased =
    "ECDSA nonces of this firmware are biased after power-up: the key follows from a few "
    "signatures";
constexpr absl::string_view kEucleak =
    "who has the opened card can measure ECDSA keys out of this firmware (CVE-2024-45678)";
constexpr absl::string_view kRocaTpm =
    "RSA keys made by this firmware can be factored (ROCA); those that were made before an update "
    "stay weak";

// The form factor is absent on 4.x, so that FIPS can't always be told: there is no 4.4.2 or 4.4.4
// that is not FIPS.
constexpr Known kKnown[] = {
    {"YSA-2017-01", "piv yubikey weak 4.2.6-4.3.4 rsa", kRocaCard, true},
    {"YSA-2019-02", "piv yubikey weak 4.4.2 ecdsa", kBiased, true},
    {"YSA-2019-02", "piv yubikey weak 4.4.4 ecdsa", kBiased, true},
    {"YSA-2024-03", "piv yubikey weak 5.0-5.6 ecdsa", kEucleak, false},
    {"YSA-2024-03", "piv yubikey-bio weak 5.7.0-5.7.1 ecdsa", kEucleak, false},
    {"CVE-2017-15361", "tpm IFX weak 5.0-5.61", kRocaTpm, true},
    {"CVE-2017-15361", "tpm IFX weak 7.0-7.61", kRocaTpm, true},
};

std::vector<WeakFirmware> ReadKnown() {
  std::vector<WeakFirmware> known;
  for (const Known& one : kKnown) {
    const absl::StatusOr<FirmwareList> list =
        FirmwareList::Parse(absl::StrCat("forekey-firmware-list 1\n", one.line));
    if (!list.ok() || list->entries().size() != 1) std::abort();  // the table above is wrong
    known.push_back(
        {std::string(one.id), std::string(one.why), one.key_recoverable, list->entries().front()});
  }
  return known;
}

}  // namespace

std::vector<WeakFirmware> WeaknessesOf(const TokenFirmware& token) {
  static const auto* const kAll = new std::vector<WeakFirmware>(ReadKnown());
  std::vector<WeakFirmware> found;
  if (!token.version) return found;
  for (const WeakFirmware& one : *kAll) {
    if (one.entry.IsAbout(token) && *token.version >= one.entry.from &&
        *token.version <= one.entry.to) {
      found.push_back(one);
    }
  }
  return found;
}

std::string FirmwareAdvice(TokenKind kind) {
  if (kind == v1::TOKEN_KIND_TPM) {
    return "update the TPM's firmware by the machine maker's tool, and enrol a new key then: one "
           "that was made before stays what it is";
  }
  if (kind == v1::TOKEN_KIND_PIV) {
    return "a YubiKey's firmware can't be changed: enrol a newer one";
  }
  return "enrol a newer key, or update this one where its maker has an update";
}

}  // namespace forekey
