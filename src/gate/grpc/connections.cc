// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/connections.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/grpc/received_bytes.h"

namespace forekey {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(250);
// While connections wait for a slot: gRPC does not say when it has closed one.
constexpr int kSlotWaitMillis = 2;
constexpr int kAcceptsAtOnce = 64;

size_t ShareOf(size_t most, uint32_t percent) { return std::max<size_t>(1, most * percent / 100); }

// Whether `fd` is another file's by now, or nobody's.
bool IsClosed(int fd, dev_t device, ino_t inode) {
  struct stat found = {};
  return fstat(fd, &found) != 0 || found.st_dev != device || found.st_ino != inode;
}

}  // namespace

Connections::Connections(GateCore* core, std::unique_ptr<Listeners> listeners)
    : core_(core),
      limits_(core->config().connections),
      listeners_(std::move(listeners)),
      rates_(limits_.per_address_per_second, limits_.per_address_burst),
      exempt_hosts_(limits_.address_exempt_per_second, limits_.address_exempt_burst),
      exempt_unknown_(limits_.exempt_per_second, limits_.exempt_burst),
      arriving_(limits_.arriving, ShareOf(limits_.arriving, limits_.address_share)),
      strangers_(limits_.strangers, ShareOf(limits_.strangers, limits_.address_share)),
      watching_(limits_.watches, ShareOf(limits_.watches, limits_.address_share)) {}

absl::StatusOr<std::unique_ptr<Connections>> Connections::New(
    GateCore* core, const std::vector<std::string>& addresses) {
  FOREKEY_RETURN_IF_ERROR(CheckBytesAreCounted());
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Listeners> listeners, Listeners::New(addresses));
  std::unique_ptr<Connections> made(new Connections(core, std::move(listeners)));
  made->poll_ = epoll_create1(EPOLL_CLOEXEC);
  made->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->poll_ < 0 || made->wake_ < 0) return absl::ErrnoToStatus(errno, "watch sockets");
  return made;
}

Connections::~Connections() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  if (poll_ >= 0) close(poll_);
  if (wake_ >= 0) close(wake_);
}

void Connections::Install(grpc::ServerBuilder& builder, const MakeCredentials& credentials) {
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  for (size_t i = 0; i < limits_.arriving; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->acceptor_ = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD,
                                                                           credentials(slot.get()));
    slots_.push_back(std::move(slot));
    free_.push_back(i);
  }
  auto millis = [](absl::Duration duration) {
    return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(duration), INT32_MAX));
  };
  // The handshake's time covers the first frame of HTTP/2, too: a peer that says nothing is gone
  // after it.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, millis(limits_.handshake));
  // Also where there is no call, and for ever: a peer that went away without a word is found.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, millis(limits_.keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(limits_.streams));
  // The last resort: with this much in use, gRPC gives up streams, whoever's they are.
  builder.SetResourceQuota(grpc::ResourceQuota("forekey").Resize(limits_.memory));
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
  for (int listener : listeners_->fds()) shutdown(listener, SHUT_RD);
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
  std::vector<int>& listeners = listeners_->fds();
  AddToPoll(wake_, &wake_, EPOLLIN);
  for (int& listener : listeners) AddToPoll(listener, &listener, EPOLLIN);
  bool listening = true;
  for (;;) {
    bool accepting;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
      accepting = accepting_;
    }
    BootTime now = Clock::System().BootNow();
    const bool listen_now = accepting && now >= paused_until_;
    if (listen_now != listening) {
      for (int& listener : listeners) {
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
      } else if (tag >= listeners.data() && tag < listeners.data() + listeners.size()) {
        if (accepting) AcceptFrom(*static_cast<int*>(tag));
      } else if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0) {
        Forget(static_cast<Connection*>(tag));
      } else {
        LookAtBytes(static_cast<Connection*>(tag));
      }
    }
    ApplyChanges();
    FreeClosed();
    HandOut();
    now = Clock::System().BootNow();
    EndDue(now);
    EndOld(now);
    EndQuiet(now);
    strangers_now_.store(arriving_.size() + strangers_.size() + watching_.size(),
                         std::memory_order_relaxed);
  }
  Close();
}

