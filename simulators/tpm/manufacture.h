// SPDX-License-Identifier: Apache-2.0
// Makes a TPM as a manufacturer does: seeds, EK certificates signed by a CA of its own, NV indices.
// Takes 1 to 2 seconds: swtpm_setup (RSA-2048 and P-384 EK certificates) and swtpm_localca.
#ifndef FOREKEY_SIMULATORS_TPM_MANUFACTURE_H_
#define FOREKEY_SIMULATORS_TPM_MANUFACTURE_H_

#include <string>

#include "absl/status/status.h"

namespace forekey {

struct ManufactureOptions {
  bool ek_certificates = true;
  // The CA that signs EK certificates is itself signed by the root, and its certificate is in NV at
  // 0x01c00100, as some vendors do; otherwise the root signs.
  bool intermediate = false;
};

// In `directory` (made if missing, mode 0700):
//   swtpm/                        swtpm's own state
//   ca/                           the CA: keys, swtpm's config files
//   trust/forekey-sim-tpm-root.pem   the certificate to trust
//   made                          written last
// Does nothing when `made` is there.
absl::Status ManufactureTpm(const std::string& directory, const ManufactureOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_MANUFACTURE_H_
