// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tpm_key.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "hw/tpm/capabilities.h"
#include "hw/tpm/templates.h"
#include "hw/tpm/tpm_public.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<TpmKey>> TpmKey::New(std::shared_ptr<TpmDevice> device,
                                                    const TpmKeyFile& file, Secret password) {
  Blobs blobs;
  FOREKEY_ASSIGN_OR_RETURN(blobs.public_area, UnmarshalPublic(file.public_area));
  FOREKEY_ASSIGN_OR_RETURN(blobs.private_area, UnmarshalPrivate(file.private_area));
  const TPMT_PUBLIC& area = blobs.public_area.publicArea;
  if (area.type != TPM2_ALG_ECC || area.parameters.eccDetail.curveID != TPM2_ECC_NIST_P256 ||
      (area.objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT) == 0 ||
      (area.objectAttributes & TPMA_OBJECT_RESTRICTED) != 0 || blobs.private_area.size == 0) {
    return absl::InvalidArgumentError("the TPM key file holds no unrestricted P-256 signing key");
  }
  FOREKEY_ASSIGN_OR_RETURN(PublicKey public_key, PublicKeyOf(area));
  std::unique_ptr<TpmKey> key(new TpmKey(std::move(device), std::move(public_key)));
  key->parent_ = file.parent;
  key->parent_name_ = file.parent_name;
  key->has_password_ = file.has_password;
  key->blobs_ = blobs;
  absl::MutexLock lock(&key->mutex_);
  key->password_ = std::move(password);
  return key;
}

std::string TpmKey::Describe() const { return absl::StrCat("TPM key (", device_->uri(), ")"); }

bool TpmKey::HoldsPassword() {
  absl::MutexLock lock(&mutex_);
  return !password_.empty();
}

absl::StatusOr<Secret> TpmKey::HeldPassword() {
  absl::MutexLock lock(&mutex_);
  if (!password_.empty()) return password_.Clone();
  return DeviceFailure(DeviceError::kWrongPin,
                       "the TPM found the password wrong when another call gave it a moment ago: "
                       "it was not sent again");
}

absl::StatusOr<Secret> TpmKey::AskPassword(const SignOptions& options) {
  if (options.prompt == nullptr) {
    return DeviceFailure(DeviceError::kPinRequired,
                         "the TPM key has a password, and there is nobody to ask for it");
  }
  int tries_left = -1;
  FOREKEY_RETURN_IF_ERROR(
      device_->Run(options.deadline, options.cancelled, [&](Esys& esys) -> absl::Status {
        FOREKEY_ASSIGN_OR_RETURN(tries_left, PasswordTriesLeft(esys));
        return absl::OkStatus();
      }));
  FOREKEY_ASSIGN_OR_RETURN(Secret password, options.prompt->AskPin(Describe(), tries_left));
  // The TPM would count an empty one as a wrong one.
  if (password.empty()) return DeviceFailure(DeviceError::kCancelled, "no password was given");
  return password;
}

absl::StatusOr<std::string> TpmKey::SignWith(Esys& esys, const Secret& password,
                                             absl::string_view statement) {
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle parent, LoadParent(esys, parent_, parent_name_));
  EsysHandle session;
  if (has_password_) {
    FOREKEY_ASSIGN_OR_RETURN(session, StartSaltedSession(esys, parent, TPMA_SESSION_DECRYPT));
  }
  FOREKEY_ASSIGN_OR_RETURN(EsysHandle key, LoadKeyUnder(esys, parent, blobs_));
  FOREKEY_RETURN_IF_ERROR(SetPassword(esys, key, password));
  parent.Reset();
  return SignDigest(esys, key, session ? session.get() : ESYS_TR_PASSWORD, Sha256(statement));
}

absl::StatusOr<DeviceSignature> TpmKey::Sign(absl::string_view statement,
                                             const SignOptions& options) {
  const bool held = has_password_ && HoldsPassword();
  Secret password;
  if (has_password_ && !held) {
    FOREKEY_ASSIGN_OR_RETURN(password, AskPassword(options));
  }
  DeviceSignature result;
  FOREKEY_RETURN_IF_ERROR(
      device_->Run(options.deadline, options.cancelled, [&](Esys& esys) -> absl::Status {
        // Looked up now that the TPM is this call's: one before it may have found it wrong.
        if (held) {
          FOREKEY_ASSIGN_OR_RETURN(password, HeldPassword());
        }
        auto signature = SignWith(esys, password, statement);
        if (DeviceErrorOf(signature.status()) == DeviceError::kWrongPin) {
          absl::MutexLock lock(&mutex_);
          password_ = Secret();
        }
        FOREKEY_RETURN_IF_ERROR(signature.status());
        result.signature = *std::move(signature);
        return absl::OkStatus();
      }));
  if (absl::Status verified = public_key_.Verify(statement, result.signature); !verified.ok()) {
    return DeviceFailure(DeviceError::kOther, "Esys_Sign: the TPM's signature does not verify");
  }
  return result;
}

}  // namespace forekey
