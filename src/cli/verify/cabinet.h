// SPDX-License-Identifier: Apache-2.0
// Microsoft's cabinet files ([MS-CAB]), as far as TrustedTpm.cab needs: one cabinet, folders that
// are stored or compressed by MSZIP. Others' bytes: everything is bounded.
//
// A signature of the cabinet (Authenticode) is not looked at.
#ifndef FOREKEY_SRC_CLI_VERIFY_CABINET_H_
#define FOREKEY_SRC_CLI_VERIFY_CABINET_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct CabinetFile {
  std::string name;  // with '/' between folders, as the cabinet has it: never a path to write to
  std::string content;
};

// True for bytes that begin like a cabinet.
bool IsCabinet(absl::string_view bytes);

// All files. InvalidArgument for what is no cabinet, is damaged or cut short; Unimplemented for
// compression by Quantum or LZX and for cabinets that continue in others; ResourceExhausted for
// more than 10,000 files, 1,024 folders or 64 MiB. The work is bounded by that and by the size of
// the cabinet: each of its bytes is unpacked once at most.
absl::StatusOr<std::vector<CabinetFile>> ReadCabinet(absl::string_view bytes);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_CABINET_H_
