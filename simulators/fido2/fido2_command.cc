// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/fido2_command.h"

#include <signal.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "simulators/fido2/fido2_simulator.h"
#include "src/base/status.h"

namespace forekey {
namespace {

struct FidoOptions {
  fido2sim::SimulatorOptions simulator;
  std::string trust_out, attestation = "packed-x5c";
  std::vector<std::string> misbehaviours;
  bool json = false, uv = false;
  unsigned delay_ms = 0, touch_timeout_ms = 30000;
};

std::string MisbehaviourList() {
  std::string out;
  for (const auto& entry : fido2sim::kMisbehaviourNames) {
    absl::StrAppend(&out, "  ", entry.name,
                    std::string(24 - std::min<size_t>(entry.name.size(), 23), ' '), entry.what,
                    "\n");
  }
  return out;
}

void AnnounceToken(fido2sim::Fido2Simulator& token, const FidoOptions& options) {
  const std::string pty = token.pty_path();
  if (options.json) {
    nlohmann::json line = {{"uri", token.uri()},
                           {"socket", token.socket_path()},
                           {"requests", token.control_path()},
                           {"pty", pty},
                           {"trust", options.trust_out}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%s\n", token.uri().c_str());
    std::fprintf(stderr, "serving %s\n", token.uri().c_str());
    if (!pty.empty())
      std::fprintf(stderr, "  fido2-token -I %s, and the other fido2-tools\n", pty.c_str());
    if (!options.trust_out.empty()) {
      std::fprintf(stderr, "  trust its CA: %s\n", options.trust_out.c_str());
    }
    std::fprintf(stderr, "  requests: %s (see simulators/README.md)\n  ends on SIGTERM or ^C\n",
                 token.control_path().c_str());
  }
  std::fflush(stdout);
}

absl::Status ServeToken(FidoOptions& options) {
  // Blocked before any thread starts, so that sigwait below is the only one to see them.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  fido2sim::Config& config = options.simulator.config;
  const auto attestation = fido2sim::AttestationKindFromName(options.attestation);
  if (!attestation) {
    return absl::InvalidArgumentError("--attestation is packed-x5c, packed-self, fido-u2f or none");
  }
  config.attestation = *attestation;
  config.built_in_uv = options.uv;
  config.delay = absl::Milliseconds(options.delay_ms);
  config.touch_timeout = absl::Milliseconds(options.touch_timeout_ms);
  for (const std::string& name : options.misbehaviours) {
    const auto misbehaviour = fido2sim::MisbehaviourFromName(name);
    if (!misbehaviour)
      return absl::InvalidArgumentError(absl::StrCat("no misbehaviour is called ", name));
    options.simulator.misbehaviours.insert(*misbehaviour);
  }
  FOREKEY_ASSIGN_OR_RETURN(auto token,
                           fido2sim::Fido2Simulator::Start(std::move(options.simulator)));
  if (!options.trust_out.empty()) FOREKEY_RETURN_IF_ERROR(token->WriteTrust(options.trust_out));
  AnnounceToken(*token, options);
  int received = 0;
  sigwait(&signals, &received);
  return absl::OkStatus();
}

}  // namespace

void AddFido2Command(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<FidoOptions>();
  CLI::App* command = app.add_subcommand(
      "fido2",
      "A FIDO2 security key (CTAP 2.1 and U2F, attestation by a CA of its own); prints its URI.");
  command->add_option(
      "--state", options->simulator.state_directory,
      "Folder that keeps its keys, PIN and CA, to serve the same one again later; made if "
      "missing. Default: none, it forgets at the end");
  command->add_option("--trust-out", options->trust_out,
                      "Folder that gets the CA certificate to trust");
  command->add_option(
      "--socket", options->simulator.socket_path,
      "Path of the socket that stands for the device (SOCK_SEQPACKET). Default: in --state");
  command->add_option("--control", options->simulator.control_path,
                      "Path of the socket for requests at run time. Default: <socket>.sim");
  command->add_flag("--pty", options->simulator.pty, "Also a pseudo-terminal, for fido2-tools");
  command->add_option(
      "--pin", options->simulator.pin,
      "Sets this PIN at the start, where it has none. Seen by every user in the list of "
      "processes: for tests");
  command->add_flag("--auto-touch", options->simulator.config.auto_touch,
                    "Touched whenever it asks");
  command->add_flag("--uv", options->uv, "Has a fingerprint reader: a touch verifies the user");
  command->add_option("--attestation", options->attestation,
                      "packed-x5c, packed-self, fido-u2f or none");
  command->add_option("--delay-ms", options->delay_ms, "Each command takes that much longer");
  command->add_option("--touch-timeout-ms", options->touch_timeout_ms,
                      "Waits that long for a touch");
  command->add_option("--misbehave", options->misbehaviours, "Does this wrong; may be given again");
  command->add_flag("--json", options->json, "Print one line of JSON instead of the URI");
  command->footer(absl::StrCat(
      "Example:\n  forekey-sim fido2 --state ./key --trust-out ./trust --pty --pin 1234 "
      "--auto-touch &\n"
      "  fido2-token -I /dev/pts/7      (the name that it printed)\n"
      "At run time: send a line such as `touch`, `unplug`, `replug`, `misbehave "
      "counter-rollback`,\n"
      "`behave` or `status` to the socket for requests; it answers `ok` or `error <why>`.\n"
      "Misbehaviours:\n",
      MisbehaviourList(), "Exit status: 0 ended when told to, 1 could not start."));
  command->callback([options, exit_code] {
    const absl::Status status = ServeToken(*options);
    if (!status.ok())
      std::fprintf(stderr, "forekey-sim fido2: %s\n", std::string(status.message()).c_str());
    *exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace forekey
