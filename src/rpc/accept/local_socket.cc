// SPDX-License-Identifier: Apache-2.0
#include "src/rpc/accept/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace forekey {
namespace {

constexpr int kLockTries = 500;
constexpr absl::Duration kLockPause = absl::Milliseconds(10);

// Of the folder, so that of two that start at one path neither takes the other's socket: what each
// finds there, and what it does by that, belong together. Ends when the descriptor is closed.
absl::StatusOr<int> LockFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path();
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("can't look into ", folder));
  int error = 0;
  for (int tries = 0; tries < kLockTries; ++tries) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    error = errno;
    if (error != EWOULDBLOCK && error != EINTR) break;
    absl::SleepFor(kLockPause);
  }
  close(fd);
  return absl::ErrnoToStatus(error, absl::StrCat("can't lock ", folder));
}

absl::StatusOr<bool> SomebodyServes(const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return absl::ErrnoToStatus(errno, "socket");
  const bool connected =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  close(probe);
  // So many may wait already that there is no room for the question.
  if (connected || error == EAGAIN) return true;
  if (error == ECONNREFUSED || error == ENOENT) return false;
  return absl::ErrnoToStatus(error,
                             absl::StrCat("can't tell whether somebody serves ", address.sun_path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalSocket>> LocalSocket::Listen(const std::string& address,
                                                                 mode_t mode) {
  std::unique_ptr<LocalSocket> made(new LocalSocket);
  absl::string_view path = address;
  const absl::Status listening = absl::ConsumePrefix(&path, "unix:")
                                     ? made->ListenAtPath(std::string(path), mode)
                                     : made->ListenAtPort(address);
  if (!listening.ok()) return listening;
  return made;
}

LocalSocket::~LocalSocket() {
  // Before it is closed: while it is open, no other one can have its number.
  struct stat found = {};
  if (!path_.empty() && lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    unlink(path_.c_str());
  }
  if (fd_ >= 0) close(fd_);
}

int LocalSocket::TakeFd() { return std::exchange(fd_, -1); }

absl::Status LocalSocket::ListenAtPath(const std::string& path, mode_t mode) {
  sockaddr_un address = {};
  address.sun_family = family_ = AF_UNIX;
  if (!absl::StartsWith(path, "/") || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a socket's path begins with / and has at most 107 bytes"));
  }
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const absl::StatusOr<int> folder = LockFolderOf(path);
  if (!folder.ok()) return folder.status();
  const absl::Cleanup unlock = [&folder] { close(*folder); };
  struct stat found = {};
  if (lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(path, " is there, and is no socket"));
    }
    const absl::StatusOr<bool> served = SomebodyServes(address);
    if (!served.ok()) return served.status();
    if (*served) {
      return absl::AlreadyExistsError(absl::StrCat("somebody serves ", path, " already"));
    }
    unlink(path.c_str());
  }
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return absl::ErrnoToStatus(errno, "socket");
  const mode_t before = umask(~mode & 0777);
  const bool bound = bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  umask(before);
  if (!bound) return absl::ErrnoToStatus(error, absl::StrCat("can't listen on ", path));
  path_ = path;
  if (lstat(path.c_str(), &found) == 0) {
    device_ = found.st_dev;
    inode_ = found.st_ino;
  }
  if (listen(fd_, SOMAXCONN) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't listen on ", path));
  }
  return absl::OkStatus();
}

absl::Status LocalSocket::ListenAtPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(address, ": there is no port"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  if (const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
      error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(address, ": ", gai_strerror(error)));
  }
  const absl::Cleanup free_found = [found] { freeaddrinfo(found); };
  family_ = found->ai_family;
  fd_ = socket(family_, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("make a socket for ", address));
  const int on = 1;
  // Not SO_REUSEPORT: the port is nobody's besides.
  setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // inherited by what is accepted
  if (bind(fd_, found->ai_addr, found->ai_addrlen) != 0 || listen(fd_, SOMAXCONN) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("can't listen on ", address));
  }
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("look at ", address));
  }
  port_ = ntohs(family_ == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                    : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return absl::OkStatus();
}

}  // namespace forekey
