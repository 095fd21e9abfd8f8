// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/status_word.h"

#include "absl/strings/str_format.h"
#include "hw/device_key.h"
#include "hw/piv/card_channel.h"

namespace forekey {
namespace {

struct StatusMeaning {
  uint16_t status;
  DeviceError error;
  const char* text;
};

constexpr StatusMeaning kStatusMeanings[] = {
    {0x6300, DeviceError::kWrongPin, "verification failed"},
    {0x6700, DeviceError::kOther, "wrong length"},
    {0x6881, DeviceError::kOther, "logical channel not supported"},
    {0x6882, DeviceError::kOther, "secure messaging not supported"},
    {0x6982, DeviceError::kPinRequired, "security status not satisfied"},
    {0x6983, DeviceError::kPinBlocked, "authentication method blocked"},
    {0x6985, DeviceError::kTouchTimeout, "conditions of use not satisfied"},
    {0x6A80, DeviceError::kOther, "incorrect parameter in the command's data"},
    {0x6A81, DeviceError::kNotSetUp, "function not supported"},
    {0x6A82, DeviceError::kNotSetUp, "data object or application not found"},
    {0x6A84, DeviceError::kNotSetUp, "not enough memory on the card"},
    {0x6A86, DeviceError::kOther, "incorrect parameter in P1 or P2"},
    {0x6A88, DeviceError::kNotSetUp, "key reference not found"},
    {0x6D00, DeviceError::kNotSetUp, "the card does not know this instruction"},
    {0x6E00, DeviceError::kNotSetUp, "the card does not know this class"},
};

}  // namespace

absl::Status FromStatusWord(uint16_t status, absl::string_view command) {
  if (status == 0x9000) return absl::OkStatus();
  // 630X is 63CX of some older cards; 6300 itself tells no number.
  if ((status & 0xFFF0) == 0x63C0 || (status > 0x6300 && status <= 0x630F)) {
    return DeviceFailure(
        DeviceError::kWrongPin,
        absl::StrFormat("%s: 0x%04X wrong PIN, tries left: %d", command, status, status & 0x0F));
  }
  for (const StatusMeaning& meaning : kStatusMeanings) {
    if (meaning.status != status) continue;
    const bool foreign = status == 0x6D00 || status == 0x6E00;
    return Interrupted(foreign ? Interruption::kAnotherApplication : Interruption::kNone,
                       DeviceFailure(meaning.error, absl::StrFormat("%s: 0x%04X %s", command,
                                                                    status, meaning.text)));
  }
  return DeviceFailure(
      DeviceError::kOther,
      absl::StrFormat("%s: 0x%04X, a status that this command should not give", command, status));
}

}  // namespace forekey
