// SPDX-License-Identifier: Apache-2.0
// `forekey-gate init` and `check-config`: before there is a gate.
#include <unistd.h>

#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "src/cli/gate/gate_check.h"
#include "src/cli/gate/gate_doctor.h"
#include "src/cli/gate/gate_init.h"
#include "src/cli/gate/gate_terminal.h"
#include "src/cli/gate/gate_tls.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

struct InitArgs {
  GateInitOptions options;
  bool system = false, json = false;
};

// Asks for what must be known and was not given, where a person sits at both ends.
void AskForTheRest(GateInitOptions& options, std::ostream& out) {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) return;
  const auto ask = [&out](const char* question, std::string* answer) {
    if (!answer->empty()) return;
    out << question << std::flush;
    std::getline(std::cin, *answer);
  };
  ask("Folder for the configuration (for example ./gate): ", &options.directory);
  ask("The gate's own name, unique (for example orders.example.com): ", &options.audience);
  if (options.hosts.empty()) {
    std::string host;
    ask("Name or address that clients call (empty: localhost): ", &host);
    if (!host.empty()) options.hosts.push_back(host);
  }
  const auto trust = [&](const char* question, GateInitOptions::Trust& kind) {
    if (kind.simulators.empty() && kind.mds.empty()) ask(question, &kind.vendors);
  };
  trust("Folder of TPM vendors' roots (empty: no TPMs): ", options.tpm);
  trust("Folder of security keys' attestation roots (empty: no FIDO2): ", options.fido2);
  trust("Folder of smartcards' attestation roots (empty: no PIV): ", options.piv);
}

void PrintNext(const std::string& config, const InitArgs& args, std::ostream& out) {
  const ConfigCheck check = CheckGateConfig(config);
  out << "made " << config << "\n";
  for (const std::string& mistake : check.mistakes) out << "mistake: " << mistake << "\n";
  for (const std::string& warning : check.warnings) out << "note: " << warning << "\n";
  if (args.system) {
    out << "next: systemctl enable --now forekey-gate\n"
           "      forekey-gate invite --subject NAME\n";
    return;
  }
  out << "next: forekey-gate serve --config " << config << "\n      forekey-gate invite --config "
      << config << " --subject NAME\n";
}

void RunInit(InitArgs& args, const GateTerminal& terminal) {
  GateInitOptions& options = args.options;
  if (args.system) {
    if (options.directory.empty()) options.directory = kSystemConfigFolder;
    if (options.state.empty()) options.state = kSystemStateFolder;
    if (options.user.empty()) options.user = kSystemUser;
  }
  AskForTheRest(options, terminal.out);
  if (options.directory.empty() || options.audience.empty()) {
    return terminal.Fail(
        absl::InvalidArgumentError(
            "init needs --directory (or --system) and --audience; on a terminal it asks for them"),
        kGateNotRun);
  }
  if (options.fido2.mds.empty() != options.fido2.mds_root.empty()) {
    return terminal.Fail(absl::InvalidArgumentError("--fido2-mds and --fido2-mds-root go together"),
                         kGateNotRun);
  }
  absl::StatusOr<std::string> config = InitGate(options);
  if (!config.ok()) return terminal.Fail(config.status(), kGateFailed);
  *terminal.exit_status = kGateDone;
  if (args.json) {
    terminal.out << Json{{"config", *config}, {"warnings", CheckGateConfig(*config).warnings}}.dump(
                        2)
                 << "\n";
  } else {
    PrintNext(*config, args, terminal.out);
  }
}

void AddTrustOptions(CLI::App* command, const std::string& kind, const std::string& of,
                     GateInitOptions::Trust& trust) {
  command->add_option(absl::StrCat("--", kind, "-trust"), trust.vendors,
                      absl::StrCat("Folder of ", of, " root certificates"));
  command->add_option(absl::StrCat("--", kind, "-simulator-trust"), trust.simulators,
                      "Folder of simulators' roots: for tests alone");
}

