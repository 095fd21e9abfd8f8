// SPDX-License-Identifier: Apache-2.0
#include "src/verify/piv_quirks.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "src/wire/piv_attestation.h"

namespace forekey {
namespace {

bool IsPivKeySlot(uint32_t slot) {
  return slot == 0x9a || slot == 0x9c || slot == 0x9d || slot == 0x9e || slot == 0xf9 ||
         (slot >= 0x82 && slot <= 0x95);
}

bool MayBeF9(const Certificate& certificate) {
  const absl::StatusOr<PivExtensions> extensions = PivExtensions::Parse(certificate);
  const std::optional<uint8_t> slot = PivSlotOf(certificate);
  return extensions.ok() && !extensions->pin_policy && (!slot || *slot == 0xf9);
}

bool CallsItselfPivAttestation(const Certificate& certificate) {
  const std::vector<std::string> names = certificate.CommonNames();
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return absl::StrContains(name, "PIV Attestation");
  });
}

std::optional<PivFirmware> FirmwareIn(const Certificate& certificate) {
  const absl::StatusOr<PivExtensions> extensions = PivExtensions::Parse(certificate);
  return extensions.ok() ? extensions->firmware : std::nullopt;
}

bool HasF9WithoutConstraints(const PivFirmware& firmware) {
  return (firmware.major == 4 && firmware.minor == 3) || firmware == PivFirmware{4, 4, 5} ||
         firmware == PivFirmware{5, 2, 4};
}

}  // namespace

std::optional<uint8_t> PivSlotOf(const Certificate& certificate) {
  std::optional<uint8_t> slot;
  for (const std::string& name : certificate.CommonNames()) {
    for (absl::string_view word : absl::StrSplit(name, absl::ByAnyChar(" \t()[]:;,=#"))) {
      if (absl::StartsWithIgnoreCase(word, "0x")) word.remove_prefix(2);
      uint32_t value = 0;
      if (word.size() != 2 || !absl::SimpleHexAtoi(word, &value) || !IsPivKeySlot(value)) continue;
      if (slot && *slot != value) return std::nullopt;
      slot = static_cast<uint8_t>(value);
    }
  }
  return slot;
}

bool IsF9WithoutConstraints(const Certificate& issuer, absl::Span<const Certificate* const> below) {
  if (below.size() != 1 || !MayBeF9(issuer)) return false;
  const std::optional<PivFirmware> own = FirmwareIn(issuer);
  const std::optional<PivFirmware> card = FirmwareIn(*below[0]);
  if (own && HasF9WithoutConstraints(*own)) return true;
  if (!card || !HasF9WithoutConstraints(*card)) return false;
  return own ? own->major == card->major : CallsItselfPivAttestation(issuer);
}

bool IsU2fRootOverF9(const Certificate& anchor, absl::Span<const Certificate* const> below) {
  constexpr PivFirmware kOnly{4, 3, 7};
  if (below.size() != 2 || !MayBeF9(*below[1])) return false;
  if (FirmwareIn(*below[1]) != kOnly && FirmwareIn(*below[0]) != kOnly) return false;
  const std::vector<std::string> names = anchor.CommonNames();
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return absl::StartsWith(name, "Yubico U2F Root CA");
  });
}

}  // namespace forekey
