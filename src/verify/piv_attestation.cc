// SPDX-License-Identifier: Apache-2.0
// Threats to the attestation, and what stands against each:
//  V1 a chain under Yubico's names with other keys       VerifyPath to the administrator's anchors
//  V2 the slot's key used as an issuer (its owner signs with it what he likes)
//                                                        cA, and the quirks' narrow way round it
//  V3 another certificate of the vendor shown as a slot's: the F9's own, a FIDO or OpenPGP
//  attestation
//                                                        firmware, policies and slot must be there,
//                                                        and no CA's marks
//  V4 an imported key, or a key of another card          nothing attests it: its certificate has no
//                                                        path, and the caller compares the key
//  V5 a true attestation of a slot that other software signs with
//                                                        shared slots are refused, or earn
//                                                        piv-shared
//  V6 factors beyond what is attested                    PIN and touch "always" alone
//  V7 cards whose keys can be computed                   piv_advisories.h, the organisation's list;
//                                                        no key above a slot's either
//  V8 work: chains made to cost                          max_intermediates, VerifyPath's budget
#include "src/verify/piv_attestation.h"

#include <openssl/err.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/verify/firmware_check.h"
#include "src/verify/piv_advisories.h"
#include "src/verify/piv_path.h"
#include "src/verify/piv_quirks.h"
#include "src/verify/roca_modulus.h"