void Connections::Close() {
  for (auto& [raw, connection] : connections_) {
    shutdown(connection->fd_, SHUT_RDWR);
    table_.Remove(connection->id());
    if (connection->room_ != nullptr) connection->room_->Remove(*connection);
  }
  connections_.clear();
  waiting_.clear();
  resting_.clear();
  absl::MutexLock lock(&mutex_);
  endings_.clear();
  changes_.clear();
  for (auto& slot : slots_) slot->Set(nullptr);
}

int Connections::WaitMillis(BootTime now) {
  if (!waiting_.empty()) return kSlotWaitMillis;
  absl::Duration wait = kLookInterval;
  absl::MutexLock lock(&mutex_);
  for (const Ending& ending : endings_) wait = std::min(wait, ending.at - now);
  return static_cast<int>(absl::ToInt64Milliseconds(std::max(absl::ZeroDuration(), wait))) + 1;
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
    if (errno != EAGAIN) paused_until_ = Clock::System().BootNow() + kLookInterval;
    return;
  }
}

absl::Status Connections::Allow(const std::string& host) {
  if (connections_.size() >= limits_.total) {
    return Refuse(Reason::kConnectionLimit, absl::StrCat(limits_.total, " are open, all in all"));
  }
  auto same = per_host_.find(host);
  if (same != per_host_.end() && same->second >= limits_.per_address) {
    return Refuse(Reason::kConnectionLimit,
                  absl::StrCat(limits_.per_address, " are open from this address"));
  }
  if (!rates_.Take(host, Clock::System().BootNow())) {
    return Refuse(Reason::kConnectionLimit, "too many new ones from this address at once");
  }
  return absl::OkStatus();
}

void Connections::Admit(int fd, int listener) {
  std::string peer = Listeners::PeerOf(fd);
  std::string host = HostKey(peer);
  if (absl::Status allowed = Allow(host); !allowed.ok()) {
    // The answer is a closed connection: no TLS, and not a byte of ours.
    core_->refusals().Tell(allowed, "", peer).IgnoreError();
    close(fd);
    return;
  }
  struct stat socket = {};
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0 || fstat(fd, &socket) != 0) {
    if (own >= 0) close(own);
    close(fd);
    return;
  }
  auto connection = std::make_shared<Connection>(++last_id_, std::move(peer), std::move(host), own,
                                                 fd, limits_, Clock::System().BootNow());
  connection->device_ = socket.st_dev;
  connection->inode_ = socket.st_ino;
  ++per_host_[connection->host()];
  connections_[connection.get()] = connection;
  open_.store(connections_.size(), std::memory_order_relaxed);
  table_.Add(connection);
  waiting_.push_back({connection, listener});
  MoveTo(arriving_, connection, "before their first call");
  HandOut();
}

void Connections::MoveTo(StrangerRoom& room, const std::shared_ptr<Connection>& connection,
                         absl::string_view what) {
  if (connection->room_ != nullptr) connection->room_->Remove(*connection);
  const std::shared_ptr<Connection> leaves = room.Add(connection);
  if (leaves == nullptr) return;
  EndNow(leaves, Refuse(Reason::kConnectionLimit,
                        absl::StrCat("the oldest of too many connections ", what)));
  if (!leaves->given_) Forget(leaves.get());  // nothing will tell its end
}

void Connections::FreeClosed() {
  auto closed = std::partition(resting_.begin(), resting_.end(), [](const Resting& resting) {
    return !IsClosed(resting.last->given_fd_, resting.last->device_, resting.last->inode_);
  });
  for (auto it = closed; it != resting_.end(); ++it) {
    slots_[it->slot]->Set(nullptr);
    free_.push_back(it->slot);
  }
  resting_.erase(closed, resting_.end());
}

bool Connections::TakeSlot(size_t* slot) {
  if (free_.empty()) FreeClosed();
  if (free_.empty()) return false;
  *slot = free_.back();
  free_.pop_back();
  return true;
}

