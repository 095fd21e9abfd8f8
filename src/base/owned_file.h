// SPDX-License-Identifier: Apache-2.0
// Files and folders that root makes for another user. They lie where that user may write, and so
// may put a link in the place of each name: what is given is an open file, never a path.
#ifndef FOREKEY_SRC_BASE_OWNED_FILE_H_
#define FOREKEY_SRC_BASE_OWNED_FILE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

// -1, -1: nobody else.
struct FileOwner {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

// WriteFileAtomically(); the file is the owner's before it has its name.
absl::Status WriteOwnedFileAtomically(const std::string& path, absl::string_view content,
                                      mode_t mode, const FileOwner& owner);

// Gives a folder of this user's to the owner. FailedPrecondition for what is no folder (a link to
// one is none) or another user's.
absl::Status GiveFolder(const std::string& path, const FileOwner& owner);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_OWNED_FILE_H_
