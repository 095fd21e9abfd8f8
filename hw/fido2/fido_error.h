// SPDX-License-Identifier: Apache-2.0
// libfido2's and CTAP's codes (CTAP 2.1 section 8.2) as errors of hw/device_key.h. Private to
// hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_ERROR_H_
#define FOREKEY_HW_FIDO2_FIDO_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// OK for FIDO_OK. Else the code with its name, the call, and what to do.
absl::Status FromFido(int code, absl::string_view call);

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_ERROR_H_
