// SPDX-License-Identifier: Apache-2.0
// An enrolled key of a TPM. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_TPM_KEY_H_
#define FOREKEY_HW_TPM_TPM_KEY_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "hw/tpm/key_file.h"
#include "hw/tpm/keys.h"
#include "hw/tpm/tpm_device.h"
#include "src/base/secret.h"
#include "src/crypto/public_key.h"

namespace forekey {

class TpmKey : public DeviceKey {
 public:
  // Does not touch the TPM. InvalidArgument when the file's areas are no P-256 signing key.
  static absl::StatusOr<std::unique_ptr<TpmKey>> New(std::shared_ptr<TpmDevice> device,
                                                     const TpmKeyFile& file, Secret password);
  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_TPM; }
  const std::string& spki() const override { return public_key_.spki(); }
  std::string Describe() const override;
  // A key with a password that was not given at Load() asks the prompt for it, each time. One that
  // was given and is wrong is tried once, by whichever call comes first. The signature is verified
  // before it is handed out. Errors as in hw/device_key.h; kPinRequired when there is nobody to
  // ask, kWrongPin and kLockedOut as the TPM says.
  absl::StatusOr<DeviceSignature> Sign(absl::string_view statement,
                                       const SignOptions& options) override;

 private:
  TpmKey(std::shared_ptr<TpmDevice> device, PublicKey public_key)
      : device_(std::move(device)), public_key_(std::move(public_key)) {}
  bool HoldsPassword();
  // For who has the TPM to itself. kWrongPin where it was dropped meanwhile.
  absl::StatusOr<Secret> HeldPassword();
  absl::StatusOr<Secret> AskPassword(const SignOptions& options);
  absl::StatusOr<std::string> SignWith(Esys& esys, const Secret& password,
                                       absl::string_view statement);

  const std::shared_ptr<TpmDevice> device_;
  const PublicKey public_key_;
  TPM2_HANDLE parent_ = 0;
  std::string parent_name_;
  bool has_password_ = false;
  Blobs blobs_;
  absl::Mutex mutex_;
  Secret password_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TPM_KEY_H_
