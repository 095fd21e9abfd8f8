// SPDX-License-Identifier: Apache-2.0
#include "src/agent/private_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr int kBacklog = 64;

absl::Status Errno(absl::string_view call, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(call, " ", path));
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path has ", path.size(),
                                                   " bytes, at most ", sizeof(address.sun_path) - 1,
                                                   " are possible: ", path));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// OK when nothing is at the path any more.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Errno("stat", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there and is not a socket: it was left alone"));
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Errno("socket", path);
  absl::Cleanup close_fd = [fd] { close(fd); };
  bool answered = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  if (answered || errno != ECONNREFUSED) {
    return absl::AlreadyExistsError(absl::StrCat(
        "another program answers on ", path, ": stop it, or choose another path with --socket"));
  }
  if (unlink(path.c_str()) != 0) return Errno("unlink", path);
  return absl::OkStatus();
}

absl::StatusOr<int> LockBeside(const std::string& path) {
  std::string lock = absl::StrCat(path, ".lock");
  int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Errno("open", lock);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    int error = errno;
    close(fd);
    if (error == EWOULDBLOCK) {
      return absl::AlreadyExistsError(absl::StrCat("another program has the socket ", path,
                                                   ": stop it, or choose another with --socket"));
    }
    return absl::ErrnoToStatus(error, absl::StrCat("lock ", lock));
  }
  return fd;
}

}  // namespace

absl::Status CheckPeerUid(int fd, uid_t uid) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || size != sizeof(peer)) {
    return Refuse(Reason::kPeerUidRefused, "the kernel does not tell the peer's uid");
  }
  if (peer.uid != uid) {
    return Refuse(Reason::kPeerUidRefused, absl::StrCat("process ", peer.pid, " runs as uid ",
                                                        peer.uid, ", not as uid ", uid));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PrivateSocket>> PrivateSocket::Listen(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(sockaddr_un address, AddressOf(path));
  size_t slash = path.rfind('/');
  if (slash == std::string::npos || path[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path is not absolute: ", path));
  }
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(path.substr(0, slash)));
  std::unique_ptr<PrivateSocket> result(new PrivateSocket(path));
  FOREKEY_ASSIGN_OR_RETURN(result->lock_fd_, LockBeside(path));
  FOREKEY_RETURN_IF_ERROR(RemoveStale(path, address));
  result->stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (result->stop_fd_ < 0) return Errno("eventfd", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Errno("socket", path);
  result->listen_fd_ = fd;
  // Nobody else can enter the folder, so that the mode may come after the bind.
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Errno("bind", path);
  }
  struct stat info;
  if (chmod(path.c_str(), 0600) != 0 || stat(path.c_str(), &info) != 0) return Errno("chmod", path);
  result->inode_ = info.st_ino;
  if (listen(fd, kBacklog) != 0) return Errno("listen", path);
  return result;
}

absl::StatusOr<std::unique_ptr<PrivateSocket>> PrivateSocket::Adopt(int fd) {
  absl::Cleanup close_fd = [&fd] {
    if (fd >= 0) close(fd);
  };
  int listens = 0, type = 0;
  socklen_t size = sizeof(listens);
  sockaddr_un address = {};
  socklen_t address_size = sizeof(address);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0 ||
      getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &address_size) != 0 ||
      address.sun_family != AF_UNIX || address.sun_path[0] != '/') {
    return absl::InvalidArgumentError(
        "the socket that the service manager gave is not a unix socket with a path that it listens "
        "on: the socket unit needs one ListenStream=%t/forekey/agent.sock");
  }
  const std::string path(address.sun_path, strnlen(address.sun_path, sizeof(address.sun_path)));
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(path.substr(0, path.rfind('/'))));
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 ||
      fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return Errno("fcntl", path);
  }
  std::unique_ptr<PrivateSocket> result(new PrivateSocket(path));
  result->listen_fd_ = std::exchange(fd, -1);
  result->stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (result->stop_fd_ < 0) return Errno("eventfd", path);
  return result;
}

PrivateSocket::~PrivateSocket() {
  Stop();
  for (int fd : {stop_fd_, lock_fd_}) {
    if (fd >= 0) close(fd);
  }
}

void PrivateSocket::Accept(std::function<void(int fd)> handle) {
  thread_ = std::thread([this, handle = std::move(handle)] { Run(handle); });
}

void PrivateSocket::Stop() {
  struct stat info;
  if (inode_ != 0 && lstat(path_.c_str(), &info) == 0 && S_ISSOCK(info.st_mode) &&
      info.st_ino == inode_) {
    unlink(path_.c_str());
  }
  if (thread_.joinable()) {
    uint64_t one = 1;
    if (write(stop_fd_, &one, sizeof(one)) < 0) spdlog::error("eventfd: {}", strerror(errno));
    thread_.join();
  }
  // Who connected and was not accepted yet is told.
  if (listen_fd_ >= 0) close(std::exchange(listen_fd_, -1));
}

void PrivateSocket::Run(const std::function<void(int fd)>& handle) {
  pollfd fds[2] = {{listen_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  while (true) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) {
      spdlog::error("poll {}: {}", path_, strerror(errno));
      return;
    }
    if (fds[1].revents != 0) return;
    if ((fds[0].revents & POLLIN) == 0) continue;
    int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) {
        // The connection stays in the backlog; without a pause this would spin.
        spdlog::error("accept {}: {}", path_, strerror(errno));
        poll(&fds[1], 1, 100);
      }
      continue;
    }
    if (absl::Status peer = CheckPeerUid(fd, geteuid()); !peer.ok()) {
      spdlog::warn("a connection to {} was refused: {}", path_, std::string(peer.message()));
      close(fd);
      continue;
    }
    handle(fd);
  }
}

}  // namespace forekey
