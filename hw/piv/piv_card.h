// SPDX-License-Identifier: Apache-2.0
// The PIV application of one card (SP 800-73-4 part 2 §3), with YubiKey's instructions where the
// card has them. Private to hw/piv. Lives within one transaction, on one thread. Errors are
// DeviceFailures.
#ifndef FOREKEY_HW_PIV_PIV_CARD_H_
#define FOREKEY_HW_PIV_PIV_CARD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/piv/apdu.h"
#include "hw/piv/card_channel.h"
#include "hw/piv/piv_data.h"
#include "src/base/secret.h"
#include "src/crypto/public_key.h"

namespace forekey {

class PivCard {
 public:
  // Selects the application, and reads version, serial number and discovery object where there are
  // any. kNotSetUp for a card that has no PIV application.
  static absl::StatusOr<std::unique_ptr<PivCard>> Select(std::unique_ptr<CardChannel> channel);
  // Ends the transaction; the card is locked, see Lock().
  ~PivCard();

  const std::optional<PivVersion>& version() const { return version_; }  // YubiKey's, and its kin's
  std::optional<uint32_t> serial() const { return serial_; }
  bool AtLeast(const PivVersion& version) const {
    return version_.has_value() && *version_ >= version;
  }

  // --- PIN. None of these sends a PIN that it was not given, nor sends one twice.
  struct PinState {
    bool verified = false;  // somebody's PIN counts now; tries_left is -1 then
    int tries_left = -1;    // -1, too, where the card does not tell
  };
  absl::StatusOr<PinState> ReadPinState();
  // kWrongPin with what is left, kPinBlocked with the way out. A PIN has 6 to 8 bytes (part 1
  // §4.3.3); another is refused here (kWrongPin), without a try.
  absl::Status VerifyPin(const Secret& pin);
  // The PIN no longer counts: VERIFY with P1 = FF, then looked at; where the card lacks that, it is
  // reset when the transaction ends. Done by the destructor when a PIN was verified or the
  // management key used.
  void Lock();
  absl::Status PinBlocked();  // kPinBlocked, saying whether a PUK can help

  // --- Slots
  enum class SlotState { kEmpty, kOccupied, kUnknown };
  struct Slot {
    SlotState state = SlotState::kUnknown;
    std::optional<SlotMetadata> metadata;
    std::string certificate;  // DER, empty where there is none
    absl::StatusOr<PublicKey> Key() const;
  };
  // What can be learnt of a slot without PIN. kUnknown: no certificate, and the card can't say
  // whether there is a key all the same.
  absl::StatusOr<Slot> ReadSlot(PivSlot slot);
  absl::StatusOr<std::optional<SlotMetadata>> Metadata(
      uint8_t reference);  // nullopt: none, or no such command
  // nullopt when there is no such object.
  absl::StatusOr<std::optional<std::string>> GetObject(uint32_t tag);
  bool CanAttest() const { return AtLeast({4, 3, 0}); }
  // A certificate that states that the key was made in this card (YubiKey, 4.3 or later); nullopt
  // when the card can't, or the key was imported.
  absl::StatusOr<std::optional<std::string>> Attest(PivSlot slot);
  // Signs as the key's algorithm has it (ECDSA: DER). `may_need_touch`: what a refusal may mean.
  absl::StatusOr<std::string> Sign(PivSlot slot, const PublicKey& key, absl::string_view message,
                                   bool may_need_touch);

  // --- Administration; all but the first need it to have been called.
  // Mutual authentication (part 2 §3.2.4, appendix A.1). Empty `key`: the factory's, unless the
  // card says that its own is another (kNotSetUp). `algorithm`: as the metadata say, else 3DES, or
  // AES by the key's size.
  absl::Status AuthenticateManagement(const Secret& key);
  // Policies where the card takes them. Overwrites whatever is in the slot.
  absl::StatusOr<PublicKey> Generate(PivSlot slot, PivAlgorithm algorithm, PinPolicy pin_policy,
                                     TouchPolicy touch_policy);
  bool CanDeleteKeys() const { return AtLeast({5, 7, 0}); }
  absl::Status DeleteKey(PivSlot slot);
  absl::Status PutObject(uint32_t tag, absl::string_view content);

 private:
  explicit PivCard(std::unique_ptr<CardChannel> channel)
      : channel_(std::move(channel)), exchange_(channel_.get()) {}
  absl::StatusOr<ResponseApdu> Send(uint8_t instruction, uint8_t p1, uint8_t p2,
                                    absl::string_view data, bool expects_answer = true);
  absl::StatusOr<std::string> Authenticate(uint8_t algorithm, PivSlot reference,
                                           absl::string_view request, uint32_t answer_tag);

  const std::unique_ptr<CardChannel> channel_;
  ApduExchange exchange_;
  std::optional<PivVersion> version_;
  std::optional<uint32_t> serial_;
  uint8_t pin_reference_ = 0x80;
  bool has_metadata_ = true;  // until the card says otherwise
  bool unlocked_ = false;
  bool administers_ = false;
};

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_CARD_H_
