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
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 64) != 0 ||
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

void FaultProxy::CutAll() {
  {
    absl::MutexLock lock(&mutex_);
    cut_all_ = true;
  }
  eventfd_write(wake_, 1);
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
    case Fault::Kind::kCut: return Close(link, /*reset=*/true);
    case Fault::Kind::kTruncate: return Close(link, /*reset=*/false);
    case Fault::Kind::kHalfClose:
      shutdown(pipe.to, SHUT_WR);
      pipe.ended = true;
      return;
    default: return;
  }
}

void FaultProxy::Carry(Link& link, Pipe& pipe, short events_from, short events_to) {
  const bool met = pipe.faulty && pipe.carried >= link.fault.after_bytes;
  if (met && !pipe.ended && link.fault.kind != Fault::Kind::kDribble) {
    Meet(link, pipe);
    // A stall keeps what came, and the sender's window fills.
    if (link.dead) return;
  }
  if ((events_from & (POLLIN | POLLHUP | POLLERR)) != 0 && !pipe.ended) {
    char buffer[4096];
    const ssize_t got = read(pipe.from, buffer, sizeof(buffer));
    if (got > 0) {
      if (!met || link.fault.kind == Fault::Kind::kDribble) pipe.waiting.append(buffer, static_cast<size_t>(got));
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
      size = std::min(size, link.fault.after_bytes - std::min(pipe.carried, link.fault.after_bytes));
    }
    const ssize_t put = size == 0 ? 0 : write(pipe.to, pipe.waiting.data(), size);
    if (put > 0) {
      pipe.carried += static_cast<size_t>(put);
      pipe.waiting.erase(0, static_cast<size_t>(put));
      if (pipe.ended && pipe.waiting.empty()) shutdown(pipe.to, SHUT_WR);
    } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
      return Close(link, /*reset=*/true);
    }
    if (size == 0) pipe.waiting.clear();  // what is beyond the fault goes nowhere
  }
  if (link.up.ended && link.down.ended && link.up.waiting.empty() && link.down.waiting.empty()) {
    Close(link, /*reset=*/false);
  }
}

void FaultProxy::Run() {
  for (;;) {
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    for (const Link& link : links_) {
      auto interest = [](const Pipe& in, const Pipe& out) {
        short events = 0;
        if (!in.ended && in.waiting.size() < kMaxWaiting) events |= POLLIN;
        if (!out.waiting.empty()) events |= POLLOUT;
        return events;
      };
      polled.push_back({link.client, interest(link.up, link.down), 0});
      polled.push_back({link.server, interest(link.down, link.up), 0});
      // A side that ended is not asked again: it would be ready for ever.
      if (link.up.ended && polled[polled.size() - 2].events == 0) polled[polled.size() - 2].fd = -1;
      if (link.down.ended && polled.back().events == 0) polled.back().fd = -1;
    }
    poll(polled.data(), polled.size(), 1000);
    bool cut_all;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
      cut_all = std::exchange(cut_all_, false);
    }
    eventfd_t drained;
    eventfd_read(wake_, &drained);
    size_t i = 2;
    for (Link& link : links_) {
      const short client = polled[i].revents, server = polled[i + 1].revents;
      i += 2;
      if (cut_all) Close(link, /*reset=*/true);
      if (!link.dead) Carry(link, link.up, client, server);
      if (!link.dead) Carry(link, link.down, server, client);
    }
    links_.remove_if([](const Link& link) { return link.dead; });
    if (polled[0].revents != 0) Accept();
  }
  for (Link& link : links_) Close(link, /*reset=*/false);
}

}  // namespace forekey::testing
