// SPDX-License-Identifier: Apache-2.0
// The sockets that simulators serve on.
#ifndef FOREKEY_SIMULATORS_UNIX_SOCKET_H_
#define FOREKEY_SIMULATORS_UNIX_SOCKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "simulators/process.h"

namespace forekey {

// Listens on a unix socket at `path`, in the place of what is there, for this user alone (mode
// 0600). `type`: SOCK_STREAM or SOCK_SEQPACKET, with SOCK_NONBLOCK where accept() must not wait.
// InvalidArgument for a path of more than 107 bytes.
absl::StatusOr<UniqueFd> ListenOnUnixSocket(const std::string& path, int type);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_UNIX_SOCKET_H_
