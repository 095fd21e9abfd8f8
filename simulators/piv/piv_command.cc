// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/piv_command.h"

#include <signal.h>
#include <stdlib.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "simulators/piv/control_socket.h"
#include "simulators/piv/piv_simulator.h"
#include "simulators/trust_out.h"
#include "src/base/status.h"

namespace forekey {
namespace {

using piv::PivSimulator;

struct PivOptions {
  piv::PivSimulatorConfig simulator;
  std::string trust_out, control, firmware = "5.4.3", management, key_algorithm;
  bool plain = false, manual_touch = false, short_apdus = false, json = false;
};

absl::StatusOr<piv::Firmware> ParseFirmware(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  uint32_t number[3] = {};
  for (size_t i = 0; i < parts.size() && parts.size() == 3; ++i) {
    if (!absl::SimpleAtoi(parts[i], &number[i]) || number[i] > 255) number[0] = 256;
  }
  if (parts.size() != 3 || number[0] > 255) {
    return absl::InvalidArgumentError("--firmware takes three numbers, such as 5.4.3");
  }
  return piv::Firmware{static_cast<uint8_t>(number[0]), static_cast<uint8_t>(number[1]),
                       static_cast<uint8_t>(number[2])};
}

absl::StatusOr<std::optional<piv::Algorithm>> ParseManagement(const std::string& name) {
  if (name.empty()) return std::optional<piv::Algorithm>();
  if (name == "3des") return piv::Algorithm::kTripleDes;
  if (name == "aes128") return piv::Algorithm::kAes128;
  if (name == "aes192") return piv::Algorithm::kAes192;
  if (name == "aes256") return piv::Algorithm::kAes256;
  return absl::InvalidArgumentError("--management-key-algorithm is 3des, aes128, aes192 or aes256");
}

absl::StatusOr<std::optional<piv::Algorithm>> ParseKeyAlgorithm(const std::string& name) {
  if (name.empty()) return std::optional<piv::Algorithm>();
  if (name == "eccp256") return piv::Algorithm::kP256;
  if (name == "eccp384") return piv::Algorithm::kP384;
  if (name == "rsa2048") return piv::Algorithm::kRsa2048;
  if (name == "rsa3072") return piv::Algorithm::kRsa3072;
  return absl::InvalidArgumentError("--key-algorithm is eccp256, eccp384, rsa2048 or rsa3072");
}

void AnnouncePiv(const PivSimulator& card, const PivOptions& options) {
  const std::string& trust = options.trust_out.empty() ? card.trust_directory() : options.trust_out;
  if (options.json) {
    nlohmann::json line = {
        {"uri", card.uri()}, {"socket", card.socket()},         {"reader", card.reader()},
        {"trust", trust},    {"state", card.state_directory()}, {"control", options.control}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("PCSCLITE_CSOCK_NAME=%s\n%s\n", card.socket().c_str(), card.uri().c_str());
    std::fprintf(
        stderr,
        "serving a PIV card in reader '%s'\n  export PCSCLITE_CSOCK_NAME=%s for PC/SC programs\n"
        "  trust its CA: %s\n%s%s%s  ends on SIGTERM or ^C\n",
        card.reader().c_str(), card.socket().c_str(), trust.c_str(),
        options.control.empty() ? "" : "  requests: ", options.control.c_str(),
        options.control.empty() ? "" : " (see simulators/README.md)\n");
  }
  std::fflush(stdout);
}

absl::Status ServePiv(PivOptions& options) {
  // Blocked before any thread starts, so that sigwait below is the only one to see them.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  piv::PivConfig& card = options.simulator.card;
  FOREKEY_ASSIGN_OR_RETURN(card.firmware, ParseFirmware(options.firmware));
  FOREKEY_ASSIGN_OR_RETURN(card.management_algorithm, ParseManagement(options.management));
  FOREKEY_ASSIGN_OR_RETURN(card.key_algorithm, ParseKeyAlgorithm(options.key_algorithm));
  if (card.key_algorithm.has_value() && !options.plain) {
    return absl::InvalidArgumentError(
        "--key-algorithm is of the keys that a --plain card comes with");
  }
  if (options.plain) card.kind = piv::PivConfig::Kind::kPlainCard;
  card.extended_apdus = !options.short_apdus;
  options.simulator.auto_touch = !options.manual_touch;
  if (!options.simulator.pcscd_socket.empty()) {
    setenv("PCSCLITE_CSOCK_NAME", options.simulator.pcscd_socket.c_str(),
           1);  // for our own resets of the card
  }
  FOREKEY_ASSIGN_OR_RETURN(auto simulator, PivSimulator::Start(options.simulator));
  if (!options.trust_out.empty()) {
    FOREKEY_RETURN_IF_ERROR(CopyTrust(simulator->trust_directory(), options.trust_out));
  }
  std::unique_ptr<piv::ControlSocket> control;
  if (!options.control.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(control, piv::ControlSocket::Listen(options.control, simulator.get()));
  }
  AnnouncePiv(*simulator, options);
  int received = 0;
  sigwait(&signals, &received);
  return absl::OkStatus();
}

}  // namespace

void AddPivCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<PivOptions>();
  piv::PivSimulatorConfig& simulator = options->simulator;
  piv::PivConfig& card = simulator.card;
  CLI::App* command = app.add_subcommand(
      "piv",
      "Makes a PIV card (a YubiKey's, or an agency's), serves it behind a pcscd of its own.");
  command->add_option(
      "--state", simulator.state_directory,
      "Folder that keeps the card, to serve the same one again later; made if missing. "
      "Default: a temporary one, removed at the end");
  command->add_option("--trust-out", options->trust_out,
                      "Folder that gets the CA certificates to trust");
  command->add_flag(
      "--plain", options->plain,
      "A card of an agency, with keys and certificates, without Yubico's commands (when made)");
  command->add_option("--firmware", options->firmware, "A YubiKey's firmware (when made)")
      ->capture_default_str();
  command->add_option("--serial", card.serial, "A YubiKey's serial number (when made)")
      ->capture_default_str();
  command->add_flag("--fips", card.fips, "A YubiKey FIPS (when made)");
  command->add_option("--pin", card.pin, "PIN (when made)")->capture_default_str();
  command->add_option("--puk", card.puk, "PUK (when made)")->capture_default_str();
  command->add_option("--management-key-algorithm", options->management,
                      "3des, aes128, aes192 or aes256; default: the firmware's (when made)");
  command->add_option(
      "--key-algorithm", options->key_algorithm,
      "Of a --plain card's keys: eccp256, eccp384, rsa2048 or rsa3072; default: rsa2048 in 9a, "
      "eccp256 in the others (when made)");
  command->add_flag("--short-apdus", options->short_apdus,
                    "The card refuses extended APDUs (when made)");
  command->add_flag("--manual-touch", options->manual_touch,
                    "Touches are given by the control socket alone");
  command->add_option("--reader", simulator.reader_name, "The reader's name");
  command->add_option("--socket", simulator.pcscd_socket,
                      "Where its pcscd listens; default: a temporary path");
  command->add_option("--misbehave", simulator.misbehaviours,
                      "What it does wrong, such as touch-never, slow=300, removed-in-mid-apdu=10 "
                      "(again and again)");
  command->add_option("--control", options->control,
                      "Socket that takes requests, such as `remove` (see below)");
  command->add_flag("--json", options->json, "Print one line of JSON instead");
  command->footer(
      "Example:\n  forekey-sim piv --socket ./pcscd.sock --control ./card.ctl --trust-out ./trust "
      "&\n"
      "  PCSCLITE_CSOCK_NAME=$PWD/pcscd.sock yubico-piv-tool -a status\n"
      "Requests on the control socket, a line each: remove, insert, unplug, plug-in, touch, "
      "auto-touch on|off,\n"
      "reset, restart-pcscd, misbehave NAME[=VALUE], behave, status.\n"
      "Exit status: 0 ended when told to, 1 could not start.");
  command->callback([options, exit_code] {
    absl::Status status = ServePiv(*options);
    if (!status.ok())
      std::fprintf(stderr, "forekey-sim piv: %s\n", std::string(status.message()).c_str());
    *exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace forekey
