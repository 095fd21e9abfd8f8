// SPDX-License-Identifier: Apache-2.0
// What a TPM says of itself (TPM2_GetCapability). Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_CAPABILITIES_H_
#define FOREKEY_HW_TPM_CAPABILITIES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hw/tpm/esys.h"

namespace forekey {

// Handles that exist between `first` and `last`, both included.
absl::StatusOr<std::vector<TPM2_HANDLE>> Handles(Esys& esys, TPM2_HANDLE first, TPM2_HANDLE last);
// How much one TPM2_NV_Read may give.
absl::StatusOr<uint32_t> NvChunkSize(Esys& esys);
// "IBM SW TPM, firmware 20191023.1636": manufacturer, vendor strings, firmware version.
absl::StatusOr<std::string> DescribeTpm(Esys& esys);
// Wrong passwords that are left before the lockout; 0 when it is in force.
absl::StatusOr<int> PasswordTriesLeft(Esys& esys);
// Whether the TPM's lockout hierarchy has a password (TPM 2.0 part 2, 8.6, TPMA_PERMANENT). Without
// one, whoever may open the TPM may reset the counter of wrong passwords, and clear the TPM.
absl::StatusOr<bool> LockoutAuthIsSet(Esys& esys);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_CAPABILITIES_H_
