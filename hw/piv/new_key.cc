// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/new_key.h"

#include "absl/strings/str_cat.h"
#include "hw/device_key.h"
#include "src/wire/weak_firmware.h"

namespace forekey {
namespace {

struct NewKeyKind {
  PivAlgorithm algorithm;
  absl::string_view name;
  PivVersion since;  // a YubiKey's firmware
};
constexpr NewKeyKind kNewKeyKinds[] = {
    {PivAlgorithm::kEccP256, "eccp256", {}},        {PivAlgorithm::kEccP384, "eccp384", {4, 0, 0}},
    {PivAlgorithm::kRsa2048, "rsa2048", {}},        {PivAlgorithm::kRsa3072, "rsa3072", {5, 7, 0}},
    {PivAlgorithm::kRsa4096, "rsa4096", {5, 7, 0}}, {PivAlgorithm::kEd25519, "ed25519", {5, 7, 0}},
};

const NewKeyKind* KindOf(PivAlgorithm algorithm) {
  for (const NewKeyKind& kind : kNewKeyKinds) {
    if (kind.algorithm == algorithm) return &kind;
  }
  return nullptr;
}

bool IsEcdsa(PivAlgorithm algorithm) {
  return algorithm == PivAlgorithm::kEccP256 || algorithm == PivAlgorithm::kEccP384;
}

// Whether this firmware's keys of that algorithm follow from what everybody sees; then by which
// advisory.
std::string GivesKeysAway(const PivVersion& version, TokenFirmware::Keys keys) {
  TokenFirmware token;
  token.kind = v1::TOKEN_KIND_PIV;
  token.maker = "yubikey";
  token.version = uint64_t{version.major} << 16 | uint64_t{version.minor} << 8 | version.patch;
  token.keys = keys;
  for (const WeakFirmware& known : WeaknessesOf(token)) {
    if (known.key_recoverable) return known.id;
  }
  return "";
}

std::string GivesEcdsaKeysAway(const PivVersion& version) {
  return GivesKeysAway(version, TokenFirmware::Keys::kEcdsa);
}

}  // namespace

absl::StatusOr<PivAlgorithm> NewKeyAlgorithmFromName(absl::string_view name) {
  std::string all;
  for (const NewKeyKind& kind : kNewKeyKinds) {
    if (name == kind.name) return kind.algorithm;
    absl::StrAppend(&all, all.empty() ? "" : ", ", kind.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' is no algorithm for a new key: ", all));
}

absl::string_view NewKeyAlgorithmName(PivAlgorithm algorithm) {
  const NewKeyKind* kind = KindOf(algorithm);
  return kind == nullptr ? "unknown" : kind->name;
}

absl::StatusOr<PivAlgorithm> ChooseNewKeyAlgorithm(std::optional<PivAlgorithm> wanted,
                                                   const std::optional<PivVersion>& version) {
  if (!version.has_value()) return wanted.value_or(PivAlgorithm::kEccP256);
  if (!wanted.has_value()) {
    return GivesEcdsaKeysAway(*version).empty() ? PivAlgorithm::kEccP256 : PivAlgorithm::kRsa2048;
  }
  const std::string what = absl::StrCat("this card's firmware is ", version->Text());
  const NewKeyKind* kind = KindOf(*wanted);
  if (kind == nullptr || *version < kind->since) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrCat(what, ", which makes no keys of the kind ", NewKeyAlgorithmName(*wanted),
                     kind == nullptr ? "" : absl::StrCat(" (", kind->since.Text(), " does)"),
                     ": choose another --algorithm, or leave it out"));
  }
  const std::string ecdsa = IsEcdsa(*wanted) ? GivesEcdsaKeysAway(*version) : "";
  if (!ecdsa.empty()) {
    return DeviceFailure(DeviceError::kNotSetUp,
                         absl::StrCat(what, ", whose ECDSA signatures give the key away (", ecdsa,
                                      "): use --algorithm rsa2048"));
  }
  const std::string rsa =
      *wanted == PivAlgorithm::kRsa2048 ? GivesKeysAway(*version, TokenFirmware::Keys::kRsa) : "";
  if (!rsa.empty()) {
    return DeviceFailure(DeviceError::kNotSetUp,
                         absl::StrCat(what, ", whose RSA keys can be factored (", rsa,
                                      "): use --algorithm eccp256"));
  }
  return *wanted;
}

}  // namespace forekey
