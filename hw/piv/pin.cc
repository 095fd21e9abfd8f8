// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/pin.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// Not kBusy: nothing is gained by trying again without the person.
absl::Status PinNotSent(absl::string_view why) {
  return DeviceFailure(DeviceError::kOther, absl::StrCat(why, "; the PIN was not sent, try again"));
}

}  // namespace

absl::StatusOr<int> PinTriesLeft(PivCard& card) {
  FOREKEY_ASSIGN_OR_RETURN(PivCard::PinState state, card.ReadPinState());
  if (state.verified) {
    card.Lock();
    FOREKEY_ASSIGN_OR_RETURN(state, card.ReadPinState());
    if (state.verified) {
      // Lock() has the card reset when this transaction ends: begin again then.
      return Interrupted(
          Interruption::kCardReset,
          DeviceFailure(DeviceError::kBusy, "the card can be locked by a reset alone"));
    }
  }
  if (state.tries_left == 0) return card.PinBlocked();
  return state.tries_left;
}

absl::Status PinUse::Present(PivCard& card) {
  FOREKEY_ASSIGN_OR_RETURN(const int tries, PinTriesLeft(card));
  if (sent_ && !accepted_) {
    return PinNotSent(
        "the card was reset, or lost, while it checked the PIN: whether that was a try is not "
        "known");
  }
  if (sent_ && tries < std::max(tries_before_, 2)) {
    return PinNotSent("the card was reset after it took the PIN, and a try was used up since");
  }
  if (!sent_ && tries_shown_ >= 0 && tries < tries_shown_) {
    return PinNotSent("another program used up a try meanwhile");
  }
  tries_before_ = std::max(tries_before_, tries);
  sent_ = true;
  accepted_ = false;
  FOREKEY_RETURN_IF_ERROR(card.VerifyPin(pin_));
  accepted_ = true;
  return absl::OkStatus();
}

absl::StatusOr<PinUse> AskForPin(PivDevice& device, const SignOptions& options,
                                 const std::string& name,
                                 absl::FunctionRef<absl::Status(PivCard&)> check) {
  if (options.prompt == nullptr) {
    return DeviceFailure(DeviceError::kPinRequired,
                         "the card wants its PIN, and there is nobody to ask for it");
  }
  int tries = -1;
  FOREKEY_RETURN_IF_ERROR(device.Run(PatienceOf(options), [&](PivCard& card) -> absl::Status {
    FOREKEY_RETURN_IF_ERROR(check(card));
    FOREKEY_ASSIGN_OR_RETURN(tries, PinTriesLeft(card));
    return absl::OkStatus();
  }));
  FOREKEY_ASSIGN_OR_RETURN(Secret pin, options.prompt->AskPin(name, tries));
  return PinUse(std::move(pin), tries);
}

}  // namespace forekey
