// SPDX-License-Identifier: Apache-2.0
// What a TPM says of itself (TPM2_GetCapability). Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_CAPABILITIES_H_
#define FOREKEY_HW_TPM_CAPABILITIES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hw/device_key.h"
#include "hw/tpm/esys.h"

namespace forekey {

// Handles that exist between `first` and `last`, both included.
absl::StatusOr<std::vector<TPM2_HANDLE>> Handles(Esys& esys, TPM2_HANDLE first, TPM2_HANDLE last);
// How much one TPM2_NV_Read may give.
absl::StatusOr<uint32_t> NvChunkSize(Esys& esys);
// Fills in manufacturer, model (the vendor's strings), firmware, and the description, which is all
// of them.
absl::Status DescribeTpm(Esys& esys, DeviceInfo* info);
// Wrong passwords that are left before the lockout; 0 when it is in force.
absl::StatusOr<int> PasswordTriesLeft(Esys& esys);
// Whether the TPM's lockout hierarchy has a password (TPM 2.0 part 2, 8.6, TPMA_PERMANENT). Without
// one, whoever may open the TPM may reset the counter of wrong passwords, and clear the TPM.
absl::StatusOr<bool> LockoutAuthIsSet(Esys& esys);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_CAPABILITIES_H_
