// SPDX-License-Identifier: Apache-2.0
// One enrolment of a new TPM key (docs/PROTOCOL.md, section 15). Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_TPM_ENROLLER_H_
#define FOREKEY_HW_TPM_TPM_ENROLLER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/device_key.h"
#include "hw/tpm/endorsement.h"
#include "hw/tpm/keys.h"
#include "hw/tpm/tpm_device.h"

namespace forekey {

// Between its steps nothing of it is in the TPM: the key waits here as the encrypted blob that only
// that TPM can load, and the AK as the template that it is made of. Not thread-safe.
//
// The AK is a primary key of the endorsement hierarchy: of keys in others the TPM hides its
// firmware's version in what they sign, and gates may ask for it.
class TpmEnroller : public KeyEnroller {
 public:
  TpmEnroller(std::shared_ptr<TpmDevice> device, EnrollOptions options, EkChoice choice)
      : device_(std::move(device)), options_(std::move(options)), choice_(std::move(choice)) {}

  absl::StatusOr<forekey::v1::EnrollmentOpening> Opening() override;
  absl::StatusOr<std::string> CreateKey(const forekey::v1::EnrollmentDemand& demand,
                                        absl::string_view unkeyed_statement) override;
  absl::Status Prove(absl::string_view statement, forekey::v1::EnrollmentProof* proof) override;
  absl::StatusOr<std::string> KeyReference() override;
  absl::Status BeginAnew() override;
  std::string Note() const override { return ek_.note; }

 private:
  enum class Step { kNew, kOpened, kCreated, kProved, kKept };
  absl::Status Run(absl::FunctionRef<absl::Status(Esys&)> operation);
  absl::StatusOr<EsysHandle> LoadAk(Esys& esys);
  absl::Status Activate(Esys& esys, const TPM2B_ID_OBJECT& blob,
                        const TPM2B_ENCRYPTED_SECRET& secret);
  absl::Status CertifyAndSign(Esys& esys, absl::string_view digest,
                              forekey::v1::EnrollmentProof* proof);

  const std::shared_ptr<TpmDevice> device_;
  const EnrollOptions options_;
  const EkChoice choice_;
  Step step_ = Step::kNew;
  TPM2_HANDLE parent_ = 0;
  std::string parent_name_;
  EndorsementKey ek_;
  TPM2B_PUBLIC ak_creation_{}, ak_{};
  Blobs key_;
  Secret activated_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TPM_ENROLLER_H_
