// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_key.h"

#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

absl::Status AnotherCard() {
  return DeviceFailure(
      DeviceError::kGone,
      "the card in the reader is not the one with the enrolled key: put that one in");
}

}  // namespace

absl::Status CheckCardOf(PivCard& card, const PivKeyReference& reference) {
  if (reference.uri.serial.has_value()) {
    return card.serial() == reference.uri.serial ? absl::OkStatus() : AnotherCard();
  }
  if (!reference.chuid_digest.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(auto chuid, card.GetObject(kObjectChuid));
    return chuid.has_value() && Sha256(*chuid) == reference.chuid_digest ? absl::OkStatus()
                                                                         : AnotherCard();
  }
  // Neither number nor name: by the key itself, where the card shows it. A PIN must not go to a
  // stranger's card, whose tries it would use up.
  FOREKEY_ASSIGN_OR_RETURN(PivCard::Slot slot, card.ReadSlot(*reference.uri.slot));
  std::string spki;
  if (slot.metadata.has_value() && slot.metadata->public_key.has_value()) {
    spki = slot.metadata->public_key->spki();
  } else {
    // Of the slot, or the attestation of a key that was made on the card.
    std::string der = slot.certificate;
    if (der.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(auto attestation, card.Attest(*reference.uri.slot));
      der = attestation.value_or("");
    }
    if (auto certificate = Certificate::ParseDer(der); certificate.ok()) spki = certificate->Spki();
  }
  return spki == reference.public_key.spki() ? absl::OkStatus() : AnotherCard();
}

std::string PivKey::Describe() const {
  return absl::StrCat("PIV key (", reference_.uri.Text(), ")");
}

absl::Status PivKey::CheckCard(PivCard& card) const { return CheckCardOf(card, reference_); }

bool PivKey::HoldsPin() {
  absl::MutexLock lock(&mutex_);
  return !pin_.empty();
}

absl::StatusOr<PinUse> PivKey::HeldPin() {
  absl::MutexLock lock(&mutex_);
  if (!pin_.empty()) return PinUse(pin_.Clone(), /*tries_shown=*/-1);
  return DeviceFailure(
      DeviceError::kWrongPin,
      "the card found the PIN wrong when another call gave it a moment ago: it was "
      "not sent again");
}

void PivKey::DropPin() {
  absl::MutexLock lock(&mutex_);
  pin_ = Secret();
}

absl::StatusOr<std::string> PivKey::SignOnCard(PivCard& card, absl::string_view statement,
                                               PinUse* use, const SignOptions& options) const {
  FOREKEY_RETURN_IF_ERROR(CheckCard(card));
  // Last before the signature: a key with the policy "always" takes a PIN for the next command
  // alone.
  if (use != nullptr) FOREKEY_RETURN_IF_ERROR(use->Present(card));
  const bool touch = reference_.touch_policy == TouchPolicy::kAlways ||
                     reference_.touch_policy == TouchPolicy::kCached;
  const bool show = touch && options.prompt != nullptr;
  if (show) options.prompt->ShowTouch(Describe());
  absl::Cleanup hide = [&] {
    if (show) options.prompt->HideTouch();
  };
  return card.Sign(*reference_.uri.slot, reference_.public_key, statement, touch);
}

absl::Status PivKey::TrySign(absl::string_view statement, std::optional<PinUse>* typed,
                             const SignOptions& options, std::string* signed_bytes) {
  bool forgot_once = false;
  return device_->Run(PatienceOf(options), [&](PivCard& card) -> absl::Status {
    // A held PIN is looked up now that the card is this call's: one before it may have found it
    // wrong.
    if (typed != nullptr && !typed->has_value()) {
      FOREKEY_ASSIGN_OR_RETURN(*typed, HeldPin());
    }
    PinUse* pin = typed == nullptr ? nullptr : &**typed;
    auto signature = SignOnCard(card, statement, pin, options);
    if (PinIsNoGood(signature.status())) DropPin();
    if (DeviceErrorOf(signature.status()) == DeviceError::kPinRequired && pin != nullptr &&
        !forgot_once) {
      // It took the PIN and forgot it at once: a reset that nobody announced (power, a bad
      // contact).
      forgot_once = true;
      return Interrupted(Interruption::kCardReset, signature.status());
    }
    FOREKEY_RETURN_IF_ERROR(signature.status());
    *signed_bytes = *std::move(signature);
    return absl::OkStatus();
  });
}

absl::StatusOr<DeviceSignature> PivKey::Sign(absl::string_view statement,
                                             const SignOptions& options) {
  DeviceSignature result;
  std::optional<PinUse> pin;
  absl::Status status = absl::OkStatus();
  if (reference_.pin_policy == PinPolicy::kNever) {
    status = TrySign(statement, nullptr, options, &result.signature);
  }
  // A card whose policy nobody could read (an imported key, another vendor's 9E) may want it all
  // the same.
  if (reference_.pin_policy != PinPolicy::kNever ||
      DeviceErrorOf(status) == DeviceError::kPinRequired) {
    if (!HoldsPin()) {
      FOREKEY_ASSIGN_OR_RETURN(pin, AskForPin(*device_, options, Describe(),
                                              [this](PivCard& card) { return CheckCard(card); }));
    }
    status = TrySign(statement, &pin, options, &result.signature);
  }
  FOREKEY_RETURN_IF_ERROR(status);
  if (!reference_.public_key.Verify(statement, result.signature).ok()) {
    return DeviceFailure(
        DeviceError::kNotSetUp,
        absl::StrCat("GENERAL AUTHENTICATE: the signature is not the enrolled key's: ", Describe(),
                     " was made anew since; enrol again"));
  }
  return result;
}

}  // namespace forekey
