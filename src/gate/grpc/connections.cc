#include "src/gate/grpc/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/status.h"

namespace forekey {
namespace {

// A refusal's answer leaves within this time; then its connection is ended, if gRPC did not do so
// before.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(100);
// A slot is not given to another connection for so long: a call of the old one may still be judged.
constexpr absl::Duration kSlotRest = absl::Seconds(1);
constexpr absl::Duration kLookInterval = absl::Milliseconds(250);
constexpr int kBacklog = 1024;
constexpr int kAcceptsAtOnce = 64;
constexpr size_t kUntracked = ~size_t{0};

absl::Status SystemError(absl::string_view what, const std::string& address) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", address));
}

// As gRPC writes them.
std::string PeerText(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), port,
                  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  if (address.ss_family == AF_INET) return absl::StrCat("ipv4:", host, ":", port);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6))
    return absl::StrCat("ipv4:", absl::string_view(host).substr(7), ":", port);
  return absl::StrCat("ipv6:[", host, "]:", port);
}

// Made by somebody who does not hold what he claims, or by no client of ours: an honest one is
// never refused for these, whatever happened to the gate meanwhile.
bool IsForged(Reason reason) {
  switch (reason) {
    case Reason::kPrefixRepeated:
    case Reason::kPrefixOversize:
    case Reason::kPrefixMalformed:
    case Reason::kSignatureInvalid:
    case Reason::kMacInvalid:
      return true;
    default:
      return false;
  }
}

// The gate's own trouble, and what an enrolled caller may not do: no fault of the connection.
bool IsNoFault(Reason reason) { return PublicCode(reason) != absl::StatusCode::kUnauthenticated; }

}  // namespace

Connection::~Connection() { close(fd_); }

Connections::Connections(GateCore* core)
    : core_(core),
      limits_(core->config().connections),
      rates_(limits_.per_address_per_second, limits_.per_address_burst) {}

absl::StatusOr<std::unique_ptr<Connections>> Connections::New(
    GateCore* core, const std::vector<std::string>& addresses) {
  std::unique_ptr<Connections> made(new Connections(core));
  made->poll_ = epoll_create1(EPOLL_CLOEXEC);
  made->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->poll_ < 0 || made->wake_ < 0) return SystemError("watch", "sockets");
  for (const std::string& address : addresses) FOREKEY_RETURN_IF_ERROR(made->Listen(address));
  return made;
}

absl::Status Connections::Listen(const std::string& address) {
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
  if (fd < 0) return SystemError("make a socket for", address);
  listeners_.push_back(fd);
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Inherited by what is accepted.
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (found->ai_family == AF_INET6 && host == "::") {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, kBacklog) != 0) {
    return SystemError("can't listen on", address);
  }
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return SystemError("look at", address);
  }
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                            : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return absl::OkStatus();
}

Connections::~Connections() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  for (int fd : listeners_) close(fd);
  if (poll_ >= 0) close(poll_);
  if (wake_ >= 0) close(wake_);
}

void Connections::Install(grpc::ServerBuilder& builder, const MakeCredentials& credentials) {
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  for (size_t i = 0; i <= limits_.tracked; ++i) {
    const bool shared = i == limits_.tracked;
    auto slot = std::make_unique<Slot>();
    slot->acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        Type::FROM_FD, credentials(shared ? nullptr : slot.get()));
    slots_.push_back(std::move(slot));
    if (!shared) free_.push_back({i, 0});
  }
  auto millis = [](absl::Duration duration) {
    return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(duration), INT32_MAX));
  };
  // The handshake's time covers the first frame of HTTP/2, too: a peer that says nothing is gone
  // after it.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, millis(limits_.handshake));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, millis(limits_.idle));
  // Also where there is no call, and for ever: a peer that went away without a word is found.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, millis(limits_.keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(limits_.streams));
}

void Connections::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Connections::StopAccepting() {
  {
    absl::MutexLock lock(&mutex_);
    accepting_ = false;
  }
  // Refused by the system from here on, so that clients try elsewhere at once.
  for (int listener : listeners_) shutdown(listener, SHUT_RD);
  Wake();
}

