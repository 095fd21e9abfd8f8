// SPDX-License-Identifier: Apache-2.0
// The control socket's requests: see simulators/README.md.
#include <sys/socket.h>

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "simulators/fido2/fido2_simulator.h"

namespace forekey::fido2sim {

void Fido2Simulator::ServeControl(Client& client) {
  size_t end;
  while (!client.closing && (end = client.input.find('\n')) != std::string::npos) {
    const std::string line = client.input.substr(0, end);
    client.input.erase(0, end + 1);
    const std::string answer = AnswerControl(line) + "\n";
    if (send(client.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
        static_cast<ssize_t>(answer.size())) {
      client.closing = true;
    }
  }
  if (client.input.size() > 1024) client.closing = true;
}

std::string Fido2Simulator::AnswerControl(absl::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  const bool argument = words.size() == 2;
  if (line == "touch") {
    {
      absl::MutexLock lock(&mutex_);
      if (!asked_) return "error nobody asks for a touch";
      asked_ = false;
    }
    (waiting_ ? touched_ : latched_) = true;
    return "ok";
  }
  if (line == "auto-touch on" || line == "auto-touch off") {
    authenticator_->config().auto_touch = line == "auto-touch on";
    return "ok";
  }
  if (line == "unplug") return PullOut(), "ok";
  int number = 0;
  if (argument && (words[0] == "unplug" || words[0] == "busy")) {
    if (!absl::SimpleAtoi(words[1], &number) || number < 0) {
      return absl::StrCat("error not a number of commands: ", words[1]);
    }
    if (words[0] == "busy")
      busy_left_ = number;
    else
      commands_left_ = number;
    return "ok";
  }
  if (line == "replug") {
    PullOut();
    const absl::Status status = PlugIn();
    return status.ok() ? "ok" : absl::StrCat("error ", status.message());
  }
  if (line == "behave") {
    authenticator_->misbehaviours().clear();
    commands_left_.reset();
    busy_left_ = 0;
    return "ok";
  }
  if (argument && words[0] == "misbehave") {
    const auto misbehaviour = MisbehaviourFromName(words[1]);
    if (!misbehaviour) return absl::StrCat("error no misbehaviour is called ", words[1]);
    authenticator_->misbehaviours().insert(*misbehaviour);
    return "ok";
  }
  if (line == "status") {
    const State& state = authenticator_->state();
    nlohmann::json status = {{"present", plugged_},
                             {"commands", commands_},
                             {"waits_for_touch", waiting_},
                             {"credentials", state.credentials.size()},
                             {"pin_set", !state.pin_hash.empty()},
                             {"pin_retries", state.pin_retries},
                             {"counter", state.counter},
                             {"pty", pty_path_}};
    return absl::StrCat("ok ", status.dump());
  }
  return "error not understood: touch, auto-touch on|off, unplug [N], replug, busy N, misbehave "
         "NAME, behave, status";
}

}  // namespace forekey::fido2sim
