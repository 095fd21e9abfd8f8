// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tpm_enroller.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "hw/tpm/key_file.h"
#include "hw/tpm/templates.h"
#include "hw/tpm/tpm_public.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr size_t kDiversifierSize = 32;

absl::Status OutOfOrder() {
  return absl::FailedPreconditionError("the steps of an enrolment come in their order, each once");
}

}  // namespace

absl::Status TpmEnroller::Run(absl::FunctionRef<absl::Status(Esys&)> operation) {
  return device_->Run(options_.sign.deadline, options_.sign.cancelled, operation);
}

absl::StatusOr<forekey::v1::EnrollmentOpening> TpmEnroller::Opening() {
  if (step_ != Step::kNew) return OutOfOrder();
  if (options_.key_password.size() > kMaxKeyPassword) {
    return absl::InvalidArgumentError("a TPM key's password has at most 32 bytes");
  }
  if (!options_.key_password.empty() && options_.key_password.view().back() == '\0') {
    return absl::InvalidArgumentError("a TPM strips zero bytes from the end of a password");
  }
  FOREKEY_RETURN_IF_ERROR(Run([this](Esys& esys) -> absl::Status {
    FOREKEY_ASSIGN_OR_RETURN(ek_, FindEndorsementKey(esys, choice_));
    FOREKEY_ASSIGN_OR_RETURN(parent_, ChooseParent(esys));
    FOREKEY_ASSIGN_OR_RETURN(EsysHandle parent, LoadParent(esys, parent_, ""));
    FOREKEY_ASSIGN_OR_RETURN(parent_name_, NameOf(esys, parent.get()));
    parent.Reset();
    ak_creation_ = AttestationKeyTemplate(RandomBytes(kDiversifierSize));
    return CreateEndorsementPrimary(esys, ak_creation_, &ak_).status();
  }));
  forekey::v1::EnrollmentOpening opening;
  opening.set_kind(forekey::v1::TOKEN_KIND_TPM);
  forekey::v1::TpmOpening& tpm = *opening.mutable_tpm();
  tpm.set_ek_certificate(ek_.certificate);
  for (const std::string& intermediate : ek_.intermediates) tpm.add_ek_intermediates(intermediate);
  tpm.set_ek_public(ek_.public_area);
  FOREKEY_ASSIGN_OR_RETURN(*tpm.mutable_ak_public(), Marshal(ak_));
  step_ = Step::kOpened;
  return opening;
}

absl::StatusOr<EsysHandle> TpmEnroller::LoadAk(Esys& esys) {
  TPM2B_PUBLIC made{};
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle ak, CreateEndorsementPrimary(esys, ak_creation_, &made));
  FOREKEY_ASSIGN_OR_RETURN(const std::string now, Marshal(made));
  FOREKEY_ASSIGN_OR_RETURN(const std::string before, Marshal(ak_));
  if (now == before) return ak;
  return DeviceFailure(DeviceError::kNotSetUp, "the TPM's endorsement seed changed: start again");
}

// Here and in CertifyAndSign at most two objects are loaded at any time, so that it works beside
// another program's object in a TPM with three slots and no resource manager.
absl::Status TpmEnroller::Activate(Esys& esys, const TPM2B_ID_OBJECT& blob,
                                   const TPM2B_ENCRYPTED_SECRET& secret) {
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle parent, LoadParent(esys, parent_, parent_name_));
  FOREKEY_ASSIGN_OR_RETURN(
      key_, CreateKeyUnder(esys, parent, DeviceKeyTemplate(!options_.key_password.empty()),
                           options_.key_password));
  // The activated secret comes back encrypted to this session.
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle session,
                           StartSaltedSession(esys, parent, TPMA_SESSION_ENCRYPT));
  parent.Reset();
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle ak, LoadAk(esys));
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle ek, LoadEndorsementKey(esys, ek_));
  FOREKEY_ASSIGN_OR_RETURN(TPM2B_PUBLIC ek_area, UnmarshalPublic(ek_.public_area));
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle policy, AuthorizeEndorsementKey(esys, ek_area.publicArea));
  EsysPtr<TPM2B_DIGEST> activated;
  absl::Status status =
      FromTss(Esys_ActivateCredential(esys.get(), ak.get(), ek.get(), session.get(),
                                      policy ? policy.get() : ESYS_TR_PASSWORD, ESYS_TR_NONE, &blob,
                                      &secret, Out(activated)),
              "Esys_ActivateCredential");
  absl::Cleanup wipe = [&activated] {
    if (activated != nullptr) OPENSSL_cleanse(activated.get(), sizeof *activated);
  };
  FOREKEY_RETURN_IF_ERROR(status);
  activated_ = Secret::CopyOf(View(activated->buffer, activated->size));
  return absl::OkStatus();
}

