// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/new_key.h"

#include "absl/strings/str_cat.h"
#include "hw/device_key.h"

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

bool GivesEcdsaKeysAway(const PivVersion& version) {
  return version == PivVersion{4, 4, 2} || version == PivVersion{4, 4, 4};
}

bool GivesRsaKeysAway(const PivVersion& version) {
  return version >= PivVersion{4, 2, 6} && version <= PivVersion{4, 3, 4};
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
    return GivesEcdsaKeysAway(*version) ? PivAlgorithm::kRsa2048 : PivAlgorithm::kEccP256;
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
  if (IsEcdsa(*wanted) && GivesEcdsaKeysAway(*version)) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrCat(what,
                     ", whose ECDSA signatures give the key away (YSA-2019-02): use "
                     "--algorithm rsa2048"));
  }
  if (*wanted == PivAlgorithm::kRsa2048 && GivesRsaKeysAway(*version)) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrCat(what,
                     ", whose RSA keys can be factored (YSA-2017-01): use --algorithm "
                     "eccp256"));
  }
  return *wanted;
}

}  // namespace forekey
