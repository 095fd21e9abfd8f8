// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/metrics_page_server.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/status.h"
#include "src/gate/grpc/listeners.h"

namespace forekey {
namespace {

constexpr size_t kLongestRequest = 8 * 1024;
constexpr int kLookMillis = 1000;

const char* WordsOf(int status) {
  switch (status) {
    case 200:
      return "200 OK";
    case 404:
      return "404 Not Found";
    case 405:
      return "405 Method Not Allowed";
    case 431:
      return "431 Request Header Fields Too Large";
    default:
      return "400 Bad Request";
  }
}

std::string Answer(int status, absl::string_view body) {
  return absl::StrCat("HTTP/1.1 ", WordsOf(status),
                      "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8"
                      "\r\nContent-Length: ",
                      body.size(), "\r\nConnection: close\r\n\r\n", body);
}

}  // namespace

int JudgePageRequest(absl::string_view bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == absl::string_view::npos) return bytes.size() > kLongestRequest ? 431 : 0;
  const absl::string_view line = bytes.substr(0, bytes.find("\r\n"));
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == absl::string_view::npos || first == last ||
      !absl::StartsWith(line.substr(last + 1), "HTTP/1.")) {
    return 400;
  }
  if (line.substr(0, first) != "GET") return 405;
  const absl::string_view target = line.substr(first + 1, last - first - 1);
  return target.substr(0, target.find('?')) == "/metrics" ? 200 : 404;
}

MetricsPageServer::MetricsPageServer(std::function<std::string()> page, Options options)
    : page_(std::move(page)), options_(options) {}

absl::StatusOr<std::unique_ptr<MetricsPageServer>> MetricsPageServer::New(
    const std::string& address, std::function<std::string()> page, Options options) {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<Listeners> listeners, Listeners::New({address}));
  std::unique_ptr<MetricsPageServer> made(new MetricsPageServer(std::move(page), options));
  made->port_ = listeners->port();
  made->listener_ = std::exchange(listeners->fds().front(), -1);
  listeners->fds().clear();
  made->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->wake_ < 0) return absl::ErrnoToStatus(errno, "eventfd");
  made->thread_ = std::thread([server = made.get()] { server->Run(); });
  return made;
}

MetricsPageServer::~MetricsPageServer() {
  stopping_ = true;
  const uint64_t one = 1;
  while (wake_ >= 0 && write(wake_, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  if (thread_.joinable()) thread_.join();
  for (const Peer& peer : peers_) close(peer.fd);
  if (listener_ >= 0) close(listener_);
  if (wake_ >= 0) close(wake_);
}

void MetricsPageServer::Run() {
  BootTime paused_until;
  while (!stopping_) {
    const int64_t paused = paused_until.NanosSince(Clock::System().BootNow());
    std::vector<pollfd> waiting = {{wake_, POLLIN, 0}, {paused > 0 ? -1 : listener_, POLLIN, 0}};
    for (const Peer& peer : peers_) {
      waiting.push_back({peer.fd, static_cast<int16_t>(peer.answer.empty() ? POLLIN : POLLOUT), 0});
    }
    const int64_t pause_millis = paused / 1'000'000 + 1;
    poll(waiting.data(), waiting.size(),
         paused > 0 ? static_cast<int>(std::min<int64_t>(pause_millis, kLookMillis)) : kLookMillis);
    looks_.fetch_add(1, std::memory_order_relaxed);
    const BootTime now = Clock::System().BootNow();
    size_t i = 2;
    for (auto peer = peers_.begin(); peer != peers_.end(); ++i) {
      const bool done = waiting[i].revents != 0 ? !Serve(*peer) : now >= peer->until;
      if (done) close(peer->fd);
      peer = done ? peers_.erase(peer) : std::next(peer);
    }
    if (waiting[1].revents != 0 && !Accept()) {
      paused_until = now + options_.pause;
    }
  }
}

bool MetricsPageServer::Accept() {
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return errno == EAGAIN;
    if (peers_.size() >= options_.connections) {
      close(peers_.front().fd);
      peers_.pop_front();
    }
    peers_.push_back({fd, Clock::System().BootNow() + options_.patience, "", ""});
    // What a scraper sends is here already, mostly: it is served before anybody can send it away.
    if (!Serve(peers_.back())) {
      close(fd);
      peers_.pop_back();
    }
  }
}

bool MetricsPageServer::Receive(Peer& peer) {
  char buffer[2048];
  const ssize_t got = recv(peer.fd, buffer, sizeof(buffer), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  peer.request.append(buffer, static_cast<size_t>(got));
  const int status = JudgePageRequest(peer.request);
  if (status == 0) return true;
  peer.answer = Answer(status, status == 200 ? page_() : absl::StrCat(WordsOf(status), "\n"));
  peer.request.clear();
  return true;
}

bool MetricsPageServer::Serve(Peer& peer) {
  if (peer.answer.empty() && !Receive(peer)) return false;
  if (peer.answer.empty()) return true;
  const ssize_t sent = send(peer.fd, peer.answer.data(), peer.answer.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  peer.answer.erase(0, static_cast<size_t>(sent));
  return !peer.answer.empty();
}

}  // namespace forekey
