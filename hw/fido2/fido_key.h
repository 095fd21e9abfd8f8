// SPDX-License-Identifier: Apache-2.0
// An enrolled credential of a FIDO2 key, and an enrolment of a new one. Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_KEY_H_
#define FOREKEY_HW_FIDO2_FIDO_KEY_H_

#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "hw/fido2/fido_key_file.h"
#include "hw/fido2/fido_keys.h"
#include "hw/fido2/fido_operations.h"

namespace forekey {

// Signs with whichever plugged-in key holds the credential, so that it may be in another port, or
// the machine may have been restarted, since the enrolment.
class FidoKey : public DeviceKey {
 public:
  FidoKey(std::shared_ptr<FidoContext> context, FidoKeyFile file, Secret pin)
      : context_(std::move(context)), file_(std::move(file)), pin_(std::move(pin)) {}
  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_FIDO2; }
  const std::string& spki() const override { return file_.spki; }
  std::string Describe() const override;
  // A PIN that was given at Load() and was wrong is not tried again. InvalidArgument where rp_id is
  // not the one that the credential was made for.
  absl::StatusOr<DeviceSignature> Sign(absl::string_view statement,
                                       const SignOptions& options) override;

 private:
  const std::shared_ptr<FidoContext> context_;
  const FidoKeyFile file_;
  absl::Mutex mutex_;
  Secret pin_ ABSL_GUARDED_BY(mutex_);
};

// A credential that is not discoverable leaves nothing in the key. A discoverable one that was
// dropped before KeyReference(), or was made for nothing as the enrolment begins anew, is deleted
// where the key lets it be (that takes its PIN).
class FidoEnroller : public KeyEnroller {
 public:
  // `discoverable`: the token itself keeps the credential.
  FidoEnroller(std::shared_ptr<FidoContext> context, std::string uri, EnrollOptions options,
               bool discoverable)
      : context_(std::move(context)),
        uri_(std::move(uri)),
        options_(std::move(options)),
        discoverable_(discoverable) {}
  ~FidoEnroller() override;
  absl::StatusOr<forekey::v1::EnrollmentOpening> Opening() override;
  absl::StatusOr<std::string> CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                        absl::string_view unkeyed_statement) override;
  absl::Status Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) override;
  absl::StatusOr<std::string> KeyReference() override;
  absl::Status BeginAnew() override;

 private:
  enum class Step { kNew, kOpened, kCreated, kProved, kKept };
  void DeleteFromToken() const;
  FidoWait Wait() const { return FidoWait::Of(options_.sign, description_); }

  const std::shared_ptr<FidoContext> context_;
  const std::string uri_;
  const EnrollOptions options_;
  const bool discoverable_;
  Step step_ = Step::kNew;
  FidoAddress chosen_;  // of the token that was chosen in the opening
  std::string description_;
  std::string origin_;
  FidoVerification verification_;
  MadeCredential made_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_KEY_H_
