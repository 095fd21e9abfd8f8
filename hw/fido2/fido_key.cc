// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_key.h"

#include <fido/credman.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status NotInOrder() {
  return absl::FailedPreconditionError("the steps of an enrolment come in their order, each once");
}

}  // namespace

std::string FidoKey::Describe() const { return absl::StrCat("security key for ", file_.rp_id); }

absl::StatusOr<DeviceSignature> FidoKey::Sign(absl::string_view statement,
                                              const SignOptions& options) {
  if (options.rp_id != file_.rp_id || options.origin.empty()) {
    return absl::InvalidArgumentError("the credential was made for another relying party");
  }
  FidoWait wait = FidoWait::Of(options, Describe());
  FOREKEY_ASSIGN_OR_RETURN(FidoHolder holder, FindHolder(*context_, file_, wait));
  HeldFidoTokenPtr& token = holder.token;
  // From here on people are asked about this very key.
  wait.description = absl::StrCat(
      Describe(), ": ", (*token)->Name(),
      holder.shows_credential ? "" : ", which does not say whether it is the enrolled one");
  wait.unsure = !holder.shows_credential;
  Secret given;
  if (holder.shows_credential) {
    absl::MutexLock lock(&mutex_);
    given = pin_.Clone();
  }
  FOREKEY_ASSIGN_OR_RETURN(const FidoVerification verification,
                           ChooseVerification(**token, options.user_verification, given, wait));
  auto signature = GetFidoAssertion(**token, file_, statement, options.origin, verification, wait);
  if (PinIsNoGood(signature.status())) {
    absl::MutexLock lock(&mutex_);
    pin_ = Secret();
  }
  return signature;
}

FidoEnroller::~FidoEnroller() {
  if (step_ == Step::kCreated || step_ == Step::kProved) DeleteFromToken();
}

void FidoEnroller::DeleteFromToken() const {
  if (!discoverable_ || verification_.pin.empty()) return;
  FidoWait wait;
  wait.deadline = Deadline::In(absl::Seconds(5));
  auto token = HoldToken(*context_, chosen_, wait);
  if (!token.ok()) return;
  const std::string pin(verification_.pin.view());
  const std::string& id = made_.key.credential_id;
  (**token)
      ->Run("fido_credman_del_dev_rk", wait,
            [&](fido_dev_t* dev) {
              return fido_credman_del_dev_rk(dev, U8(id), id.size(), pin.c_str());
            })
      .IgnoreError();
}

absl::StatusOr<forekey::v1::EnrollmentOpening> FidoEnroller::Opening() {
  if (step_ != Step::kNew) return NotInOrder();
  description_ = "the security key to enrol";
  FOREKEY_ASSIGN_OR_RETURN(HeldFidoTokenPtr token, ChooseToken(*context_, uri_, Wait()));
  chosen_ = (*token)->address();
  description_ = (*token)->Describe();
  forekey::v1::EnrollmentOpening opening;
  opening.set_kind(forekey::v1::TOKEN_KIND_FIDO2);
  opening.mutable_fido2()->set_aaguid((*token)->info().aaguid);
  step_ = Step::kOpened;
  return opening;
}

absl::StatusOr<std::string> FidoEnroller::CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                                    absl::string_view unkeyed_statement) {
  if (step_ != Step::kOpened) return NotInOrder();
  if (!demand.has_fido2())
    return absl::InvalidArgumentError("the gate demands nothing of a FIDO2 key");
  const FidoWait wait = Wait();
  FOREKEY_ASSIGN_OR_RETURN(HeldFidoTokenPtr token, HoldToken(*context_, chosen_, wait));
  const bool required = demand.fido2().user_verification() || options_.sign.user_verification;
  // The person is not asked again by an enrolment that began anew.
  const Secret given =
      (verification_.pin.empty() ? options_.key_password : verification_.pin).Clone();
  FOREKEY_ASSIGN_OR_RETURN(verification_, ChooseVerification(**token, required, given, wait));
  FOREKEY_ASSIGN_OR_RETURN(made_, MakeFidoCredential(**token, demand, unkeyed_statement,
                                                     discoverable_, verification_, wait));
  origin_ = demand.fido2().origin();
  step_ = Step::kCreated;
  return made_.key.spki;
}

absl::Status FidoEnroller::Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) {
  if (step_ != Step::kCreated) return NotInOrder();
  const FidoWait wait = Wait();
  FOREKEY_ASSIGN_OR_RETURN(HeldFidoTokenPtr token, HoldToken(*context_, chosen_, wait));
  FOREKEY_ASSIGN_OR_RETURN(
      DeviceSignature signature,
      GetFidoAssertion(**token, made_.key, statement, origin_, verification_, wait));
  proof->mutable_possession()->set_signature(std::move(signature.signature));
  proof->mutable_possession()->set_authenticator_data(std::move(signature.authenticator_data));
  proof->mutable_possession()->set_client_data_json(std::move(signature.client_data_json));
  proof->mutable_fido2()->set_attestation_object(made_.attestation_object);
  proof->mutable_fido2()->set_client_data_json(made_.client_data_json);
  step_ = Step::kProved;
  return absl::OkStatus();
}

absl::StatusOr<std::string> FidoEnroller::KeyReference() {
  if (step_ != Step::kProved) return NotInOrder();
  step_ = Step::kKept;
  return SerializeFidoKeyFile(made_.key);
}

absl::Status FidoEnroller::BeginAnew() {
  if (step_ != Step::kKept) return NotInOrder();
  DeleteFromToken();
  step_ = Step::kNew;
  return absl::OkStatus();
}

}  // namespace forekey