namespace forekey {
namespace {

// What a slot's attestation says, before anybody asks whether that is enough.
struct SlotFacts {
  uint8_t slot = 0;
  PivExtensions extensions;
  TokenFirmware firmware;
  std::vector<PivAdvisory> advisories;
  bool fips = false;
  bool cspn = false;
};

// V3.
absl::StatusOr<SlotFacts> ReadSlot(const Certificate& slot) {
  FOREKEY_RETURN_IF_ERROR(RefuseCa(slot));
  SlotFacts facts;
  FOREKEY_ASSIGN_OR_RETURN(facts.extensions, PivExtensions::Parse(slot));
  if (!facts.extensions.firmware) {
    return Refuse(Reason::kPivAttestationExtension, "the firmware version (.3) is missing");
  }
  if (!facts.extensions.pin_policy) {
    return Refuse(Reason::kPivAttestationExtension, "PIN and touch policy (.8) are missing");
  }
  const std::optional<uint8_t> number = PivSlotOf(slot);
  if (!number || *number == 0xf9) {
    return Refuse(Reason::kCertificateProfile,
                  absl::StrCat("\"", slot.SubjectText(), "\" names no slot whose keys sign"));
  }
  facts.slot = *number;
  return facts;
}

// Values that are not known are not enough for anything.
bool IsEnoughPin(uint8_t attested, PivPolicy::Pin least) {
  switch (least) {
    case PivPolicy::Pin::kAny:
      return true;
    case PivPolicy::Pin::kOnce:
      return attested == piv::kPinOnce || attested == piv::kPinAlways;
    case PivPolicy::Pin::kAlways:
      return attested == piv::kPinAlways;
  }
  return false;
}

bool IsEnoughTouch(uint8_t attested, PivPolicy::Touch least) {
  switch (least) {
    case PivPolicy::Touch::kAny:
      return true;
    case PivPolicy::Touch::kCached:
      return attested == piv::kTouchCached || attested == piv::kTouchAlways;
    case PivPolicy::Touch::kAlways:
      return attested == piv::kTouchAlways;
  }
  return false;
}

// V5, and what the configuration asks for.
absl::Status CheckSlotPolicy(const SlotFacts& facts, const PivPolicy& policy) {
  const PivExtensions& has = facts.extensions;
  if (!policy.slots.empty() && !policy.slots.contains(facts.slot)) {
    return Refuse(Reason::kPivSlotMismatch, absl::StrFormat("it is of slot %02x", facts.slot));
  }
  if (!policy.allow_shared && !IsDedicatedPivSlot(facts.slot)) {
    return Refuse(Reason::kPivSharedKey, absl::StrFormat("slot %02x", facts.slot));
  }
  if (!IsEnoughPin(*has.pin_policy, policy.pin)) {
    return Refuse(Reason::kPivPolicy,
                  absl::StrCat("the PIN policy is ", PivPinPolicyText(*has.pin_policy)));
  }
  if (!IsEnoughTouch(*has.touch_policy, policy.touch)) {
    return Refuse(Reason::kPivPolicy,
                  absl::StrCat("the touch policy is ", PivTouchPolicyText(*has.touch_policy)));
  }
  return absl::OkStatus();
}

absl::Status CheckCardPolicy(const SlotFacts& facts, const PivPolicy& policy) {
  const PivExtensions& has = facts.extensions;
  if (policy.min_firmware && *has.firmware < *policy.min_firmware) {
    return Refuse(Reason::kPivFirmware, absl::StrCat("it is ", has.firmware->Text(),
                                                     ", older than ", policy.min_firmware->Text()));
  }
  for (const PivAdvisory& advisory : facts.advisories) {  // V7
    if (policy.weakness == PivWeakness::kRefuseAll ||
        (policy.weakness == PivWeakness::kRefuseRecoverable && advisory.key_recoverable)) {
      return Refuse(Reason::kPivFirmware,
                    absl::StrCat(has.firmware->Text(), ", ", advisory.id, ": ", advisory.why));
    }
  }
  FOREKEY_RETURN_IF_ERROR(CheckFirmware(policy.firmware, facts.firmware));
  if (policy.fips_only && !facts.fips) return Refuse(Reason::kPivFormFactor, "it is no FIPS model");
  if (!policy.form_factors.empty() &&
      (!has.form_factor || !policy.form_factors.contains(*has.form_factor))) {
    return Refuse(Reason::kPivFormFactor,
                  has.form_factor ? PivFormFactorText(*has.form_factor) : "it tells none");
  }
  if (has.serial && policy.serial_deny.contains(*has.serial)) {
    return Refuse(Reason::kDeviceNotPinned, absl::StrCat(*has.serial, " is on the deny-list"));
  }
  if (!policy.serial_allow.empty() && (!has.serial || !policy.serial_allow.contains(*has.serial))) {
    return Refuse(Reason::kDeviceNotPinned,
                  has.serial ? absl::StrCat(*has.serial, " is not on the allow-list")
                             : "the card tells no serial number");
  }
  return absl::OkStatus();
}

// V7. An organisation may have made the F9's key on the card, when its firmware made weak ones.
absl::Status CheckIssuers(const VerifiedPath& path, const PivPolicy& policy) {
  if (policy.weakness != PivWeakness::kReport) {
    FOREKEY_RETURN_IF_ERROR(
        CheckRocaModulus(path.certificates()[1].key(), Reason::kPivFirmware, "the F9 key's"));
  }
  return CheckRocaIssuers(path, 2);
}

nlohmann::json DescribeSlot(const SlotFacts& facts, const VerifiedPath& path) {
  const PivExtensions& has = facts.extensions;
  nlohmann::json proved = {
      {"proof", "attestation"},
      {"slot", absl::StrFormat("%02x", facts.slot)},
      {"shared_slot", !IsDedicatedPivSlot(facts.slot)},
      {"firmware", has.firmware->Text()},
      {"pin_policy", PivPinPolicyText(*has.pin_policy)},
      {"touch_policy", PivTouchPolicyText(*has.touch_policy)},
      {"fips", facts.fips},
      {"cspn", facts.cspn},
  };
  if (has.serial) proved["serial"] = *has.serial;
  if (has.form_factor) proved["form_factor"] = PivFormFactorText(*has.form_factor);
  for (const PivAdvisory& advisory : facts.advisories) {
    proved["weaknesses"].push_back(absl::StrCat(advisory.id, ": ", advisory.why));
  }
  if (HasRocaModulus(path.certificates()[1].key())) {
    proved["weaknesses"].push_back("YSA-2017-01: the F9's RSA key can be computed");
  }
  const absl::StatusOr<PivExtensions> f9 = PivExtensions::Parse(path.certificates()[1]);
  if (f9.ok() && f9->firmware) proved["f9_firmware"] = f9->firmware->Text();
  return proved;
}

// LAW 9. V6.
std::vector<std::string> FactorsOf(const SlotFacts& facts) {
  if (!IsDedicatedPivSlot(facts.slot)) return {"piv-shared"};
  std::vector<std::string> factors = {"piv"};
  if (*facts.extensions.pin_policy == piv::kPinAlways) factors.push_back("piv+pin");
  if (*facts.extensions.touch_policy == piv::kTouchAlways) factors.push_back("piv+touch");
  return factors;
}

std::string PivDeviceId(const SlotFacts& facts, const VerifiedPath& path) {
  if (!facts.extensions.serial) return "";
  // Who signed the F9, whichever of the CAs above it the trust folder happens to hold: one card
  // stays one card when a root takes the place of its intermediates. An F9 that is itself trusted
  // is its own vendor.
  const std::vector<Certificate>& certificates = path.certificates();
  const Certificate& vendor = certificates.size() > 2 ? certificates[2] : certificates[1];
  ByteWriter id;
  // The key, not the certificate: Yubico's roots exist in several certificates.
  id.Raw("forekey/1 piv-device").U8(0).Len2(vendor.Spki()).U64(*facts.extensions.serial);
  return Sha256(id.bytes());
}

}  // namespace

bool IsDedicatedPivSlot(uint8_t slot) { return slot == 0x9c || (slot >= 0x82 && slot <= 0x95); }

absl::StatusOr<VerifiedAttestation> VerifyPivAttestation(
    const Certificate& slot, const std::vector<Certificate>& intermediates,
    const PivPolicy& policy) {
  // A key that nobody takes costs no signature.
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PivKeyOf(slot));
  PathOptions options;
  options.takes_for_ca = IsF9WithoutConstraints;
  options.excuses_path_length = IsU2fRootOverF9;
  FOREKEY_ASSIGN_OR_RETURN(VerifiedPath path,
                           FindPivPath(slot, intermediates, policy, std::move(options)));
  FOREKEY_RETURN_IF_ERROR(CheckIssuers(path, policy));
  FOREKEY_ASSIGN_OR_RETURN(SlotFacts facts, ReadSlot(slot));
  FOREKEY_ASSIGN_OR_RETURN(
      const bool revocation_checked,
      CheckRevocation(path, policy.revocation, RevocationScope::kWhereListed, policy.time));
  facts.fips = facts.extensions.fips;
  facts.cspn = facts.extensions.cspn;
  // The certification marks may stand in the F9 alone.
  if (const auto f9 = PivExtensions::Parse(path.certificates()[1]); f9.ok()) {
    facts.fips = facts.fips || f9->fips;
    facts.cspn = facts.cspn || f9->cspn;
  }
  facts.firmware = PivTokenFirmware(*facts.extensions.firmware, facts.extensions.form_factor, key);
  facts.advisories = PivAdvisoriesFor(facts.firmware, key);
  FOREKEY_RETURN_IF_ERROR(CheckSlotPolicy(facts, policy));
  FOREKEY_RETURN_IF_ERROR(CheckCardPolicy(facts, policy));
  nlohmann::json proved = DescribeSlot(facts, path);
  std::vector<std::string> factors = FactorsOf(facts);
  proved["factors"] = factors;
  proved["revocation_checked"] = revocation_checked;
  if (policy.insecure_simulators) proved["insecure_simulator"] = true;
  DescribePivPath(path, key, &proved);
  return AttestationBuilder::Build(v1::TOKEN_KIND_PIV, std::move(key), PivDeviceId(facts, path),
                                   std::move(factors), std::move(proved));
}

}  // namespace forekey
