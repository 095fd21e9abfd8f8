// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr int kBacklog = 1024;

absl::Status ListenError(absl::string_view what, const std::string& address) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", address));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listeners>> Listeners::New(
    const std::vector<std::string>& addresses) {
  std::unique_ptr<Listeners> made(new Listeners);
  for (const std::string& address : addresses) FOREKEY_RETURN_IF_ERROR(made->Listen(address));
  return made;
}

Listeners::~Listeners() {
  for (int fd : fds_) close(fd);
}

std::string Listeners::PeerOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), port,
                  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  if (address.ss_family == AF_INET) return absl::StrCat("ipv4:", host, ":", port);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6))
    return absl::StrCat("ipv4:", absl::string_view(host).substr(7), ":", port);
  return absl::StrCat("ipv6:[", host, "]:", port);
}

absl::Status Listeners::Listen(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon), port = address.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  // "localhost:0" is two addresses: the second takes the port that the first was given.
  if (port == "0" && port_ != 0) port = absl::StrCat(port_);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address ", address, ": ", gai_strerror(error)));
  }
  absl::Cleanup free_found = [found] { freeaddrinfo(found); };
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ListenError("make a socket for", address);
  fds_.push_back(fd);
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Inherited by what is accepted.
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (found->ai_family == AF_INET6 && host == "::") {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, kBacklog) != 0) {
    return ListenError("can't listen on", address);
  }
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return ListenError("look at", address);
  }
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                            : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return absl::OkStatus();
}

}  // namespace forekey
