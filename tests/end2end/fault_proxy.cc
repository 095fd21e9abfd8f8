// SPDX-License-Identifier: Apache-2.0
#include "tests/end2end/fault_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace forekey::testing {
namespace {

constexpr size_t kMaxWaiting = 64 * 1024;

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

FaultProxy::FaultProxy(int server_port) : server_port_(server_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("fault proxy"), std::abort();
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

FaultProxy::~FaultProxy() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_, 1);
  thread_.join();
  close(listener_);
  close(wake_);
}

void FaultProxy::Set(Fault fault) {
  absl::MutexLock lock(&mutex_);
  fault_ = fault;
}

void FaultProxy::Order(const std::function<void()>& change) {
  {
    absl::MutexLock lock(&mutex_);
    change();
  }
  eventfd_write(wake_, 1);
}

void FaultProxy::CutAll() {
  Order([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { orders_.cut_all = true; });
}

void FaultProxy::Release() {
  Order([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { orders_.release = true; });
}

void FaultProxy::Strike(Fault::Kind kind, bool from_client) {
  Order([=, this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    orders_.strike = true;
    orders_.kind = kind;
    orders_.from_client = from_client;
  });
}

void FaultProxy::ReverseNext(size_t count) {
  absl::MutexLock lock(&mutex_);
  reverse_ = count;
}

void FaultProxy::Obey(const Orders& orders, Link& link) {
  if (orders.cut_all) return Close(link, /*reset=*/true);
  if (orders.release) {
    link.up.faulty = link.down.faulty = false;
    link.fault = Fault();
  }
  if (orders.strike) {
    Pipe& pipe = orders.from_client ? link.up : link.down;
    link.fault = {orders.kind, orders.from_client, pipe.carried};
    link.met = false;
    pipe.faulty = true;
  }
}

void FaultProxy::Close(Link& link, bool reset) {
  for (int fd : {link.client, link.server}) {
    const linger now = {1, 0};
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
  }
  link.dead = true;
}

void FaultProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  {
    absl::MutexLock lock(&mutex_);
    if (reverse_ != 0) held_clients_.push_back(client);
    if (held_clients_.size() < reverse_) return;
    reverse_ = 0;
  }
  if (held_clients_.empty()) return Connect(client);
  while (!held_clients_.empty()) {
    Connect(held_clients_.back());
    held_clients_.pop_back();
  }
}

void FaultProxy::Connect(int client) {
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(server_port_);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(client);
    close(server);
    return;
  }
  SetNonBlocking(server);
  Link& link = links_.emplace_back();
  link.client = client;
  link.server = server;
  link.up.from = link.down.to = client;
  link.up.to = link.down.from = server;
  absl::MutexLock lock(&mutex_);
  link.fault = fault_;
  (fault_.from_client ? link.up : link.down).faulty = fault_.kind != Fault::Kind::kNone;
}

void FaultProxy::Meet(Link& link, Pipe& pipe) {
  if (!link.met) ++faults_;
  link.met = true;
  switch (link.fault.kind) {
    case Fault::Kind::kCut:
      return Close(link, /*reset=*/true);
    case Fault::Kind::kTruncate:
      return Close(link, /*reset=*/false);
    case Fault::Kind::kHalfClose:
      shutdown(pipe.to, SHUT_WR);
      pipe.ended = true;
      return;
    default:
      return;
  }
}

bool FaultProxy::Stalled(const Link& link, const Pipe& pipe) {
  return pipe.faulty && link.fault.kind == Fault::Kind::kStall &&
         pipe.carried >= link.fault.after_bytes;
}

void FaultProxy::Carry(Link& link, Pipe& pipe, short events_from, short events_to) {
  const bool met = pipe.faulty && pipe.carried >= link.fault.after_bytes;
  if (met && !pipe.ended && link.fault.kind != Fault::Kind::kDribble) {
    Meet(link, pipe);
    if (link.dead) return;
  }
  // What came is kept and nothing more is read, an end neither: the sender's window fills.
  if (Stalled(link, pipe)) {
    if ((events_from & (POLLHUP | POLLERR)) != 0) Close(link, /*reset=*/true);
    return;
  }
  if ((events_from & (POLLIN | POLLHUP | POLLERR)) != 0 && !pipe.ended) {
    char buffer[4096];
    const ssize_t got = read(pipe.from, buffer, sizeof(buffer));
    if (got > 0) {
      if (!met || link.fault.kind == Fault::Kind::kDribble)
        pipe.waiting.append(buffer, static_cast<size_t>(got));
    } else if (got == 0) {
      pipe.ended = true;
      if (pipe.waiting.empty()) shutdown(pipe.to, SHUT_WR);
    } else if (errno != EAGAIN && errno != EINTR) {
      return Close(link, /*reset=*/true);
    }
  }
  if (!pipe.waiting.empty() && (events_to & POLLOUT) != 0) {
    size_t size = pipe.waiting.size();
    if (pipe.faulty && link.fault.kind == Fault::Kind::kDribble && met) {
      Meet(link, pipe);
      size = 1;
    } else if (pipe.faulty) {
      size =
          std::min(size, link.fault.after_bytes - std::min(pipe.carried, link.fault.after_bytes));
    }
    const ssize_t put = size == 0 ? 0 : write(pipe.to, pipe.waiting.data(), size);
    if (put > 0) {
      pipe.carried += static_cast<size_t>(put);
      pipe.waiting.erase(0, static_cast<size_t>(put));
      if (pipe.ended && pipe.waiting.empty()) shutdown(pipe.to, SHUT_WR);
    } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
      return Close(link, /*reset=*/true);
    }
    // What is beyond a fault goes nowhere; a stall keeps it.
    if (size == 0 && link.fault.kind != Fault::Kind::kStall) pipe.waiting.clear();
  }
  if (link.up.ended && link.down.ended && link.up.waiting.empty() && link.down.waiting.empty()) {
    Close(link, /*reset=*/false);
  }
}

void FaultProxy::Run() {
  for (;;) {
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    for (const Link& link : links_) {
      auto interest = [&link](const Pipe& in, const Pipe& out) {
        short events = 0;
        if (!in.ended && in.waiting.size() < kMaxWaiting && !Stalled(link, in)) events |= POLLIN;
        if (!out.waiting.empty() && !Stalled(link, out)) events |= POLLOUT;
        return events;
      };
      polled.push_back({link.client, interest(link.up, link.down), 0});
      polled.push_back({link.server, interest(link.down, link.up), 0});
      // A side that ended is not asked again: it would be ready for ever.
      if (link.up.ended && polled[polled.size() - 2].events == 0) polled[polled.size() - 2].fd = -1;
      if (link.down.ended && polled.back().events == 0) polled.back().fd = -1;
    }
    poll(polled.data(), polled.size(), 1000);
    Orders orders;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
      orders = std::exchange(orders_, Orders());
    }
    eventfd_t drained;
    eventfd_read(wake_, &drained);
    size_t i = 2;
    for (Link& link : links_) {
      const short client = polled[i].revents, server = polled[i + 1].revents;
      i += 2;
      Obey(orders, link);
      if (!link.dead) Carry(link, link.up, client, server);
      if (!link.dead) Carry(link, link.down, server, client);
    }
    links_.remove_if([](const Link& link) { return link.dead; });
    if (polled[0].revents != 0) Accept();
    open_ = links_.size() + held_clients_.size();
  }
  for (int client : held_clients_) close(client);
  for (Link& link : links_) Close(link, /*reset=*/false);
}

}  // namespace forekey::testing
