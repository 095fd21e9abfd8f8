// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/card_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "simulators/piv/ifd/ifd_protocol.h"
#include "simulators/unix_socket.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

std::string Byte(uint8_t value) { return std::string(1, static_cast<char>(value)); }

}  // namespace

CardServer::CardServer(PivState state, Options options)
    : options_(std::move(options)),
      applet_(std::move(state),
              {.touch = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return WaitForTouch(); },
               .key_use =
                   [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
                     Spend(applet_.misbehaviour().key_latency);
                   },
               .save =
                   [this](const PivState& changed) {
                     return options_.state_directory.empty()
                                ? absl::OkStatus()
                                : changed.Save(options_.state_directory);
                   }}),
      auto_touch_(options_.auto_touch) {}

absl::StatusOr<std::unique_ptr<CardServer>> CardServer::Start(PivState state, Options options) {
  std::unique_ptr<CardServer> server(new CardServer(std::move(state), std::move(options)));
  FOREKEY_ASSIGN_OR_RETURN(server->listener_,
                           ListenOnUnixSocket(server->options_.socket_path, SOCK_SEQPACKET));
  server->accept_thread_ = std::thread([raw = server.get()] { raw->AcceptLoop(); });
  return server;
}

CardServer::~CardServer() {
  std::list<Connection> connections;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (listener_) shutdown(listener_.get(), SHUT_RDWR);
    for (Connection& connection : connections_) shutdown(connection.fd.get(), SHUT_RDWR);
  }
  if (accept_thread_.joinable()) accept_thread_.join();
  {
    absl::MutexLock lock(&mutex_);
    connections.swap(connections_);
  }
  for (Connection& connection : connections) connection.thread.join();
  if (listener_) unlink(options_.socket_path.c_str());
}

void CardServer::AcceptLoop() {
  while (true) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    // Threads of connections that have ended are joined here.
    connections_.remove_if([](Connection& connection) {
      if (connection.done) connection.thread.join();
      return connection.done;
    });
    if (!fd) continue;
    Connection& connection = connections_.emplace_back();
    connection.fd = std::move(fd);
    connection.thread = std::thread([this, &connection] {
      Serve(connection.fd.get());
      absl::MutexLock done(&mutex_);
      connection.done = true;
    });
  }
}

void CardServer::Serve(int fd) {
  std::string buffer(ifd::kMaxMessage, '\0');
  uint64_t seen =
      0;  // so that the first wait ends at once: a change before it may have gone unseen
  while (true) {
    ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    std::string answer;
    {
      absl::MutexLock lock(&mutex_);
      answer = Answer(absl::string_view(buffer.data(), got), &seen);
      if (stopping_) return;
    }
    if (send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(answer.size()))
      return;
  }
}

std::string CardServer::Answer(absl::string_view request, uint64_t* seen) {
  const uint8_t what = static_cast<uint8_t>(request[0]);
  if (what == ifd::kWait) {
    auto changed = [this, seen]()
                       ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopping_ || changes_ != *seen; };
    mutex_.Await(absl::Condition(&changed));
    *seen = changes_;
  }
  if (what == ifd::kPolled && std::exchange(removal_unseen_, false)) {
    ++changes_;
    return Byte(ifd::kAbsent);
  }
  if (!card_present_ || (what != ifd::kWait && removal_unseen_)) return Byte(ifd::kAbsent);
  if (what == ifd::kPowerUp || what == ifd::kReset) {
    ++(what == ifd::kReset ? counts_.resets : counts_.power_ups);
    applet_.Reset();
    powered_ = true;
    return Byte(ifd::kPresent) + options_.atr;
  }
  if (what == ifd::kPowerDown) {
    applet_.Reset();
    powered_ = false;
  }
  if (what == ifd::kTransmit) return powered_ ? Transmit(request.substr(1)) : Byte(ifd::kAbsent);
  return Byte(ifd::kPresent);
}

std::string CardServer::Transmit(absl::string_view command) {
  PivMisbehaviour& misbehaviour = applet_.misbehaviour();
  const uint64_t before = changes_;
  ++counts_.commands;
  const bool goes = misbehaviour.remove_after && (*misbehaviour.remove_after)-- <= 0;
  if (misbehaviour.reset_after && (*misbehaviour.reset_after)-- <= 0) {
    misbehaviour.reset_after.reset();
    options_.reset_by_other();
  }
  busy_ = true;
  Spend(misbehaviour.latency);
  std::string answer;
  if (changes_ == before && (!goes || misbehaviour.executes_before_removal))
    answer = applet_.Process(command);
  busy_ = false;
  counts_.signatures = applet_.signatures();
  if (goes) {
    misbehaviour.remove_after.reset();
    card_present_ = false;
    removal_unseen_ = true;
    powered_ = false;
    ++changes_;
    applet_.Reset();
  }
  // Gone meanwhile, even where it is back by now.
  if (changes_ != before) return Byte(ifd::kAbsent);
  return Byte(ifd::kPresent) + answer;
}

void CardServer::Spend(absl::Duration time) {
  if (time <= absl::ZeroDuration()) return;
  const uint64_t before = changes_;
  auto gone = [this, before]()
                  ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopping_ || changes_ != before; };
  mutex_.AwaitWithTimeout(absl::Condition(&gone), time);
}

bool CardServer::WaitForTouch() {
  const bool never = applet_.misbehaviour().touch_never;
  if (auto_touch_ && !never) return true;
  const uint64_t before = changes_;
  touch_due_ = !never;
  touched_ = false;
  auto over = [this, before]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return stopping_ || changes_ != before || touched_;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&over), options_.touch_timeout);
  touch_due_ = false;
  return std::exchange(touched_, false) && changes_ == before;
}

bool CardServer::Touch() {
  absl::MutexLock lock(&mutex_);
  touched_ = touch_due_;
  return touched_;
}

bool CardServer::WaitUntilTouchIsDue(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&touch_due_), timeout);
}

void CardServer::SetAutoTouch(bool on) {
  absl::MutexLock lock(&mutex_);
  auto_touch_ = on;
}

void CardServer::SetPresence(bool present) {
  absl::MutexLock lock(&mutex_);
  if (card_present_ == present) return;
  card_present_ = present;
  removal_unseen_ = removal_unseen_ || !present;
  powered_ = false;
  ++changes_;
  auto idle = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !busy_; };
  mutex_.Await(absl::Condition(&idle));
  applet_.Reset();
}

void CardServer::Remove() { SetPresence(false); }
void CardServer::Insert() { SetPresence(true); }

bool CardServer::present() {
  absl::MutexLock lock(&mutex_);
  return card_present_;
}

void CardServer::WithApplet(absl::FunctionRef<void(PivApplet&)> use) {
  absl::MutexLock lock(&mutex_);
  auto idle = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !busy_; };
  mutex_.Await(absl::Condition(&idle));
  use(applet_);
}

CardServer::Counts CardServer::counts() {
  absl::MutexLock lock(&mutex_);
  return counts_;
}

}  // namespace forekey::piv
