// SPDX-License-Identifier: Apache-2.0
// What TSS2 return codes mean for the person in front of the machine. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_TSS_ERROR_H_
#define FOREKEY_HW_TPM_TSS_ERROR_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// OK for TSS2_RC_SUCCESS. Otherwise a DeviceFailure (hw/device_key.h) whose message has the call,
// the code, its name, TSS2's own words and what to do:
//   "Esys_Sign: 0x00000921 TPM_RC_LOCKOUT (tpm:warn(2.0): ...): the TPM is locked out ..."
// Codes that a resource manager passes on (layers 11 and 12) are read as the TPM's own.
absl::Status FromTss(uint32_t rc, absl::string_view call);

// The TPM's own code without layer, handle, session and parameter numbers; 0 where it is none.
uint32_t TpmCodeOf(uint32_t rc);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TSS_ERROR_H_
