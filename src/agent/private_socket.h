// SPDX-License-Identifier: Apache-2.0
// A unix socket that only its owner can use: mode 0600 in a folder of mode 0700, and, as modes are
// easily changed by accident, the uid of every peer is asked of the kernel (SO_PEERCRED) besides.
#ifndef FOREKEY_SRC_AGENT_PRIVATE_SOCKET_H_
#define FOREKEY_SRC_AGENT_PRIVATE_SOCKET_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace forekey {

// OK when the process at the other end of the connected unix socket `fd` runs (or connected) as
// `uid`; else kPeerUidRefused.
absl::Status CheckPeerUid(int fd, uid_t uid);

class PrivateSocket {
 public:
  // Makes the folder where there is none. AlreadyExists when somebody answers on the socket, or
  // another process is just opening it; a socket on which nobody answers is replaced; anything else
  // at that path is left alone (FailedPrecondition).
  static absl::StatusOr<std::unique_ptr<PrivateSocket>> Listen(const std::string& path);
  // Takes over a socket that the service manager listens on (sd_listen_fds); owns `fd` from now on,
  // also on errors. It stays the manager's: Stop() leaves it where it is, and whoever connects next
  // starts the next agent. InvalidArgument when `fd` is no listening unix stream socket with a
  // path; FailedPrecondition when its folder is open to others.
  static absl::StatusOr<std::unique_ptr<PrivateSocket>> Adopt(int fd);
  // Stop()
  ~PrivateSocket();

  // From now on `handle` gets each connection of this user, non-blocking, and owns it. It is called
  // from one thread of this object's. Once.
  void Accept(std::function<void(int fd)> handle);
  // Removes the socket first (but an adopted one), so that nobody finds one on which nobody
  // answers.
  void Stop();

  const std::string& path() const { return path_; }

 private:
  explicit PrivateSocket(std::string path) : path_(std::move(path)) {}
  void Run(const std::function<void(int fd)>& handle);

  const std::string path_;
  int listen_fd_ = -1;
  int lock_fd_ = -1;
  int stop_fd_ = -1;  // eventfd
  ino_t inode_ = 0;   // 0: adopted, and not ours to remove
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PRIVATE_SOCKET_H_
