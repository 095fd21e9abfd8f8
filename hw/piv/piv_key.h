// SPDX-License-Identifier: Apache-2.0
// An enrolled key of a card. Private to hw/piv.
#ifndef FOREKEY_HW_PIV_PIV_KEY_H_
#define FOREKEY_HW_PIV_PIV_KEY_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "hw/device_key.h"
#include "hw/piv/key_reference.h"
#include "hw/piv/pin.h"
#include "hw/piv/piv_device.h"
#include "src/base/secret.h"

namespace forekey {

class PivKey : public DeviceKey {
 public:
  // Does not touch the card. `pin`: used instead of asking, until the card finds it wrong, for all
  // calls that wait for the card, too; may be empty.
  PivKey(std::shared_ptr<PivDevice> device, PivKeyReference reference, Secret pin)
      : device_(std::move(device)), reference_(std::move(reference)), pin_(std::move(pin)) {}
  forekey::v1::TokenKind kind() const override { return forekey::v1::TOKEN_KIND_PIV; }
  const std::string& spki() const override { return reference_.public_key.spki(); }
  std::string Describe() const override;
  // Asks for the PIN where the key's policy wants one (no transaction is open meanwhile), verifies
  // it, signs, locks the card. The signature is verified before it is handed out. While the card
  // waits for a touch it can't be interrupted: it gives up by itself (YubiKey: after 15 s).
  absl::StatusOr<DeviceSignature> Sign(absl::string_view statement,
                                       const SignOptions& options) override;

 private:
  absl::Status CheckCard(PivCard& card) const;
  bool HoldsPin();
  // For who has the card to itself. kWrongPin where it was dropped meanwhile.
  absl::StatusOr<PinUse> HeldPin();
  void DropPin();
  // `typed` null: without a PIN; empty: with the held one, which is put there.
  absl::Status TrySign(absl::string_view statement, std::optional<PinUse>* typed,
                       const SignOptions& options, std::string* signed_bytes);
  absl::StatusOr<std::string> SignOnCard(PivCard& card, absl::string_view statement, PinUse* use,
                                         const SignOptions& options) const;

  const std::shared_ptr<PivDevice> device_;
  const PivKeyReference reference_;
  absl::Mutex mutex_;
  Secret pin_ ABSL_GUARDED_BY(mutex_);
};

// kGone unless the card is the one that the reference was made for, as far as the card can say.
absl::Status CheckCardOf(PivCard& card, const PivKeyReference& reference);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_KEY_H_
