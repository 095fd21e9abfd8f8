// SPDX-License-Identifier: Apache-2.0
// One PIN, for one operation on one card. Private to hw/piv.
#ifndef FOREKEY_HW_PIV_PIN_H_
#define FOREKEY_HW_PIV_PIN_H_

#include <functional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hw/device_key.h"
#include "hw/piv/piv_card.h"
#include "hw/piv/piv_device.h"
#include "src/base/secret.h"

namespace forekey {

inline CardPatience PatienceOf(const SignOptions& options) {
  return {options.deadline, options.cancelled};
}

// A PIN that somebody gave, and what became of it. An operation may be run again when another
// program reset the card in the middle of it; the PIN goes to the card again only if the card had
// accepted it and no try has been used up since. A PIN whose fate is not known, or that was wrong,
// is never sent again.
class PinUse {
 public:
  // `tries_shown`: what the person was told, -1 where nobody was asked.
  PinUse(Secret pin, int tries_shown) : pin_(std::move(pin)), tries_shown_(tries_shown) {}

  // Reads the tries that are left, then sends the PIN. A card on which another program's PIN still
  // counts is locked first: Forekey does not live off others' PINs.
  absl::Status Present(PivCard& card);
  const Secret& pin() const { return pin_; }

 private:
  Secret pin_;
  int tries_shown_;
  bool sent_ = false;
  bool accepted_ = false;
  int tries_before_ = -1;
};

// The tries that are left; the card is locked for it if need be. kPinBlocked when there is none.
absl::StatusOr<int> PinTriesLeft(PivCard& card);

// Asks the prompt, outside any transaction, after looking at the tries. `check`: that it is the
// right card. kPinRequired when there is nobody to ask.
absl::StatusOr<PinUse> AskForPin(PivDevice& device, const SignOptions& options,
                                 const std::string& name,
                                 absl::FunctionRef<absl::Status(PivCard&)> check);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIN_H_
