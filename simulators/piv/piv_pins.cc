// SPDX-License-Identifier: Apache-2.0
// VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER (SP 800-73-4 part 2, 3.2), SET PIN RETRIES
// (Yubico).
#include <algorithm>

#include "simulators/piv/piv_applet.h"

namespace forekey::piv {
namespace {

constexpr uint16_t kBlocked = 0x6983;

uint16_t TriesLeft(int tries) { return static_cast<uint16_t>(0x63c0 | std::min(tries, 15)); }

Secret DefaultPin() { return Secret(std::string("123456\xff\xff")); }
Secret DefaultPuk() { return Secret(std::string("12345678")); }

}  // namespace

PivApplet::Reply PivApplet::PinStatus() const {
  if (pin_verified_) return 0x9000;
  return state_.pin_tries_left == 0 ? kBlocked : TriesLeft(state_.pin_tries_left);
}

bool PivApplet::AcceptablePin(absl::string_view padded) const {
  const size_t length = std::min(padded.find('\xff'), padded.size());
  if (padded.size() != 8 || length < 6) return false;
  if (padded.find_first_not_of('\xff', length) != absl::string_view::npos) return false;
  // A PIV card takes digits; a YubiKey takes anything.
  return state_.config.yubikey() ||
         padded.substr(0, length).find_first_not_of("0123456789") == absl::string_view::npos;
}

bool PivApplet::CheckPin(absl::string_view given, Reply* refusal) {
  if (state_.pin_tries_left == 0) {
    *refusal = Reply(kBlocked);
    return false;
  }
  dirty_ = true;
  if (ConstantTimeEqual(given, state_.pin.view())) {
    state_.pin_tries_left = state_.pin_tries;
    return true;
  }
  pin_verified_ = pin_fresh_ = false;
  --state_.pin_tries_left;
  // The last wrong PIN: a YubiKey says that no try is left, others that it is blocked.
  *refusal = state_.pin_tries_left == 0 && !state_.config.yubikey()
                 ? kBlocked
                 : TriesLeft(state_.pin_tries_left);
  return false;
}

bool PivApplet::CheckPuk(absl::string_view given, Reply* refusal) {
  if (state_.puk_tries_left == 0) {
    *refusal = Reply(kBlocked);
    return false;
  }
  dirty_ = true;
  if (ConstantTimeEqual(given, state_.puk.view())) {
    state_.puk_tries_left = state_.puk_tries;
    return true;
  }
  --state_.puk_tries_left;
  *refusal = state_.puk_tries_left == 0 ? kBlocked : TriesLeft(state_.puk_tries_left);
  return false;
}

PivApplet::Reply PivApplet::Verify(const CommandApdu& apdu) {
  if (apdu.p1 != 0x00 && apdu.p1 != 0xff) return 0x6a86;
  if (apdu.p2 != 0x80) return 0x6a88;
  if (apdu.p1 == 0xff) {
    if (!state_.config.verify_reset) return 0x6a86;
    if (!apdu.data.empty()) return 0x6a80;
    pin_verified_ = pin_fresh_ = false;
    return 0x9000;
  }
  if (apdu.data.empty()) return PinStatus();
  if (state_.pin_tries_left == 0) return kBlocked;
  // What can't be a PIN is refused before it costs a try.
  if (apdu.data.size() != 8) return 0x6a80;
  if (!state_.config.yubikey() && !AcceptablePin(apdu.data)) return 0x6a80;
  Reply refusal(0x9000);
  if (!CheckPin(apdu.data, &refusal)) return refusal;
  pin_verified_ = pin_fresh_ = true;
  return 0x9000;
}

PivApplet::Reply PivApplet::ChangeReferenceData(const CommandApdu& apdu) {
  if (apdu.p1 != 0x00) return 0x6a86;
  if (apdu.p2 != 0x80 && apdu.p2 != 0x81) return 0x6a88;
  if (apdu.data.size() != 16) return 0x6a80;
  const absl::string_view old_value = apdu.data.substr(0, 8), new_value = apdu.data.substr(8);
  const bool is_pin = apdu.p2 == 0x80;
  // The new value is judged first: refusing it costs no try.
  if (!AcceptablePin(new_value)) return 0x6a80;
  Reply refusal(0x9000);
  if (!(is_pin ? CheckPin(old_value, &refusal) : CheckPuk(old_value, &refusal))) return refusal;
  (is_pin ? state_.pin : state_.puk) = Secret::CopyOf(new_value);
  (is_pin ? state_.pin_default : state_.puk_default) = false;
  // SP 800-73-4 part 2, 3.2.2: the PIN counts as verified then; not so on a YubiKey.
  if (is_pin && !state_.config.yubikey()) pin_verified_ = true;
  return 0x9000;
}

PivApplet::Reply PivApplet::ResetRetryCounter(const CommandApdu& apdu) {
  if (apdu.p1 != 0x00) return 0x6a86;
  if (apdu.p2 != 0x80) return 0x6a88;
  if (apdu.data.size() != 16 || !AcceptablePin(apdu.data.substr(8))) return 0x6a80;
  Reply refusal(0x9000);
  if (!CheckPuk(apdu.data.substr(0, 8), &refusal)) return refusal;
  state_.pin = Secret::CopyOf(apdu.data.substr(8));
  state_.pin_default = false;
  state_.pin_tries_left = state_.pin_tries;
  return 0x9000;
}

PivApplet::Reply PivApplet::SetPinRetries(const CommandApdu& apdu) {
  if (!management_authenticated_ || !pin_verified_) return 0x6982;
  if (apdu.p1 == 0 || apdu.p2 == 0 || !apdu.data.empty()) return 0x6a86;
  state_.pin_tries = state_.pin_tries_left = apdu.p1;
  state_.puk_tries = state_.puk_tries_left = apdu.p2;
  state_.pin = DefaultPin();
  state_.puk = DefaultPuk();
  state_.pin_default = state_.puk_default = true;
  dirty_ = true;
  return 0x9000;
}

}  // namespace forekey::piv
