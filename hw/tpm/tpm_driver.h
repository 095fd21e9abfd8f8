// SPDX-License-Identifier: Apache-2.0
// The TPM 2.0 driver. URIs: see hw/tpm/tcti.h and docs. This is the folder's only public header.
//
// Keys: unrestricted P-256 signing keys (ES256), made in the TPM, fixed to it and to its storage
// key, kept outside it as TSS2 key files. No object stays in the TPM between operations.
#ifndef FOREKEY_HW_TPM_TPM_DRIVER_H_
#define FOREKEY_HW_TPM_TPM_DRIVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"

namespace forekey {

class TpmDevice;

// Safe from any thread. Construct it before starting threads: it sets TSS2_LOG in the environment,
// unless the user has, to keep TSS2 from writing to stderr what our errors say already.
class TpmDriver : public Driver {
 public:
  // `uris`: TPMs besides this machine's own, to be listed, too: "tpm:swtpm:path=...".
  explicit TpmDriver(std::vector<std::string> uris = {});
  ~TpmDriver() override;

  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_TPM; }
  absl::string_view scheme() const override { return "tpm"; }
  std::vector<DeviceInfo> List(std::vector<std::string>* problems) override;
  absl::StatusOr<std::unique_ptr<KeyEnroller>> Enroll(const std::string& uri,
                                                      EnrollOptions options) override;
  // That of the endorsement key.
  absl::StatusOr<std::vector<std::string>> HardwareCertificates(const std::string& uri) override;
  absl::StatusOr<std::unique_ptr<DeviceKey>> Load(const std::string& reference,
                                                  Secret key_password) override;

 private:
  // The same object for the same TPM, so that its operations queue up.
  absl::StatusOr<std::shared_ptr<TpmDevice>> DeviceAt(const std::string& uri);

  const std::vector<std::string> uris_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<TpmDevice>> devices_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TPM_DRIVER_H_
