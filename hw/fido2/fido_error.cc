// SPDX-License-Identifier: Apache-2.0
#include "hw/fido2/fido_error.h"

#include <fido.h>
#include <fido/err.h>

#include "absl/strings/str_format.h"
#include "hw/device_key.h"

namespace forekey {
namespace {

struct FidoMeaning {
  int code;
  DeviceError error;
  const char* advice;
};

constexpr char kSetPin[] = "the key has no PIN yet: set one with `fido2-token -S DEVICE`";

constexpr FidoMeaning kFidoMeanings[] = {
    {FIDO_ERR_PIN_INVALID, DeviceError::kWrongPin, "wrong PIN"},
    {FIDO_ERR_UV_INVALID, DeviceError::kWrongPin, "the fingerprint was not recognised"},
    {FIDO_ERR_PIN_AUTH_INVALID, DeviceError::kWrongPin,
     "the key no longer takes the proof of the PIN; try again"},
    {FIDO_ERR_PIN_AUTH_BLOCKED, DeviceError::kPinAuthBlocked,
     "too many wrong PINs in a row: pull the key out and plug it in again; the tries that are left "
     "are still there"},
    {FIDO_ERR_PIN_BLOCKED, DeviceError::kPinBlocked,
     "the PIN is blocked for good: only a reset (`fido2-token -R DEVICE`) helps, which destroys "
     "every "
     "credential of the key; enrol again after it"},
    {FIDO_ERR_UV_BLOCKED, DeviceError::kUvBlocked,
     "the key takes no more fingerprints until its PIN was used"},
    {FIDO_ERR_PIN_REQUIRED, DeviceError::kPinRequired, "the key wants its PIN for this"},
    {FIDO_ERR_PIN_NOT_SET, DeviceError::kNotSetUp, kSetPin},
    {FIDO_ERR_OPERATION_DENIED, DeviceError::kDenied, "refused at the key"},
    {FIDO_ERR_NOT_ALLOWED, DeviceError::kDenied, "the key does not allow this now"},
    {FIDO_ERR_NO_CREDENTIALS, DeviceError::kNoCredentials,
     "this key does not hold the credential: it is another key, or it was reset; plug in the right "
     "one, or enrol again"},
    {FIDO_ERR_INVALID_CREDENTIAL, DeviceError::kNoCredentials,
     "this key does not hold the credential"},
    {FIDO_ERR_USER_ACTION_TIMEOUT, DeviceError::kTouchTimeout, "nobody touched the key in time"},
    {FIDO_ERR_ACTION_TIMEOUT, DeviceError::kTouchTimeout, "nobody touched the key in time"},
    {FIDO_ERR_TIMEOUT, DeviceError::kTouchTimeout, "the key did not answer in time"},
    {FIDO_ERR_KEEPALIVE_CANCEL, DeviceError::kCancelled, "cancelled"},
    {FIDO_ERR_CHANNEL_BUSY, DeviceError::kBusy, "another program uses the key; try again"},
    {FIDO_ERR_LOCK_REQUIRED, DeviceError::kBusy, "another program has locked the key; try again"},
    {FIDO_ERR_KEY_STORE_FULL, DeviceError::kNotSetUp,
     "the key has no room for another discoverable credential"},
    {FIDO_ERR_UNSUPPORTED_ALGORITHM, DeviceError::kNotSetUp,
     "the key has none of the algorithms that the gate takes"},
    {FIDO_ERR_UNSUPPORTED_OPTION, DeviceError::kNotSetUp, "the key can't do this"},
};

}  // namespace

absl::Status FromFido(int code, absl::string_view call) {
  if (code == FIDO_OK) return absl::OkStatus();
  for (const FidoMeaning& meaning : kFidoMeanings) {
    if (meaning.code != code) continue;
    return DeviceFailure(meaning.error, absl::StrFormat("%s: %s (0x%02x): %s", call,
                                                        fido_strerr(code), code, meaning.advice));
  }
  return DeviceFailure(DeviceError::kOther,
                       absl::StrFormat("%s: %s (%d)", call, fido_strerr(code), code));
}

}  // namespace forekey