void AddInit(CLI::App& app, const GateTerminal& terminal) {
  auto args = std::make_shared<InitArgs>();
  GateInitOptions& options = args->options;
  CLI::App* command = app.add_subcommand("init",
                                         "Make a folder with a config, a state folder and a "
                                         "self-signed TLS certificate, to begin with");
  command->add_option("--directory,-d", options.directory, "The folder");
  command->add_option("--audience", options.audience,
                      "The gate's own name, for example gate.example.com");
  command->add_flag("--system", args->system,
                    "For the packaged unit: /etc/forekey, state in /var/lib/forekey-gate, owned by "
                    "the user forekey-gate; takes root");
  command->add_option("--state", options.state, "Folder of the gate's state; default: state in it");
  command->add_option("--user", options.user, "Who the gate will run as; takes root");
  command->add_option("--listen", options.listen, "host:port to listen on")->capture_default_str();
  command->add_option("--advertise", options.advertise, "host:port that clients will call");
  command->add_option("--host", options.hosts,
                      "A name or address of the certificate; may be repeated");
  AddTrustOptions(command, "tpm", "TPM vendors'", options.tpm);
  AddTrustOptions(command, "fido2", "security keys' vendors'", options.fido2);
  command->add_option("--fido2-mds", options.fido2.mds, "A FIDO MDS3 BLOB");
  command->add_option("--fido2-mds-root", options.fido2.mds_root,
                      "The root that its signer chains to");
  AddTrustOptions(command, "piv", "smartcards' vendors'", options.piv);
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] { RunInit(*args, terminal); });
}

void AddCheckConfig(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string config_file = "/etc/forekey/gate.toml";
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command =
      app.add_subcommand("check-config", "Read a config and all that it names; change nothing");
  command->add_option("--config,-c", args->config_file, "The gate's configuration")
      ->capture_default_str();
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    const ConfigCheck check = CheckGateConfig(args->config_file);
    *terminal.exit_status = check.mistakes.empty() ? kGateDone : kGateFailed;
    if (args->json) {
      terminal.out << Json{{"valid", check.mistakes.empty()},
                           {"errors", check.mistakes},
                           {"warnings", check.warnings}}
                          .dump(2)
                   << "\n";
      return;
    }
    for (const std::string& mistake : check.mistakes) terminal.err << mistake << "\n";
    for (const std::string& warning : check.warnings) terminal.err << "note: " << warning << "\n";
    if (!check.mistakes.empty()) return;
    terminal.out << args->config_file
                 << (check.warnings.empty() ? ": good\n"
                                            : ": a gate starts with it; see the notes\n");
  });
}

// A command of `tls`: `add` adds its own options, and `run` has the gate's config, and whether one
// JSON value is wanted.
void AddTlsCommand(CLI::App& group, const GateTerminal& terminal, const std::string& name,
                   const std::string& description, const std::function<void(CLI::App&)>& add,
                   std::function<void(const GateConfig& config, bool json)> run) {
  struct Args {
    std::string config_file = "/etc/forekey/gate.toml";
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = group.add_subcommand(name, description);
  command->add_option("--config,-c", args->config_file, "The gate's configuration")
      ->capture_default_str();
  add(*command);
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal, run = std::move(run)] {
    const absl::StatusOr<GateConfig> config = terminal.LoadConfig(args->config_file, {"tls"});
    if (!config.ok()) return terminal.Fail(config.status(), kGateNotRun);
    run(*config, args->json);
  });
}

// What a new certificate of the gate's is good for: `text`, or the same as JSON.
void TellCertificate(const GateTerminal& terminal, const GateConfig& config,
                     const absl::StatusOr<absl::Time>& end, bool json, absl::string_view text) {
  if (!end.ok()) return terminal.Fail(end.status(), kGateFailed);
  *terminal.exit_status = kGateDone;
  if (json) {
    terminal.out << Json{{"certificate", config.tls.certificate},
                         {"expires", TimeText(absl::ToUnixSeconds(*end))}}
                        .dump(2)
                 << "\n";
  } else {
    terminal.out << text << " is good until " << LocalTimeText(*end) << "\n";
  }
}

void AddTlsNextCa(CLI::App& group, const GateTerminal& terminal) {
  auto from = std::make_shared<std::string>();
  AddTlsCommand(
      group, terminal, "next-ca",
      "Make the CA that the gate changes to, and tell agents of it when they open a session, "
      "ahead of the change",
      [from](CLI::App& command) {
        command.add_option(
            "--from", *from,
            "Certificates (PEM) of a CA of yours; default: a new CA of the gate's own");
      },
      [from, terminal](const GateConfig& config, bool json) {
        const absl::StatusOr<NextCa> next = PrepareNextCa(config, *from, absl::Now());
        if (!next.ok()) return terminal.Fail(next.status(), kGateFailed);
        *terminal.exit_status = kGateDone;
        if (json) {
          terminal.out << Json{{"next_ca", next->path},
                               {"expires", TimeText(absl::ToUnixSeconds(next->until))},
                               {"switch_from",
                                TimeText(absl::ToUnixSeconds(absl::Now() + kCaNotice))}}
                              .dump(2)
                       << "\n";
          return;
        }
        terminal.out << next->path << " is the next CA, good until " << LocalTimeText(next->until)
                     << ".\nThe gate tells each agent that opens a session, and puts it into "
                        "invites. What an agent has learnt\nit keeps until the CA expires: nothing "
                        "takes that back, so keep the CA's key well.\nChange to it when all have "
                        "learnt it (in "
                     << absl::ToInt64Hours(kCaNotice) / 24 << " days): forekey-gate tls switch-ca"
                     << (next->made_here ? "" : " --certificate FILE --private-key FILE") << "\n";
      });
}

