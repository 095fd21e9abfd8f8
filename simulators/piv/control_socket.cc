// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/control_socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "simulators/unix_socket.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

constexpr size_t kMaxRequest = 1024;

std::string Said(const absl::Status& status) {
  return status.ok() ? "ok" : absl::StrCat("error ", status.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<ControlSocket>> ControlSocket::Listen(const std::string& path,
                                                                     PivSimulator* simulator) {
  std::unique_ptr<ControlSocket> control(new ControlSocket(path, simulator));
  control->stop_.reset(eventfd(0, EFD_CLOEXEC));
  FOREKEY_ASSIGN_OR_RETURN(control->listener_, ListenOnUnixSocket(path, SOCK_STREAM));
  control->thread_ = std::thread([raw = control.get()] { raw->Loop(); });
  return control;
}

ControlSocket::~ControlSocket() {
  uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  if (listener_) unlink(path_.c_str());
}

// One client after the other: whoever holds a connection open holds up the others.
void ControlSocket::Loop() {
  while (true) {
    pollfd polled[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[1].revents != 0) return;
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client) Serve(client.get());
  }
}

void ControlSocket::Serve(int fd) {
  std::string input;
  while (input.size() <= kMaxRequest) {
    pollfd polled[2] = {{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[1].revents != 0) return;
    char buffer[256];
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return;
    input.append(buffer, got);
    for (size_t end; (end = input.find('\n')) != std::string::npos; input.erase(0, end + 1)) {
      const std::string answer = Answer(absl::string_view(input).substr(0, end)) + "\n";
      if (send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
    }
  }
}

std::string ControlSocket::Answer(absl::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.empty()) return "error empty request";
  const std::string& verb = words[0];
  if (verb == "misbehave" && words.size() == 2) {
    absl::Status status;
    simulator_->card().WithApplet([&](PivApplet& applet) {
      status = AddMisbehaviour(words[1], &applet.misbehaviour(), &applet.state());
    });
    return Said(status);
  }
  if (verb == "auto-touch" && words.size() == 2 && (words[1] == "on" || words[1] == "off")) {
    simulator_->card().SetAutoTouch(words[1] == "on");
    return "ok";
  }
  if (words.size() != 1) return "error unknown request, or too many words";
  if (verb == "behave") {
    simulator_->Misbehave({});
  } else if (verb == "remove") {
    simulator_->Remove();
  } else if (verb == "insert") {
    simulator_->Insert();
  } else if (verb == "unplug") {
    return Said(simulator_->Unplug());
  } else if (verb == "plug-in") {
    return Said(simulator_->PlugIn());
  } else if (verb == "touch") {
    return simulator_->Touch() ? "ok" : "error the card waits for no touch";
  } else if (verb == "reset") {
    return Said(simulator_->ResetByOther());
  } else if (verb == "restart-pcscd") {
    const absl::Status restarted = simulator_->RestartPcscd();
    return Said(restarted.ok() ? simulator_->AwaitReader() : restarted);
  } else if (verb == "status") {
    const CardServer::Counts counts = simulator_->card().counts();
    nlohmann::json json = {{"present", simulator_->card().present()},
                           {"commands", counts.commands},
                           {"signatures", counts.signatures},
                           {"power_ups", counts.power_ups},
                           {"resets", counts.resets}};
    simulator_->card().WithApplet([&](PivApplet& applet) {
      json["pin_tries"] = applet.state().pin_tries_left;
      json["puk_tries"] = applet.state().puk_tries_left;
      json["pin_verified"] = applet.pin_verified();
    });
    return "ok " + json.dump();
  } else {
    return "error unknown request; known: remove, insert, unplug, plug-in, touch, auto-touch "
           "on|off, reset, "
           "restart-pcscd, misbehave NAME[=VALUE], behave, status";
  }
  return "ok";
}

}  // namespace forekey::piv
