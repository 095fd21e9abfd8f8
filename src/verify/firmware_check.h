// SPDX-License-Identifier: Apache-2.0
// A token's firmware, as its attestation proves it, against an organisation's list. A version that
// a token only claims is no business of this: nobody may pass by it.
#ifndef FOREKEY_SRC_VERIFY_FIRMWARE_CHECK_H_
#define FOREKEY_SRC_VERIFY_FIRMWARE_CHECK_H_

#include "absl/status/status.h"
#include "src/wire/firmware_list.h"

namespace forekey {

// `list`: null or empty asks nothing. `token.version`: of the attestation alone. Refuses with
//   kFirmwareWeak      the list calls this firmware weak
//   kFirmwareTooOld    it is below the least version
//   kFirmwareUnproved  the list asks for this token's version, and nothing proves one: what can't
//                      be told is not good enough, or leaving it out would be the way round
// The detail names the version, the list's line and what to do.
absl::Status CheckFirmware(const FirmwareList* list, const TokenFirmware& token);

// kFirmwareUnproved: the token may be of the model that `entry` is about, and does not say which it
// is.
absl::Status RefuseUnprovedModel(const FirmwareEntry& entry);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_FIRMWARE_CHECK_H_