void AddTlsSwitchCa(CLI::App& group, const GateTerminal& terminal) {
  struct Args {
    SwitchCaOptions options;
    int days = 365;
  };
  auto args = std::make_shared<Args>();
  AddTlsCommand(
      group, terminal, "switch-ca",
      "Change to the CA of `next-ca`: a certificate by it becomes the gate's. A running gate takes "
      "it by itself; agents that were told notice nothing",
      [args](CLI::App& command) {
        command.add_option("--certificate", args->options.certificate,
                           "For a CA of yours: the gate's certificate (PEM, with its chain) by it");
        command.add_option("--private-key", args->options.private_key, "... and its key");
        command.add_option("--days", args->days, "How long the certificate is good")
            ->check(CLI::Range(1, 3650))
            ->capture_default_str();
        command.add_flag("--early", args->options.early,
                         "Although agents that were away may not know the CA yet");
      },
      [args, terminal](const GateConfig& config, bool json) {
        if (args->options.certificate.empty() != args->options.private_key.empty()) {
          return terminal.Fail(
              absl::InvalidArgumentError("--certificate and --private-key belong together"),
              kGateNotRun);
        }
        args->options.lifetime = absl::Hours(24) * args->days;
        TellCertificate(terminal, config, SwitchCa(config, args->options, absl::Now()), json,
                        absl::StrCat(config.tls.ca, " is the next CA now, and ",
                                     config.tls.certificate, ", by it,"));
      });
}

void AddTlsRenew(CLI::App& group, const GateTerminal& terminal) {
  struct Args {
    std::vector<std::string> hosts;
    int days = 365;
  };
  auto args = std::make_shared<Args>();
  AddTlsCommand(
      group, terminal, "renew",
      "Make a new key and certificate by the CA that `init` made. A running gate takes them by "
      "itself; agents notice nothing",
      [args](CLI::App& command) {
        command.add_option(
            "--host", args->hosts,
            "A name or address of the certificate; may be repeated; default: as before");
        command.add_option("--days", args->days, "How long it is good")
            ->check(CLI::Range(1, 3650))
            ->capture_default_str();
      },
      [args, terminal](const GateConfig& config, bool json) {
        TellCertificate(
            terminal, config,
            RenewCertificate(config, args->hosts, absl::Now(), absl::Hours(24) * args->days), json,
            config.tls.certificate);
      });
}

void AddTls(CLI::App& app, const GateTerminal& terminal) {
  CLI::App* group = app.add_subcommand("tls", "The gate's TLS certificate, and the CA above it");
  group->require_subcommand(1);
  AddTlsNextCa(*group, terminal);
  AddTlsSwitchCa(*group, terminal);
  AddTlsRenew(*group, terminal);
}

void AddDoctor(CLI::App& app, const GateTerminal& terminal) {
  auto config_file = std::make_shared<std::string>("/etc/forekey/gate.toml");
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "doctor", "Find out why a gate does not work, and what will go wrong soon; change nothing");
  command->add_option("--config,-c", *config_file, "The gate's configuration")
      ->capture_default_str();
  command->add_flag("--json", *json, "Print one JSON value");
  command->callback([config_file, json, terminal] {
    GateDoctorOptions options = GateDoctorOptions::This();
    options.config_file = *config_file;
    const std::vector<Finding> findings = DiagnoseGateMachine(options);
    if (*json) {
      PrintFindingsAsJson(findings, terminal.out);
    } else {
      PrintFindings(findings, MayColour(terminal.out), terminal.out);
    }
    *terminal.exit_status = ExitStatusOf(findings);
  });
}

}  // namespace

void AddSetupCommands(CLI::App& app, const GateTerminal& terminal) {
  AddInit(app, terminal);
  AddCheckConfig(app, terminal);
  AddDoctor(app, terminal);
  AddTls(app, terminal);
}

}  // namespace forekey
