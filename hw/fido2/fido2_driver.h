// SPDX-License-Identifier: Apache-2.0
// The FIDO2 driver, over libfido2. URIs: hw/fido2/fido_address.h. This is the folder's only public
// header.
//
// Signatures are plain WebAuthn assertions whose clientDataJSON is built here. `key_password` is
// the key's PIN, where it is not asked for. A PIN that was wrong is never sent twice by itself.
#ifndef FOREKEY_HW_FIDO2_FIDO2_DRIVER_H_
#define FOREKEY_HW_FIDO2_FIDO2_DRIVER_H_

#include <memory>
#include <string>
#include <vector>

#include "hw/device_key.h"

namespace forekey {

struct FidoContext;

// Safe from any thread. Construct it before starting threads: it initialises libfido2.
class Fido2Driver : public Driver {
 public:
  // `uris`: simulators, to be looked at besides what is plugged in: "fido2:sim:path=/run/x".
  explicit Fido2Driver(std::vector<std::string> uris = {});
  ~Fido2Driver() override;

  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_FIDO2; }
  absl::string_view scheme() const override { return "fido2"; }
  std::vector<DeviceInfo> List(std::vector<std::string>* problems) override;
  absl::StatusOr<std::unique_ptr<KeyEnroller>> Enroll(const std::string& uri,
                                                      EnrollOptions options) override;
  absl::StatusOr<std::unique_ptr<DeviceKey>> Load(const std::string& reference,
                                                  Secret key_password) override;

 private:
  const std::shared_ptr<FidoContext> context_;
};

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO2_DRIVER_H_
