// SPDX-License-Identifier: Apache-2.0
// A socket at which programs of this machine are listened to: a unix socket, or a port.
#ifndef FOREKEY_SRC_RPC_ACCEPT_LOCAL_SOCKET_H_
#define FOREKEY_SRC_RPC_ACCEPT_LOCAL_SOCKET_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace forekey {

class LocalSocket {
 public:
  // `address`: "unix:/path", or numeric "127.0.0.1:port", "[::1]:port"; port 0 is any that is free.
  // A unix socket has `mode` from its first moment on, and takes the place of one that nobody
  // serves. Listens; does not block in accept(). Errors: somebody serves there already; a file that
  // is no socket; the system's, with the address.
  static absl::StatusOr<std::unique_ptr<LocalSocket>> Listen(const std::string& address,
                                                             mode_t mode);
  // Removes the unix socket, where it is still this one.
  ~LocalSocket();
  LocalSocket(const LocalSocket&) = delete;
  LocalSocket& operator=(const LocalSocket&) = delete;

  int fd() const { return fd_; }
  // Its close() is the taker's from here on, after this is gone.
  int TakeFd();
  bool is_unix() const { return !path_.empty(); }
  int family() const { return family_; }  // AF_UNIX, AF_INET or AF_INET6
  int port() const { return port_; }      // 0 for a unix socket

 private:
  LocalSocket() = default;
  absl::Status ListenAtPath(const std::string& path, mode_t mode);
  absl::Status ListenAtPort(const std::string& address);

  int fd_ = -1;
  int family_ = 0;
  int port_ = 0;
  std::string path_;  // once it is there
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_RPC_ACCEPT_LOCAL_SOCKET_H_
