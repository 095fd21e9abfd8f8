// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_enroller.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hw/piv/management_key.h"
#include "hw/piv/new_key.h"
#include "hw/piv/piv_key.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

absl::Status StepOutOfOrder() {
  return absl::FailedPreconditionError("the steps of an enrolment come in their order, each once");
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyEnroller>> PivEnroller::New(std::shared_ptr<PivDevice> device,
                                                              std::optional<PivSlot> slot_of_uri,
                                                              PivEnrollOptions options) {
  std::unique_ptr<PivEnroller> enroller(new PivEnroller(std::move(device), std::move(options)));
  const PivEnrollOptions& given = enroller->options_;
  enroller->wanted_ = slot_of_uri;
  if (!given.slot.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(const PivSlot slot, ParseSlot(given.slot));
    if (slot_of_uri.has_value() && *slot_of_uri != slot) {
      return absl::InvalidArgumentError("the device's URI and the slot option name two slots");
    }
    enroller->wanted_ = slot;
  }
  if (given.existing_key && given.overwrite) {
    return absl::InvalidArgumentError(
        "an existing key is enrolled as it is: there is nothing to overwrite");
  }
  if (given.overwrite && !enroller->wanted_.has_value()) {
    return absl::InvalidArgumentError("overwriting a slot needs the slot to be named");
  }
  if (given.existing_key &&
      (!given.pin_policy.empty() || !given.touch_policy.empty() || !given.algorithm.empty())) {
    return absl::InvalidArgumentError("an existing key has its algorithm and its policies already");
  }
  if (!given.existing_key && given.proof == kProofCertificate) {
    return absl::InvalidArgumentError(
        "a new key has no issuer's certificate yet: enrol it with --existing once it has one");
  }
  if (given.existing_key && given.write_certificate) {
    return absl::InvalidArgumentError(
        "an existing key is enrolled as it is: no certificate is written to it");
  }
  if (!given.management_key.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(enroller->management_key_,
                             ParseManagementKey(given.management_key.view()));
  }
  if (!given.pin_policy.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(enroller->pin_policy_, PinPolicyFromName(given.pin_policy));
  }
  if (!given.touch_policy.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(enroller->touch_policy_, TouchPolicyFromName(given.touch_policy));
  }
  if (!given.algorithm.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(enroller->wanted_algorithm_, NewKeyAlgorithmFromName(given.algorithm));
  }
  return enroller;
}

PivEnroller::~PivEnroller() {
  if (step_ == Step::kKept || step_ == Step::kDone || options_.existing_key) return;
  if (step_ == Step::kCreated || step_ == Step::kProved || generating_)
    DeleteNewKey().IgnoreError();
}

absl::Status PivEnroller::Run(absl::FunctionRef<absl::Status(PivCard&)> operation) {
  return device_->Run(PatienceOf(options_.sign), [&](PivCard& card) -> absl::Status {
    FOREKEY_RETURN_IF_ERROR(Identify(card));
    return operation(card);
  });
}

absl::Status PivEnroller::Identify(PivCard& card) {
  PivUri uri;
  uri.serial = card.serial();
  std::string chuid_digest;
  if (!uri.serial.has_value()) {
    uri.reader = device_->reader();
    FOREKEY_ASSIGN_OR_RETURN(auto chuid, card.GetObject(kObjectChuid));
    if (chuid.has_value()) chuid_digest = Sha256(*chuid);
  }
  if (identified_ && (uri.DeviceText() != uri_.DeviceText() || chuid_digest != chuid_digest_)) {
    return DeviceFailure(DeviceError::kGone, "another card was put in since the enrolment began");
  }
  uri_ = std::move(uri);
  chuid_digest_ = std::move(chuid_digest);
  identified_ = true;
  return absl::OkStatus();
}

bool PivEnroller::IsAccepted(PivSlot slot) const {
  return accepted_.empty() ||
         std::find(accepted_.begin(), accepted_.end(), slot) != accepted_.end();
}

absl::StatusOr<PivSlot> PivEnroller::ChooseFreeSlot(PivCard& card) {
  if (wanted_.has_value()) {
    const std::string name = SlotName(*wanted_);
    if (options_.overwrite) return *wanted_;
    FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(*wanted_));
    switch (slot.state) {
      case PivCard::SlotState::kEmpty:
        return *wanted_;
      case PivCard::SlotState::kOccupied:
        return SlotProblem(absl::StrCat("slot ", name,
                                        " holds a key or certificate: choose another, enrol "
                                        "what is there (--existing), or destroy it (--overwrite)"));
      case PivCard::SlotState::kUnknown:
        break;
    }
    return SlotProblem(absl::StrCat("this card can't say whether slot ", name,
                                    " is free: if you know that "
                                    "it is, use --overwrite"));
  }
  bool unknown = false;
  for (PivSlot candidate : DedicatedSlots()) {
    if (!IsAccepted(candidate)) continue;
    FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(candidate));
    if (slot.state == PivCard::SlotState::kEmpty) return candidate;
    unknown |= slot.state == PivCard::SlotState::kUnknown;
  }
  return SlotProblem(
      unknown ? "this card can't say which of its slots are free: name one with --slot, and "
                "--overwrite if you know that it is"
              : "the card has no free slot that the gate takes, of 82 to 95 and 9c");
}

