// SPDX-License-Identifier: Apache-2.0
// What an enrolment of a new key does to the card: authority, the key, its certificate, and how
// they go again.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hw/piv/piv_enroller.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"

namespace forekey {
namespace {

constexpr absl::Duration kCleanupPatience = absl::Seconds(5);

}  // namespace

absl::Status PivEnroller::SlotProblem(absl::string_view why) {
  return DeviceFailure(DeviceError::kNotSetUp, why);
}

absl::Status PivEnroller::AskForStoredKeysPin() {
  if (!management_key_.empty()) return absl::OkStatus();
  bool stored = false;
  FOREKEY_RETURN_IF_ERROR(Run([&](PivCard& card) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(auto admin, card.GetObject(kObjectAdminData));
    if (!admin.has_value()) return absl::OkStatus();
    auto is_stored = ParseManagementKeyIsStored(*admin);
    stored = is_stored.ok() && *is_stored;
    return absl::OkStatus();
  }));
  if (!stored) return absl::OkStatus();
  if (!options_.key_password.empty()) {
    stored_key_pin_.emplace(options_.key_password.Clone(), -1);
    return absl::OkStatus();
  }
  FOREKEY_ASSIGN_OR_RETURN(PinUse pin, AskForPin(*device_, options_.sign,
                                                 absl::StrCat("PIV card (", uri_.DeviceText(), ")"),
                                                 [this](PivCard& card) { return Identify(card); }));
  stored_key_pin_.emplace(std::move(pin));
  return absl::OkStatus();
}

absl::Status PivEnroller::AuthorizeGeneration(PivCard& card) {
  if (!stored_key_pin_.has_value()) return card.AuthenticateManagement(management_key_);
  FOREKEY_RETURN_IF_ERROR(stored_key_pin_->Present(card));
  FOREKEY_ASSIGN_OR_RETURN(auto printed, card.GetObject(kObjectPrinted));
  auto key = ParseStoredManagementKey(printed.value_or(""));
  if (printed.has_value()) Wipe(*printed);
  if (!key.ok()) {
    return SlotProblem(
        "the card says that its PIN protects the management key, but it does not hold one: "
        "give it with --management-key-file");
  }
  return card.AuthenticateManagement(*key);
}

absl::Status PivEnroller::Generate(PivCard& card) {
  if (generating_ && !options_.overwrite) {
    // Run again after the card was reset: the key may be there, and only its answer was lost.
    FOREKEY_ASSIGN_OR_RETURN(auto metadata, card.Metadata(slot_));
    if (metadata.has_value()) {
      if (!metadata->generated || !metadata->public_key.has_value()) {
        return SlotProblem(absl::StrCat("another program put a key into slot ", SlotName(slot_)));
      }
      public_key_ = metadata->public_key;
      return absl::OkStatus();
    }
  }
  if (!generating_) {
    FOREKEY_ASSIGN_OR_RETURN(slot_, ChooseFreeSlot(card));
  }
  if (!IsAccepted(slot_)) {
    return SlotProblem(absl::StrCat("the gate does not take keys in slot ", SlotName(slot_)));
  }
  FOREKEY_RETURN_IF_ERROR(AuthorizeGeneration(card));
  if (options_.before_key) {
    PivUri place = uri_;
    place.slot = slot_;
    FOREKEY_RETURN_IF_ERROR(options_.before_key(place.Text()));
  }
  generating_ = true;
  FOREKEY_ASSIGN_OR_RETURN(public_key_,
                           card.Generate(slot_, algorithm_, pin_policy_, touch_policy_));
  return absl::OkStatus();
}

// The attestation, as it takes no signature of the key's own: that key signs statements and nothing
// else.
absl::Status PivEnroller::WriteCertificate(PivCard& card) {
  const uint32_t tag = CertificateObject(slot_);
  FOREKEY_ASSIGN_OR_RETURN(auto present, card.GetObject(tag));
  if (!written_certificate_.empty() && present == written_certificate_) {
    return absl::OkStatus();  // run again after the card was reset, which lost its answer alone
  }
  FOREKEY_ASSIGN_OR_RETURN(auto attestation, card.Attest(slot_));  // another each time
  if (!attestation.has_value()) {
    return SlotProblem(
        "the card did not attest the new key, so there is no certificate to write: leave out "
        "--write-certificate");
  }
  auto certificate = Certificate::ParseDer(*attestation);
  if (!certificate.ok() || certificate->Spki() != public_key_->spki()) {
    return DeviceFailure(DeviceError::kOther,
                         absl::StrCat("the card's attestation for slot ", SlotName(slot_),
                                      " is not of the new key: no certificate was written"));
  }
  if (present.has_value() && !options_.overwrite) {
    return SlotProblem(
        absl::StrCat("another program put a certificate into slot ", SlotName(slot_)));
  }
  FOREKEY_RETURN_IF_ERROR(AuthorizeGeneration(card));
  written_certificate_ = EncodeCertificateObject(*attestation);
  return card.PutObject(tag, written_certificate_);
}

absl::Status PivEnroller::DeleteWrittenCertificate(PivCard& card) {
  if (written_certificate_.empty()) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(auto present, card.GetObject(CertificateObject(slot_)));
  if (present != written_certificate_) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(AuthorizeGeneration(card));
  return card.PutObject(CertificateObject(slot_), "");
}

absl::Status PivEnroller::DeleteNewKey() {
  step_ = Step::kDone;
  generating_ = false;
  return device_->Run(
      {Deadline::In(kCleanupPatience), nullptr}, [this](PivCard& card) -> absl::Status {
        FOREKEY_RETURN_IF_ERROR(Identify(card));
        // Only what this enrolment made.
        FOREKEY_RETURN_IF_ERROR(DeleteWrittenCertificate(card));
        if (!card.CanDeleteKeys()) return SlotProblem("the card's firmware can't delete keys");
        FOREKEY_ASSIGN_OR_RETURN(auto metadata, card.Metadata(slot_));
        if (!metadata.has_value()) return absl::OkStatus();
        if (public_key_.has_value() && (!metadata->public_key.has_value() ||
                                        metadata->public_key->spki() != public_key_->spki())) {
          return SlotProblem("another program made another key in that slot");
        }
        FOREKEY_RETURN_IF_ERROR(AuthorizeGeneration(card));
        return card.DeleteKey(slot_);
      });
}

}  // namespace forekey
