// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_admin.h"

#include <errno.h>
#include <grpcpp/create_channel.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// True: somebody answers there. False: nobody does.
absl::StatusOr<bool> SomebodyListens(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;  // no gate could have made it
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const int result = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  const int error = errno;
  close(fd);
  if (result == 0) return true;
  if (error == ENOENT || error == ECONNREFUSED) return false;
  if (error == EACCES) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, " may be opened by the gate's own user alone: run this as that user, or as root"));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("connect ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GateAdmin>> GateAdmin::Open(const GateConfig& config) {
  std::unique_ptr<GateAdmin> admin(new GateAdmin);
  const std::string path = config.state.AdminSocketPath();
  FOREKEY_ASSIGN_OR_RETURN(const bool runs, SomebodyListens(path));
  if (runs) {
    admin->stub_ =
        v1::Admin::NewStub(grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
    return admin;
  }
  admin->actor_ = absl::StrCat("uid ", getuid(), ", no gate running");
  FOREKEY_ASSIGN_OR_RETURN(admin->at_rest_, GateAtRest::Open(config));
  return admin;
}

}  // namespace forekey
