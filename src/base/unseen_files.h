// SPDX-License-Identifier: Apache-2.0
// Folders in which a file that can't be looked at must not look like one that was removed.
#ifndef FOREKEY_SRC_BASE_UNSEEN_FILES_H_
#define FOREKEY_SRC_BASE_UNSEEN_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace forekey {

// What ListFiles() names (src/base/file.h), and what it passes over for not knowing what it is: a
// link to nothing, one through a folder that may not be entered. Who reads it is told why it can't
// be read.
absl::StatusOr<std::vector<std::string>> ListFilesAndUnseen(const std::string& directory);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_UNSEEN_FILES_H_