void Connections::HandOut() {
  while (!waiting_.empty()) {
    const auto& [connection, listener] = waiting_.front();
    if (!connection->closing_.load(std::memory_order_relaxed)) {
      size_t slot;
      if (!TakeSlot(&slot)) return;
      connection->slot_ = slot;
      connection->given_ = true;
      slots_[slot]->Set(connection);
      // Its end, and while it is a stranger each arrival of bytes.
      AddToPoll(connection->fd_, connection.get(), EPOLLIN | EPOLLET);
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
      parameters.listener_fd = listener;
      parameters.fd = connection->given_fd_;
      slots_[slot]->acceptor_->HandleNewConnection(&parameters);
    }
    waiting_.pop_front();
  }
}

void Connections::Forget(Connection* raw) {
  auto found = connections_.find(raw);
  if (found == connections_.end()) return;
  const std::shared_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  open_.store(connections_.size(), std::memory_order_relaxed);
  table_.Remove(connection->id());
  if (connection->room_ != nullptr) connection->room_->Remove(*connection);
  epoll_ctl(poll_, EPOLL_CTL_DEL, connection->fd_, nullptr);
  if (auto host = per_host_.find(connection->host()); --host->second == 0) per_host_.erase(host);
  if (connection->slot_ == Connection::kNoSlot) return;
  // A call of it may still be on its way to the processor, until gRPC has closed its descriptor.
  resting_.push_back({std::exchange(connection->slot_, Connection::kNoSlot), connection});
}

void Connections::Tell(const std::shared_ptr<Connection>& connection, Change change) {
  {
    absl::MutexLock lock(&mutex_);
    changes_.emplace_back(connection, change);
  }
  Wake();
}

void Connections::Called(const std::shared_ptr<Connection>& connection) {
  Tell(connection, Change::kCalled);
}

void Connections::BecomeProved(const std::shared_ptr<Connection>& connection) {
  if (connection->Prove()) Tell(connection, Change::kProved);
}

void Connections::ApplyChanges() {
  std::vector<std::pair<std::shared_ptr<Connection>, Change>> changes;
  {
    absl::MutexLock lock(&mutex_);
    changes.swap(changes_);
  }
  for (const auto& [connection, change] : changes) {
    if (!connections_.contains(connection.get())) continue;
    if (change == Change::kProved) {
      if (connection->room_ != nullptr) connection->room_->Remove(*connection);
      connection->last_active_ = Clock::System().BootNow();
      epoll_event its_end_alone = {};
      its_end_alone.data.ptr = connection.get();
      epoll_ctl(poll_, EPOLL_CTL_MOD, connection->fd_, &its_end_alone);
      continue;
    }
    const size_t slot = std::exchange(connection->slot_, Connection::kNoSlot);
    if (slot != Connection::kNoSlot) {
      slots_[slot]->Set(nullptr);
      free_.push_back(slot);
    }
    // One that is on its way out has left its room, and gets no other.
    if (connection->room_ == &arriving_) {
      MoveTo(strangers_, connection, "on which nothing was admitted");
    }
  }
}

absl::Status Connections::AdmitExempt(const std::shared_ptr<Connection>& connection, bool own) {
  const BootTime now = Clock::System().BootNow();
  if (connection == nullptr) {
    return exempt_unknown_.Take(now)
               ? absl::OkStatus()
               : Refuse(Reason::kRateLimited, "exempt calls of unknown connections");
  }
  const bool proved = connection->proved();
  const ExemptCalls::Answer answer =
      connection->exempt_.Ask({.own = own, .proved = proved, .now = now},
                              [&] { return exempt_hosts_.Take(connection->host(), now); });
  if (answer.refused.empty()) return absl::OkStatus();
  if (answer.ends) {
    const double cost = proved ? limits_.refused_cost : limits_.forged_cost;
    EndSoon(connection, answer.costs ? cost : 0);
  }
  return Refuse(Reason::kRateLimited, answer.refused);
}

void Connections::ExemptBegan(uint64_t id) {
  const std::shared_ptr<Connection> connection = Find(id);
  if (connection != nullptr) connection->exempt_.Began();
}

void Connections::ExemptDone(uint64_t id) {
  const std::shared_ptr<Connection> connection = Find(id);
  if (connection != nullptr) connection->exempt_.Done();
}

}  // namespace forekey
