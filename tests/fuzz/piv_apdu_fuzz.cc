// SPDX-License-Identifier: Apache-2.0
// deps: forekey_hw_piv
// A card that answers whatever it likes: nothing that the driver asks of it crashes or goes on for
// ever. The input is the ATR and the answers, each with its length (2 bytes) before it; then every
// answer is empty.
#include <cstdlib>
#include <memory>
#include <string>

#include "hw/piv/apdu.h"
#include "hw/piv/pin.h"
#include "hw/piv/piv_card.h"
#include "src/base/bytes.h"

namespace {

class HostileCard : public forekey::CardChannel {
 public:
  explicit HostileCard(absl::string_view input) : answers_(input), atr_(answers_.Len1()) {}
  absl::StatusOr<std::string> Transmit(absl::string_view) override {
    if (++commands_ > 100'000) abort();
    return std::string(answers_.Len2());
  }
  void ResetWhenDone() override {}
  const std::string& atr() const override { return atr_; }
  bool is_t0() const override { return false; }

 private:
  forekey::ByteReader answers_;
  const std::string atr_;
  int commands_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const forekey::SoftwareKey* key =
      new forekey::SoftwareKey(forekey::SoftwareKey::Generate(forekey::Algorithm::kRs256));
  auto card = forekey::PivCard::Select(std::make_unique<HostileCard>(forekey::View(data, size)));
  if (!card.ok()) return 0;
  (*card)->ReadSlot(0x9A).status().IgnoreError();
  (*card)->Attest(0x82).status().IgnoreError();
  forekey::PinUse pin(forekey::Secret::CopyOf("123456"), 3);
  pin.Present(**card).IgnoreError();
  (*card)->Sign(0x9A, key->public_key(), "statement", true).status().IgnoreError();
  (*card)->AuthenticateManagement(forekey::Secret()).IgnoreError();
  (*card)
      ->Generate(0x82, forekey::PivAlgorithm::kEccP256, forekey::PinPolicy::kAlways,
                 forekey::TouchPolicy::kNever)
      .status()
      .IgnoreError();
  return 0;
}
