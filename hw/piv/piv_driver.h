// SPDX-License-Identifier: Apache-2.0
// The PIV driver: smartcards and security keys with a PIV application (NIST SP 800-73-4), through
// PC/SC. URIs: see hw/piv/piv_uri.h and docs. This is the folder's only public header.
//
// Keys: made anew in a slot that is free, or one that the card has already; P-256, P-384, RSA 2048
// to 4096, Ed25519. Nothing is written to a card but a new key, where that was asked for. After
// each operation the card is locked again: no other program signs with a PIN that was given to
// Forekey.
#ifndef FOREKEY_HW_PIV_PIV_DRIVER_H_
#define FOREKEY_HW_PIV_PIV_DRIVER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"

namespace forekey {

class PivDevice;
class SmartcardService;

// Safe from any thread.
class PivDriver : public Driver {
 public:
  // `uris`: cards that must be there: they are among the problems when they are not. `service`:
  // null for PC/SC; tests bring their own.
  explicit PivDriver(std::vector<std::string> uris = {},
                     std::shared_ptr<SmartcardService> service = nullptr);
  ~PivDriver() override;

  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_PIV; }
  absl::string_view scheme() const override { return "piv"; }
  // A machine without reader and without pcscd has no problem.
  std::vector<DeviceInfo> List(std::vector<std::string>* problems) override;
  absl::StatusOr<std::unique_ptr<KeyEnroller>> Enroll(const std::string& uri,
                                                      EnrollOptions options) override;
  // F9's, which attests the keys of a YubiKey.
  absl::StatusOr<std::vector<std::string>> HardwareCertificates(const std::string& uri) override;
  absl::StatusOr<std::unique_ptr<DeviceKey>> Load(const std::string& reference,
                                                  Secret key_password) override;
  absl::StatusOr<std::optional<FoundKey>> KeyAt(const std::string& place) override;

 private:
  // The same object for the same card, so that its operations queue up.
  absl::StatusOr<std::shared_ptr<PivDevice>> DeviceAt(const std::string& uri);

  const std::vector<std::string> uris_;
  const std::shared_ptr<SmartcardService> service_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<PivDevice>> devices_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_DRIVER_H_
