// SPDX-License-Identifier: Apache-2.0
#include "src/rpc/accept/local_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace forekey {
namespace {

// Also where so many wait already that there is no room for the question.
bool SomebodyServes(const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const bool answered =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN;
  close(probe);
  return answered;
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
  struct stat found = {};
  if (lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(path, " is there, and is no socket"));
    }
    if (SomebodyServes(address)) {
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
