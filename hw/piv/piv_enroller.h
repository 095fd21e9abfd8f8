// SPDX-License-Identifier: Apache-2.0
// One enrolment of a PIV key: a new one, or one that the card has already (docs/PROTOCOL.md,
// section 15). Private to hw/piv.
#ifndef FOREKEY_HW_PIV_PIV_ENROLLER_H_
#define FOREKEY_HW_PIV_PIV_ENROLLER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/device_key.h"
#include "hw/piv/key_reference.h"
#include "hw/piv/pin.h"
#include "hw/piv/piv_device.h"
#include "hw/piv/piv_enroll_options.h"

namespace forekey {

// A new key is made in CreateKey(), in a slot that is free at that moment, or that may be
// overwritten. It is deleted again when the enrolment is dropped, where the card can delete keys
// (firmware 5.7 or later); where it can't, the error of the step that failed says which slot holds
// it now. A certificate that was written for it goes with it. What a slot held before is destroyed
// by `overwrite` alone. An enrolment that begins anew goes on with the key that it made. Not
// thread-safe.
class PivEnroller : public KeyEnroller {
 public:
  // InvalidArgument for options that make no sense together.
  static absl::StatusOr<std::unique_ptr<KeyEnroller>> New(std::shared_ptr<PivDevice> device,
                                                          std::optional<PivSlot> slot_of_uri,
                                                          PivEnrollOptions options);
  ~PivEnroller() override;

  absl::StatusOr<forekey::v1::EnrollmentOpening> Opening() override;
  absl::StatusOr<std::string> CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                        absl::string_view unkeyed_statement) override;
  absl::Status Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) override;
  absl::StatusOr<std::string> KeyReference() override;
  absl::Status BeginAnew() override;
  std::string Note() const override { return note_; }

 private:
  enum class Step { kNew, kOpened, kCreated, kProved, kKept, kDone };
  PivEnroller(std::shared_ptr<PivDevice> device, PivEnrollOptions options)
      : device_(std::move(device)), options_(std::move(options)) {}

  static absl::Status SlotProblem(absl::string_view why);  // kNotSetUp
  absl::Status Run(absl::FunctionRef<absl::Status(PivCard&)> operation);
  // Notes which card it is, then, in later steps, that it is still the same.
  absl::Status Identify(PivCard& card);
  absl::StatusOr<PivSlot> ChooseFreeSlot(PivCard& card);
  absl::StatusOr<PivSlot> ChooseExistingKey(PivCard& card);
  bool IsAccepted(PivSlot slot) const;
  bool HasMadeKey() const { return generating_ && public_key_.has_value(); }
  absl::Status AuthorizeGeneration(PivCard& card);
  absl::Status Generate(PivCard& card);
  absl::Status WriteCertificate(PivCard& card);
  // The attestation, where the card makes one and has the certificate to it, or the slot's
  // certificate, or the one that the person wants.
  absl::Status CheckProofIsTaken() const;
  absl::Status ChooseProof(PivCard& card, const PivCard::Slot& slot,
                           std::optional<std::string> attestation,
                           forekey::v1::PivEvidence* evidence);
  absl::Status ReadEvidence(PivCard& card, forekey::v1::PivEvidence* evidence);
  absl::Status AskForStoredKeysPin();
  absl::Status DeleteWrittenCertificate(PivCard& card);
  absl::Status DeleteNewKey();

  const std::shared_ptr<PivDevice> device_;
  const PivEnrollOptions options_;
  Step step_ = Step::kNew;
  std::optional<PivSlot> wanted_;
  PinPolicy pin_policy_ = PinPolicy::kAlways;
  TouchPolicy touch_policy_ = TouchPolicy::kAlways;
  std::optional<PivAlgorithm> wanted_algorithm_;
  PivAlgorithm algorithm_ = PivAlgorithm::kEccP256;
  Secret management_key_;
  std::vector<PivSlot> accepted_;                               // by the gate; empty: any
  bool takes_attestations_ = true, takes_certificates_ = true;  // the gate
  PivUri uri_;
  std::string chuid_digest_;
  bool identified_ = false;
  PivSlot slot_ = 0;
  bool generating_ = false;  // the command was sent: the slot may hold our key already
  std::optional<PublicKey> public_key_;
  std::string written_certificate_;       // as it was, or may have been, put into the slot's object
  std::optional<PinUse> stored_key_pin_;  // where the PIN protects the management key
  std::optional<PivKeyReference> reference_;
  std::string note_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_ENROLLER_H_