void Connections::Wake() {
  const uint64_t one = 1;
  while (write(wake_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

void Connections::AddToPoll(int fd, void* tag, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = tag;
  epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
}

void Connections::Run() {
  AddToPoll(wake_, &wake_, EPOLLIN);
  for (int& listener : listeners_) AddToPoll(listener, &listener, EPOLLIN);
  bool listening = true;
  for (;;) {
    bool accepting;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
      accepting = accepting_;
    }
    int64_t now = Clock::System().BootNanos();
    const bool listen_now = accepting && now >= paused_until_;
    if (listen_now != listening) {
      for (int& listener : listeners_) {
        if (listen_now)
          AddToPoll(listener, &listener, EPOLLIN);
        else
          epoll_ctl(poll_, EPOLL_CTL_DEL, listener, nullptr);
      }
      listening = listen_now;
    }
    epoll_event events[64];
    const int count = epoll_wait(poll_, events, 64, WaitMillis(now));
    for (int i = 0; i < count; ++i) {
      void* const tag = events[i].data.ptr;
      if (tag == &wake_) {
        uint64_t drained;
        while (read(wake_, &drained, sizeof(drained)) > 0) {
        }
      } else if (tag >= listeners_.data() && tag < listeners_.data() + listeners_.size()) {
        if (accepting) AcceptFrom(*static_cast<int*>(tag));
      } else {
        Forget(static_cast<Connection*>(tag));
      }
    }
    now = Clock::System().BootNanos();
    EndDue(now);
    EndUnproved(now);
  }
  for (auto& [raw, connection] : connections_) shutdown(connection->fd_, SHUT_RDWR);
  connections_.clear();
  absl::MutexLock lock(&mutex_);
  endings_.clear();
  for (auto& slot : slots_) {
    absl::MutexLock slot_lock(&slot->mutex_);
    slot->current_.reset();
  }
}

int Connections::WaitMillis(int64_t now) {
  int64_t wait = absl::ToInt64Nanoseconds(kLookInterval);
  absl::MutexLock lock(&mutex_);
  for (const Ending& ending : endings_) wait = std::min(wait, ending.at - now);
  return static_cast<int>(std::max<int64_t>(0, wait) / 1'000'000) + 1;
}

void Connections::AcceptFrom(int listener) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      Admit(fd, listener);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // Out of descriptors or memory: what is open goes on, and asking again at once would only spin.
    if (errno != EAGAIN)
      paused_until_ = Clock::System().BootNanos() + absl::ToInt64Nanoseconds(kLookInterval);
    return;
  }
}

absl::Status Connections::Allow(const std::string& host, const std::string& peer) {
  if (connections_.size() >= limits_.total) {
    return Refuse(Reason::kConnectionLimit, absl::StrCat(limits_.total, " are open, all in all"));
  }
  auto same = per_host_.find(host);
  if (same != per_host_.end() && same->second >= limits_.per_address) {
    return Refuse(Reason::kConnectionLimit,
                  absl::StrCat(limits_.per_address, " are open from this address"));
  }
  if (!rates_.Take(rates_.HashOf(host), Clock::System().BootNanos())) {
    return Refuse(Reason::kConnectionLimit, "too many new ones from this address at once");
  }
  return absl::OkStatus();
}

size_t Connections::TakeSlot(int64_t now) {
  if (free_.empty()) return kUntracked;
  const FreeSlot oldest = free_.front();
  if (oldest.since != 0 && now - oldest.since < absl::ToInt64Nanoseconds(kSlotRest))
    return kUntracked;
  free_.pop_front();
  return oldest.slot;
}

void Connections::Admit(int fd, int listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  std::string peer = "unknown";
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    peer = PeerText(address, size);
  std::string host = HostKey(peer);
  if (absl::Status allowed = Allow(host, peer); !allowed.ok()) {
    // The answer is a closed connection: no TLS, and not a byte of ours.
    core_->refusals().Tell(allowed, "", peer).IgnoreError();
    close(fd);
    return;
  }
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) {
    close(fd);
    return;
  }
  const int64_t now = Clock::System().BootNanos();
  const size_t slot = TakeSlot(now);
  auto connection = std::make_shared<Connection>(peer, std::move(host), own, slot, now);
  ++per_host_[connection->host_];
  connections_[connection.get()] = connection;
  open_.store(connections_.size(), std::memory_order_relaxed);
  Slot& handed = slot == kUntracked ? *slots_.back() : *slots_[slot];
  if (slot != kUntracked) {
    tracked_.fetch_add(1, std::memory_order_relaxed);
    absl::MutexLock lock(&handed.mutex_);
    handed.current_ = connection;
  }
  AddToPoll(own, connection.get(), 0);  // its end alone
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = listener;
  parameters.fd = fd;
  handed.acceptor_->HandleNewConnection(&parameters);
}

