// SPDX-License-Identifier: Apache-2.0
#include "simulators/unix_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace forekey {

absl::StatusOr<UniqueFd> ListenOnUnixSocket(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("socket path too long: ", path));
  }
  path.copy(address.sun_path, path.size());
  unlink(path.c_str());
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  // The mode of the descriptor is the new file's: nobody else gets in before chmod().
  if (!fd || fchmod(fd.get(), 0600) != 0 ||
      bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(fd.get(), 64) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't listen on ", path));
  }
  return fd;
}

}  // namespace forekey