absl::StatusOr<std::string> TpmEnroller::CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                                   absl::string_view) {
  if (step_ != Step::kOpened) return OutOfOrder();
  if (!demand.has_tpm()) return absl::InvalidArgumentError("the gate demands nothing of a TPM");
  FOREKEY_ASSIGN_OR_RETURN(TPM2B_ID_OBJECT blob, UnmarshalIdObject(demand.tpm().credential_blob()));
  FOREKEY_ASSIGN_OR_RETURN(TPM2B_ENCRYPTED_SECRET secret,
                           UnmarshalEncryptedSecret(demand.tpm().encrypted_secret()));
  FOREKEY_RETURN_IF_ERROR(Run([&](Esys& esys) { return Activate(esys, blob, secret); }));
  FOREKEY_ASSIGN_OR_RETURN(PublicKey public_key, PublicKeyOf(key_.public_area.publicArea));
  step_ = Step::kCreated;
  return public_key.spki();
}

absl::Status TpmEnroller::CertifyAndSign(Esys& esys, absl::string_view digest,
                                         forekey::v1::EnrollmentProof* proof) {
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle parent, LoadParent(esys, parent_, parent_name_));
  EsysHandle session;
  if (!options_.key_password.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(session, StartSaltedSession(esys, parent, TPMA_SESSION_DECRYPT));
  }
  const ESYS_TR key_session = session ? session.get() : ESYS_TR_PASSWORD;
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle key, LoadKeyUnder(esys, parent, key_));
  parent.Reset();
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle ak, LoadAk(esys));
  FOREKEY_RETURN_IF_ERROR(SetPassword(esys, key, options_.key_password));

  TPM2B_DATA qualifying{};
  qualifying.size = static_cast<UINT16>(digest.size());
  std::copy(digest.begin(), digest.end(), qualifying.buffer);
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;  // the AK's own
  EsysPtr<TPM2B_ATTEST> attest;
  EsysPtr<TPMT_SIGNATURE> signature;
  FOREKEY_RETURN_IF_ERROR(
      FromTss(Esys_Certify(esys.get(), key.get(), ak.get(), key_session, ESYS_TR_PASSWORD,
                           ESYS_TR_NONE, &qualifying, &scheme, Out(attest), Out(signature)),
              "Esys_Certify"));
  forekey::v1::TpmEvidence& evidence = *proof->mutable_tpm();
  evidence.set_certify_info(std::string(View(attest->attestationData, attest->size)));
  FOREKEY_ASSIGN_OR_RETURN(*evidence.mutable_certify_signature(), Marshal(*signature));
  FOREKEY_ASSIGN_OR_RETURN(*proof->mutable_possession()->mutable_signature(),
                           SignDigest(esys, key, key_session, digest));
  return absl::OkStatus();
}

absl::Status TpmEnroller::Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) {
  if (step_ != Step::kCreated) return OutOfOrder();
  const std::string digest = Sha256(statement);
  FOREKEY_RETURN_IF_ERROR(Run([&](Esys& esys) { return CertifyAndSign(esys, digest, proof); }));
  proof->mutable_tpm()->set_activated_secret(std::string(activated_.view()));
  FOREKEY_ASSIGN_OR_RETURN(*proof->mutable_tpm()->mutable_key_public(), Marshal(key_.public_area));
  activated_ = Secret();
  step_ = Step::kProved;
  return absl::OkStatus();
}

absl::StatusOr<std::string> TpmEnroller::KeyReference() {
  if (step_ != Step::kProved) return OutOfOrder();
  TpmKeyFile file;
  file.device_uri = device_->uri();
  file.parent = parent_;
  file.parent_name = parent_name_;
  file.has_password = !options_.key_password.empty();
  FOREKEY_ASSIGN_OR_RETURN(file.public_area, Marshal(key_.public_area));
  FOREKEY_ASSIGN_OR_RETURN(file.private_area, Marshal(key_.private_area));
  step_ = Step::kKept;
  return SerializeKeyFile(file);
}

absl::Status TpmEnroller::BeginAnew() {
  if (step_ != Step::kKept) return OutOfOrder();
  step_ = Step::kNew;  // the TPM holds nothing of the key
  return absl::OkStatus();
}

}  // namespace forekey
