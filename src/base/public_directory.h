// SPDX-License-Identifier: Apache-2.0
// Folders that everybody may read: what a command makes as root for a gate that is somebody else.
#ifndef FOREKEY_SRC_BASE_PUBLIC_DIRECTORY_H_
#define FOREKEY_SRC_BASE_PUBLIC_DIRECTORY_H_

#include <string>

#include "absl/status/status.h"

namespace forekey {

// Makes the folder, and those above it that are missing, each with mode 0755 whatever the umask is.
// What is there already keeps its mode and its owner. Errors: PermissionDenied and the like, with
// the folder that could not be made; FailedPrecondition where something else has the name.
absl::Status MakePublicDirectory(const std::string& path);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_PUBLIC_DIRECTORY_H_