void Connections::Forget(Connection* raw) {
  auto found = connections_.find(raw);
  if (found == connections_.end()) return;
  const std::shared_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  open_.store(connections_.size(), std::memory_order_relaxed);
  epoll_ctl(poll_, EPOLL_CTL_DEL, connection->fd_, nullptr);
  if (auto host = per_host_.find(connection->host_); --host->second == 0) per_host_.erase(host);
  if (connection->slot_ == kUntracked) return;
  tracked_.fetch_sub(1, std::memory_order_relaxed);
  free_.push_back({connection->slot_, Clock::System().BootNanos()});
  absl::MutexLock lock(&slots_[connection->slot_]->mutex_);
  slots_[connection->slot_]->current_.reset();
}

void Connections::Admitted(Connection& connection) {
  connection.proved_.store(true, std::memory_order_relaxed);
  connection.refused_.store(0, std::memory_order_relaxed);
}

void Connections::Refused(const std::shared_ptr<Connection>& connection,
                          std::optional<Reason> reason) {
  if (!reason || IsNoFault(*reason)) return;
  const bool forged = IsForged(*reason);
  const uint32_t limit = forged ? limits_.forged_refusals : limits_.refusals;
  const uint32_t count = (forged ? connection->forged_ : connection->refused_)
                             .fetch_add(1, std::memory_order_relaxed) +
                         1;
  if (limit == 0 || count < limit) return;
  if (!EndSoon(connection, kAnswerTime, Reason::kConnectionEnded)) return;
  // What was sent before is the last that gRPC reads: it answers, and closes. A flood that went on
  // for as long as its answer takes would cost more than the connection that it loses.
  shutdown(connection->fd_, SHUT_RD);
  rates_.Charge(rates_.HashOf(connection->host_),
                forged ? limits_.forged_cost : limits_.refused_cost, Clock::System().BootNanos());
}

bool Connections::EndSoon(std::shared_ptr<Connection> connection, absl::Duration delay,
                          Reason reason) {
  if (connection->closing_.exchange(true)) return false;
  {
    absl::MutexLock lock(&mutex_);
    endings_.push_back({std::move(connection),
                        Clock::System().BootNanos() + absl::ToInt64Nanoseconds(delay), reason});
  }
  Wake();
  return true;
}

void Connections::EndDue(int64_t now) {
  std::vector<Ending> due;
  {
    absl::MutexLock lock(&mutex_);
    auto later = std::partition(endings_.begin(), endings_.end(),
                                [now](const Ending& ending) { return ending.at > now; });
    due.assign(std::make_move_iterator(later), std::make_move_iterator(endings_.end()));
    endings_.erase(later, endings_.end());
  }
  for (const Ending& ending : due) {
    core_->refusals().Tell(Refuse(ending.reason), "", ending.connection->peer()).IgnoreError();
    // Both ends see it; gRPC closes its descriptor, and the poll here reports the end.
    shutdown(ending.connection->fd_, SHUT_RDWR);
  }
}

void Connections::EndUnproved(int64_t now) {
  if (now < next_look_) return;
  next_look_ = now + absl::ToInt64Nanoseconds(kLookInterval);
  for (auto& [raw, connection] : connections_) {
    // What is not tracked has no processor that could tell: gRPC's own bounds hold there.
    if (connection->slot_ == kUntracked || connection->proved_.load(std::memory_order_relaxed))
      continue;
    if (now - connection->accepted_ < absl::ToInt64Nanoseconds(limits_.proof)) continue;
    EndSoon(connection, absl::ZeroDuration(), Reason::kConnectionTimeout);
  }
}

}  // namespace forekey