absl::StatusOr<PivSlot> PivEnroller::ChooseExistingKey(PivCard& card) {
  if (wanted_.has_value()) {
    FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(*wanted_));
    if (slot.Key().ok()) return *wanted_;
    return SlotProblem(
        absl::StrCat("slot ", SlotName(*wanted_), " holds no key that can be enrolled"));
  }
  // Dedicated slots first; among those that other programs share, the one that is meant for logging
  // in.
  std::vector<PivSlot> dedicated;
  for (PivSlot candidate : DedicatedSlots()) {
    FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(candidate));
    if (slot.Key().ok()) dedicated.push_back(candidate);
  }
  if (dedicated.size() > 1) {
    return SlotProblem(absl::StrCat(
        "several slots hold a key, say which one with --slot: ",
        absl::StrJoin(dedicated, ", ",
                      [](std::string* out, PivSlot slot) { out->append(SlotName(slot)); })));
  }
  if (dedicated.size() == 1) return dedicated[0];
  FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(kSlotAuthentication));
  if (slot.Key().ok()) return kSlotAuthentication;
  return SlotProblem("the card holds no key that can be enrolled");
}

absl::StatusOr<forekey::v1::EnrollmentOpening> PivEnroller::Opening() {
  if (step_ != Step::kNew) return StepOutOfOrder();
  FOREKEY_RETURN_IF_ERROR(Run([this](PivCard& card) -> absl::Status {
    if (HasMadeKey()) return absl::OkStatus();
    if (options_.existing_key) {
      FOREKEY_ASSIGN_OR_RETURN(slot_, ChooseExistingKey(card));
      return absl::OkStatus();
    }
    // Before anybody is asked for anything.
    if (options_.write_certificate && !card.CanAttest()) {
      return SlotProblem(
          "this card does not attest its keys, so there is no certificate to write: leave out "
          "--write-certificate");
    }
    FOREKEY_ASSIGN_OR_RETURN(algorithm_, ChooseNewKeyAlgorithm(wanted_algorithm_, card.version()));
    FOREKEY_ASSIGN_OR_RETURN(slot_, ChooseFreeSlot(card));
    return absl::OkStatus();
  }));
  forekey::v1::EnrollmentOpening opening;
  opening.set_kind(forekey::v1::TOKEN_KIND_PIV);
  opening.mutable_piv()->set_slot(slot_);
  step_ = Step::kOpened;
  return opening;
}

absl::StatusOr<std::string> PivEnroller::CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                                   absl::string_view) {
  if (step_ != Step::kOpened) return StepOutOfOrder();
  if (!demand.has_piv())
    return absl::InvalidArgumentError("the gate demands nothing of a PIV card");
  for (uint32_t slot : demand.piv().slots()) accepted_.push_back(static_cast<PivSlot>(slot));
  // A gate of before says neither.
  takes_attestations_ = demand.piv().attestations() || !demand.piv().certificates();
  takes_certificates_ = demand.piv().certificates() || !demand.piv().attestations();
  FOREKEY_RETURN_IF_ERROR(CheckProofIsTaken());
  if (options_.existing_key) {
    if (!IsAccepted(slot_)) {
      return SlotProblem(absl::StrCat("the gate does not take keys in slot ", SlotName(slot_)));
    }
    FOREKEY_RETURN_IF_ERROR(Run([this](PivCard& card) -> absl::Status {
      FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(slot_));
      FOREKEY_ASSIGN_OR_RETURN(public_key_, slot.Key());
      return AlgorithmOf(*public_key_).status();
    }));
  } else if (HasMadeKey()) {
    if (!IsAccepted(slot_)) {
      return SlotProblem(absl::StrCat("the gate does not take keys in slot ", SlotName(slot_)));
    }
  } else {
    FOREKEY_RETURN_IF_ERROR(AskForStoredKeysPin());
    FOREKEY_RETURN_IF_ERROR(Run([this](PivCard& card) { return Generate(card); }));
    if (options_.write_certificate) {
      FOREKEY_RETURN_IF_ERROR(Run([this](PivCard& card) { return WriteCertificate(card); }));
    }
  }
  step_ = Step::kCreated;
  return public_key_->spki();
}

// Before anything is made, or anybody is asked for a PIN.
absl::Status PivEnroller::CheckProofIsTaken() const {
  if (!takes_attestations_ && !options_.existing_key) {
    return SlotProblem(
        "the gate takes keys by their issuers' certificates alone, and a new key has none: have "
        "its "
        "issuer certify a key, and enrol that with --existing");
  }
  const bool taken = options_.proof == kProofAttestation   ? takes_attestations_
                     : options_.proof == kProofCertificate ? takes_certificates_
                                                           : true;
  if (taken) return absl::OkStatus();
  return SlotProblem(absl::StrCat("the gate does not take what proof=", options_.proof,
                                  " asks for: leave that option out"));
}

