// SPDX-License-Identifier: Apache-2.0
// TPM URIs, and the transports (TCTI) that they name. Private to hw/tpm.
//
//   tpm:                          /dev/tpmrm0, then tpm2-abrmd where the system bus has it
//   tpm:device:/dev/tpmrm0        a device node
//   tpm:tabrmd:bus_type=session   tpm2-abrmd, with its TCTI's own options
//   tpm:swtpm:path=/run/x.sock    a simulator on a unix socket
//
// Nothing else: libtss2's own default search ends at a TCP port on localhost where any program
// could pose as the TPM, so it is never used.
#ifndef FOREKEY_HW_TPM_TCTI_H_
#define FOREKEY_HW_TPM_TCTI_H_

#include <tss2/tss2_tcti.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// What tctildr takes, in the order to try. InvalidArgument for anything but the URIs above.
absl::StatusOr<std::vector<std::string>> TctiCandidates(absl::string_view uri);

struct TctiClose {
  void operator()(TSS2_TCTI_CONTEXT* context) const;
};
using TctiPtr = std::unique_ptr<TSS2_TCTI_CONTEXT, TctiClose>;

// Opens the first candidate that answers. kGone, kNoAccess or kBusy with what to do.
absl::StatusOr<TctiPtr> OpenTcti(absl::string_view uri);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TCTI_H_
