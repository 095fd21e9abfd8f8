// SPDX-License-Identifier: Apache-2.0
#include "src/base/public_directory.h"

#include <errno.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status MakeOne(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return absl::OkStatus();
    return absl::FailedPreconditionError(path + " is not a folder");
  }
  if (mkdir(path.c_str(), 0755) != 0) {
    // Somebody else may have made it since.
    if (errno == EEXIST && stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return absl::OkStatus();
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("can't make the folder ", path));
  }
  // The umask has had its say.
  if (chmod(path.c_str(), 0755) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("chmod ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MakePublicDirectory(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("the folder's path is empty");
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    FOREKEY_RETURN_IF_ERROR(MakeOne(path.substr(0, slash)));
  }
  return MakeOne(path);
}

}  // namespace forekey
