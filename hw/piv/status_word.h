// SPDX-License-Identifier: Apache-2.0
// What a card's status words mean for the person (ISO/IEC 7816-4 §5.1.3, SP 800-73-4 part 2 §3).
// Private to hw/piv.
#ifndef FOREKEY_HW_PIV_STATUS_WORD_H_
#define FOREKEY_HW_PIV_STATUS_WORD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// OK for 9000. Otherwise a DeviceFailure whose message has the command, the status word and its
// meaning:
//   "GENERAL AUTHENTICATE: 0x6982 security status not satisfied"
// 6D00 and 6E00, of a command that PIV has, are marked as Interruption::kAnotherApplication.
absl::Status FromStatusWord(uint16_t status, absl::string_view command);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_STATUS_WORD_H_
