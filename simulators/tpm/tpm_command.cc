// SPDX-License-Identifier: Apache-2.0
#include "simulators/tpm/tpm_command.h"

#include <signal.h>

#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "simulators/tpm/tpm_simulator.h"
#include "simulators/trust_out.h"
#include "src/base/status.h"

namespace forekey {
namespace {

struct Options {
  std::string state;
  std::string trust_out;
  bool json = false;
  unsigned latency_ms = 0;
  unsigned busy = 0;
  bool locked_out = false;
  int vanish_after = -1;
  bool no_ek_certificate = false;
  bool intermediate = false;
};

void Announce(const TpmSimulator& tpm, const Options& options) {
  const std::string& trust = options.trust_out.empty() ? tpm.trust_directory() : options.trust_out;
  if (options.json) {
    nlohmann::json line = {{"uri", tpm.uri()},
                           {"tcti", tpm.tcti()},
                           {"trust", trust},
                           {"state", tpm.state_directory()},
                           {"requests", tpm.socket_path() + ".sim"}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%s\n", tpm.uri().c_str());
    std::fprintf(stderr,
                 "serving %s\n  TPM2TOOLS_TCTI=%s for tpm2-tools\n  trust its CA: %s\n  "
                 "requests: %s.sim (see simulators/README.md)\n  ends on SIGTERM or ^C\n",
                 tpm.uri().c_str(), tpm.tcti().c_str(), trust.c_str(), tpm.socket_path().c_str());
  }
  std::fflush(stdout);
}

absl::Status Serve(const Options& options) {
  // Blocked before any thread starts, so that sigwait below is the only one to see them.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  TpmSimulatorConfig config;
  config.state_directory = options.state;
  config.manufacture.ek_certificates = !options.no_ek_certificate;
  config.manufacture.intermediate = options.intermediate;
  config.misbehaviour.latency = absl::Milliseconds(options.latency_ms);
  config.misbehaviour.fail_code = 0x922;  // TPM_RC_RETRY
  config.misbehaviour.fail_count = static_cast<int>(options.busy);
  if (options.vanish_after >= 0) config.misbehaviour.vanish_after = options.vanish_after;
  config.locked_out = options.locked_out;
  FOREKEY_ASSIGN_OR_RETURN(auto tpm, TpmSimulator::Start(config));
  if (!options.trust_out.empty()) {
    FOREKEY_RETURN_IF_ERROR(CopyTrust(tpm->trust_directory(), options.trust_out));
  }
  Announce(*tpm, options);
  int received = 0;
  sigwait(&signals, &received);
  return tpm->Stop();
}

}  // namespace

void AddTpmCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "tpm",
      "Makes a TPM 2.0 (swtpm, EK certificates by a CA of its own), serves it, prints its URI.");
  command->add_option(
      "--state", options->state,
      "Folder that keeps the TPM, to serve the same one again later; made if missing. "
      "Default: a temporary one, removed at the end");
  command->add_option("--trust-out", options->trust_out,
                      "Folder that gets the CA certificates to trust");
  command->add_flag("--json", options->json, "Print one line of JSON instead of the URI");
  command->add_option("--latency-ms", options->latency_ms, "Answer each command that much later");
  command->add_option("--busy", options->busy, "Answer the first N commands with TPM_RC_RETRY");
  command->add_flag("--locked-out", options->locked_out,
                    "The dictionary-attack lockout is in force (only keys without password work)");
  command->add_option("--vanish-after", options->vanish_after,
                      "After N commands the TPM is gone in the middle of the next one");
  command->add_flag("--no-ek-certificate", options->no_ek_certificate,
                    "A TPM whose manufacturer gave it none (only when it is made)");
  command->add_flag("--intermediate", options->intermediate,
                    "EK certificates by an issuing CA whose certificate is in NV (only when made)");
  command->footer(
      "Example:\n  forekey-sim tpm --state ./tpm --trust-out ./trust &\n"
      "  TPM2TOOLS_TCTI=swtpm:path=./tpm/tpm.sock tpm2_getcap properties-fixed\n"
      "Misbehaviour at run time: send a line such as `latency 200`, `busy 3`, `vanish`, `return` "
      "or\n"
      "`lockout on` to the socket <state>/tpm.sock.sim; it answers `ok` or `error <why>`.\n"
      "Exit status: 0 ended when told to, 1 could not start or did not end cleanly.");
  command->callback([options, exit_code] {
    absl::Status status = Serve(*options);
    if (!status.ok())
      std::fprintf(stderr, "forekey-sim tpm: %s\n", std::string(status.message()).c_str());
    *exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace forekey