absl::Status PivEnroller::ChooseProof(PivCard& card, const PivCard::Slot& slot,
                                      std::optional<std::string> attestation,
                                      forekey::v1::PivEvidence* evidence) {
  note_.clear();
  const bool may_attest = takes_attestations_ && options_.proof != kProofCertificate;
  // The certificate beside a key that was made just now is no issuer's.
  const bool certified = options_.existing_key && !slot.certificate.empty();
  const bool may_certify = takes_certificates_ && certified && options_.proof != kProofAttestation;
  if (may_attest && attestation.has_value()) {
    FOREKEY_ASSIGN_OR_RETURN(auto object, card.GetObject(kObjectAttestation));
    auto issuer = ParseCertificateObject(object.value_or(""));
    if (issuer.ok()) {
      evidence->set_certificate(*std::move(attestation));
      evidence->add_intermediates(*std::move(issuer));
      evidence->set_is_attestation(true);
      if (may_certify) {
        note_ = absl::StrCat(
            "the key was proved by the card's own attestation; where the gate trusts the issuer of "
            "the certificate in slot ",
            SlotName(slot_), ", enrol it with --option proof=", kProofCertificate);
      }
      return absl::OkStatus();
    }
    if (!may_certify) {
      return SlotProblem("the card attests its keys, but its attestation certificate (F9) is gone");
    }
  }
  if (may_certify) {
    evidence->set_certificate(slot.certificate);
    return absl::OkStatus();
  }
  if (certified) {
    return SlotProblem(absl::StrCat("the card can't attest the key in slot ", SlotName(slot_),
                                    ": a certificate alone proves it"));
  }
  return SlotProblem(
      absl::StrCat(may_attest ? "the card can't attest the key in slot "
                              : "the key is to be proved by the certificate in slot ",
                   SlotName(slot_),
                   ", and there is "
                   "no certificate for it: have its issuer certify it, and enrol it then "
                   "with --existing"));
}

absl::Status PivEnroller::ReadEvidence(PivCard& card, forekey::v1::PivEvidence* evidence) {
  evidence->Clear();
  FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(slot_));
  FOREKEY_ASSIGN_OR_RETURN(auto attestation, card.Attest(slot_));
  AttestedPolicies attested;
  if (attestation.has_value()) attested = PoliciesOfAttestation(*attestation);
  FOREKEY_RETURN_IF_ERROR(ChooseProof(card, slot, std::move(attestation), evidence));
  auto certificate = Certificate::ParseDer(evidence->certificate());
  if (!certificate.ok() || certificate->Spki() != public_key_->spki()) {
    return DeviceFailure(DeviceError::kOther,
                         absl::StrCat("the card's certificate for slot ", SlotName(slot_),
                                      " is that of another key"));
  }
  PivKeyReference reference{uri_, chuid_digest_, StandardPinPolicy(slot_), TouchPolicy::kUnknown,
                            *public_key_};
  reference.uri.slot = slot_;
  const PinPolicy pin_policy = slot.metadata.has_value() ? slot.metadata->pin : attested.pin;
  if (pin_policy != PinPolicy::kUnknown) reference.pin_policy = pin_policy;
  reference.touch_policy = slot.metadata.has_value() ? slot.metadata->touch : attested.touch;
  reference_ = std::move(reference);
  return absl::OkStatus();
}

absl::Status PivEnroller::Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) {
  if (step_ != Step::kCreated) return StepOutOfOrder();
  absl::Status status =
      Run([&](PivCard& card) { return ReadEvidence(card, proof->mutable_piv()); });
  if (status.ok()) {
    Secret pin = stored_key_pin_.has_value() ? stored_key_pin_->pin().Clone()
                                             : options_.key_password.Clone();
    PivKey key(device_, *reference_, std::move(pin));
    auto signature = key.Sign(statement, options_.sign);
    status = signature.status();
    if (signature.ok()) proof->mutable_possession()->set_signature(std::move(signature->signature));
  }
  if (status.ok()) {
    step_ = Step::kProved;
    return status;
  }
  if (options_.existing_key) return status;
  absl::Status deleted = DeleteNewKey();
  if (deleted.ok()) return status;
  const auto error = DeviceErrorOf(status);
  return DeviceFailure(error.value_or(DeviceError::kOther),
                       absl::StrCat(status.message(), "; the new key stays in slot ",
                                    SlotName(slot_), " (", deleted.message(), ")"));
}

absl::StatusOr<std::string> PivEnroller::KeyReference() {
  if (step_ != Step::kProved) return StepOutOfOrder();
  step_ = Step::kKept;
  generating_ = false;
  return SerializeKeyReference(*reference_);
}

absl::Status PivEnroller::BeginAnew() {
  if (step_ != Step::kKept) return StepOutOfOrder();
  step_ = Step::kNew;
  accepted_.clear();
  generating_ = !options_.existing_key;  // dropped from now on, it takes its key along
  return absl::OkStatus();
}

}  // namespace forekey
