// SPDX-License-Identifier: Apache-2.0
#include "src/rpc/accept/accept_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace forekey {
namespace {

constexpr int kPauseMillis = 250;  // where descriptors ran out
constexpr int kAcceptsAtOnce = 64;
constexpr int kHandshakeMillis = 5000;
// Descriptors that stay for what else the process does.
constexpr size_t kReserve = 64;

// As gRPC writes it, but for the brackets of IPv6, which it escapes.
std::string PeerOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char host[INET6_ADDRSTRLEN] = "";
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
    return absl::StrCat("ipv4:", host, ":", ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
    return absl::StrCat("ipv6:[", host, "]:", ntohs(v6.sin6_port));
  }
  return "";
}

uid_t UidOf(int fd) {
  ucred who = {};
  socklen_t size = sizeof(who);
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 ? who.uid
                                                                   : static_cast<uid_t>(-1);
}

size_t RoomFor(size_t most) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return most;
  const size_t descriptors = static_cast<size_t>(limit.rlim_cur);
  return std::min(most, descriptors > kReserve + 2 ? (descriptors - kReserve) / 2 : 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AcceptLoop>> AcceptLoop::New(const std::string& address, mode_t mode,
                                                            size_t most) {
  auto socket = LocalSocket::Listen(address, mode);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<AcceptLoop> made(new AcceptLoop(*std::move(socket)));
  made->most_ = RoomFor(most);
  made->most_of_one_ = (mode & 077) != 0 ? std::max<size_t>(made->most_ / 2, 1) : made->most_;
  made->poll_ = epoll_create1(EPOLL_CLOEXEC);
  made->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->poll_ < 0 || made->wake_ < 0 || !made->Watch(made->wake_, EPOLLIN)) {
    return absl::ErrnoToStatus(errno, "watch sockets");
  }
  return made;
}

AcceptLoop::~AcceptLoop() {
  Stop();
  if (poll_ >= 0) close(poll_);
  if (wake_ >= 0) close(wake_);
}

void AcceptLoop::Install(grpc::ServerBuilder& builder) {
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  // It covers the first frame of HTTP/2, too.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMillis);
}

void AcceptLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void AcceptLoop::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  while (write(wake_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  if (thread_.joinable()) thread_.join();
  // Refused by the system from here on, and not left waiting for who does not accept.
  socket_.reset();
  absl::MutexLock lock(&mutex_);
  while (!open_.empty()) Forget(open_.begin()->first);
}

bool AcceptLoop::Watch(int fd, uint32_t events, uint32_t serial) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = uint64_t{serial} << 32 | static_cast<uint32_t>(fd);
  return epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void AcceptLoop::Run() {
  const int listener = socket_->fd();
  bool listening = false;
  bool paused = false;
  for (;;) {
    if (!listening && !paused) {
      listening = Watch(listener, EPOLLIN);
      paused = !listening;
    }
    epoll_event events[64];
    const int count = epoll_wait(poll_, events, 64, paused ? kPauseMillis : -1);
    paused = false;
    for (int i = 0; i < count; ++i) {
      const int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
      if (fd == wake_) continue;
      if (fd == listener) {
        if (AcceptSome()) continue;
        epoll_ctl(poll_, EPOLL_CTL_DEL, listener, nullptr);
        listening = false;
        paused = true;
      } else {
        absl::MutexLock lock(&mutex_);
        const auto found = open_.find(fd);
        if (found != open_.end() && found->second.serial == events[i].data.u64 >> 32) Forget(fd);
      }
    }
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
  }
}

bool AcceptLoop::AcceptSome() {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    const int fd = accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (fd >= 0 && Take(fd)) continue;
    if (fd >= 0) close(fd);
    absl::MutexLock lock(&mutex_);
    SendOldestStrangerAway();
    return false;
  }
  return true;
}

bool AcceptLoop::HasRoomFor(uid_t uid) {
  const auto found = open_of_.find(uid);
  return found == open_of_.end() || found->second < most_of_one_;
}

// False: there is nothing to see its end by, and it is still the caller's.
bool AcceptLoop::Take(int fd) {
  const int watched = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (watched < 0) return false;
  {
    absl::MutexLock lock(&mutex_);
    const uid_t uid = socket_->is_unix() ? UidOf(fd) : 0;
    if ((socket_->is_unix() && !HasRoomFor(uid)) ||
        (open_.size() >= most_ && !SendOldestStrangerAway())) {
      close(watched);
      close(fd);
      return true;
    }
    Open& open = open_[watched];
    open.serial = ++last_serial_;
    open.uid = uid;
    if (socket_->is_unix()) {
      ++open_of_[uid];
    } else {
      open.peer = PeerOf(fd);
      open.stranger = strangers_.insert(strangers_.end(), watched);
      strangers_by_peer_[open.peer] = watched;
    }
  }
  if (!Watch(watched, 0, last_serial_)) {  // its end is told unasked
    absl::MutexLock lock(&mutex_);
    Forget(watched);
    return false;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = socket_->fd();
  parameters.fd = fd;
  acceptor_->HandleNewConnection(&parameters);
  return true;
}

bool AcceptLoop::SendOldestStrangerAway() {
  if (strangers_.empty()) return false;
  const int oldest = strangers_.front();
  shutdown(oldest, SHUT_RDWR);  // gRPC sees it as the peer's end
  Forget(oldest);
  return true;
}

void AcceptLoop::NoStranger(Open& open) {
  if (!open.stranger) return;
  const auto found = strangers_by_peer_.find(open.peer);
  // A newer one may come from the same address by now.
  if (found != strangers_by_peer_.end() && found->second == **open.stranger) {
    strangers_by_peer_.erase(found);
  }
  strangers_.erase(*open.stranger);
  open.stranger.reset();
}

void AcceptLoop::Forget(int watched) {
  const auto found = open_.find(watched);
  if (found == open_.end()) return;
  NoStranger(found->second);
  if (const auto of = open_of_.find(found->second.uid); of != open_of_.end() && --of->second == 0) {
    open_of_.erase(of);
  }
  open_.erase(found);
  // The socket may go on, at gRPC: epoll would know it by this descriptor's number still.
  epoll_ctl(poll_, EPOLL_CTL_DEL, watched, nullptr);
  close(watched);
}

void AcceptLoop::Known(absl::string_view peer) {
  const std::string plain = absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}});
  absl::MutexLock lock(&mutex_);
  const auto found = strangers_by_peer_.find(plain);
  if (found != strangers_by_peer_.end()) NoStranger(open_.find(found->second)->second);
}

size_t AcceptLoop::open() const {
  absl::MutexLock lock(&mutex_);
  return open_.size();
}

}  // namespace forekey
