// SPDX-License-Identifier: Apache-2.0
// Files: read with a bound, written so that a crash or a full disk leaves the old or the new file,
// never a half; modes are exact whatever the umask is.
#ifndef FOREKEY_SRC_BASE_FILE_H_
#define FOREKEY_SRC_BASE_FILE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// The whole file. Errors: NotFound, PermissionDenied (with the mode and owner in the message),
// ResourceExhausted when it is larger than `max_size` bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_size = 16 << 20);

// ReadFile for keys: also refuses a file that others than its owner may read or write.
absl::StatusOr<std::string> ReadPrivateFile(const std::string& path, size_t max_size = 1 << 20);

// Writes a temporary file beside `path`, fsyncs it, renames it over `path` and fsyncs the folder.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content,
                                 mode_t mode = 0644);

// Makes the folder (and its parents) with mode 0700, or checks that it belongs to this user and
// that nobody else may enter it.
absl::Status EnsurePrivateDirectory(const std::string& path);

// Tells one state of a file from another, by its device, inode, size, mode and times of change (of
// what is in it, and of who may read it); empty where there is none.
std::string FileSignature(const std::string& path);

// Names (not paths) of the regular files in a folder, sorted; those that begin with a dot left out.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& directory);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_FILE_H_
