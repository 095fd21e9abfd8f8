// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_commands.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/cli/gate/audit_commands.h"
#include "src/cli/gate/gate_admin.h"
#include "src/cli/gate/gate_explain.h"
#include "src/cli/gate/gate_init.h"
#include "src/cli/gate/gate_restore.h"
#include "src/cli/gate/gate_serve.h"
#include "src/cli/gate/gate_terminal.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

void AddStatus(CLI::App& app, const GateTerminal& terminal) {
  AdminCommand command;
  command.app = app.add_subcommand("status", "What the gate is and does");
  command.uses = {"listen"};
  command.body = [](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(
        auto status, admin.Ask(&v1::Admin::Stub::GetGateStatus, &Administration::GetGateStatus,
                               v1::GetGateStatusRequest()));
    return Json{{"running", admin.gate_runs()},
                {"version", status.version()},
                {"audience", status.audience()},
                {"address", status.address()},
                {"identity_fingerprint", status.identity_fingerprint()},
                {"sessions", status.sessions()},
                {"subjects", status.subjects()},
                {"credentials", status.credentials()},
                {"admitted", status.admitted()},
                {"refused", status.refused()}};
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    for (const auto& [key, value] : json.items()) {
      out << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump()) << "\n";
    }
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddRotateIdentity(CLI::App& app, const GateTerminal& terminal) {
  AdminCommand command;
  command.app = app.add_subcommand(
      "rotate-identity",
      "Make a new gate identity; agents learn it at their next session, while the old "
      "one lasts ([identity] overlap)");
  command.body = [](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(
        auto response, admin.Ask(&v1::Admin::Stub::RotateIdentity, &Administration::RotateIdentity,
                                 v1::RotateIdentityRequest()));
    return Json{{"identity_fingerprint", response.identity_fingerprint()}};
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    out << json["identity_fingerprint"].get<std::string>() << "\n";
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddBackup(CLI::App& app, const GateTerminal& terminal) {
  auto to = std::make_shared<std::string>();
  AdminCommand command;
  command.app = app.add_subcommand(
      "backup", "Copy the registry to a new file on the gate's machine, also while the gate runs");
  command.app->add_option("--to", *to, "The file to make")->required();
  command.body = [to](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::BackUpRequest request;
    std::error_code ignored;
    request.set_path(std::filesystem::absolute(*to, ignored).string());
    FOREKEY_ASSIGN_OR_RETURN(auto response,
                             admin.Ask(&v1::Admin::Stub::BackUp, &Administration::BackUp, request));
    return Json{{"backup", request.path()},
                {"subjects", response.subjects()},
                {"credentials", response.credentials()}};
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    out << json["backup"].get<std::string>() << ": " << json["subjects"] << " subjects, "
        << json["credentials"] << " credentials\n";
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddRestore(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string config_file = "/etc/forekey/gate.toml", from;
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand(
      "restore",
      "Put a backup in the place of the registry, while no gate runs; the old one is kept");
  command->add_option("--config,-c", args->config_file, "The gate's configuration")
      ->capture_default_str();
  command->add_option("--from", args->from, "What `forekey-gate backup` made")->required();
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    absl::StatusOr<GateConfig> config = terminal.LoadConfig(args->config_file, {});
    if (!config.ok()) return terminal.Fail(config.status(), kGateNotRun);
    absl::StatusOr<std::string> kept = RestoreRegistry(*config, args->from);
    if (!kept.ok()) return terminal.Fail(kept.status(), kGateFailed);
    *terminal.exit_status = kGateDone;
    if (args->json) {
      terminal.out << Json{{"restored", args->from}, {"kept", *kept}}.dump(2) << "\n";
    } else {
      terminal.out
          << "restored " << args->from << (kept->empty() ? "" : "; the old registry is " + *kept)
          << "\nrevocations, used invites and signature counters since the backup are not in it\n";
    }
  });
}

void AddServe(CLI::App& app, const GateTerminal& terminal) {
  auto config_file = std::make_shared<std::string>("/etc/forekey/gate.toml");
  CLI::App* command = app.add_subcommand(
      "serve",
      "Run a gate with no application behind it. SIGHUP reads certificates, rules and trust again");
  command->add_option("--config,-c", *config_file, "The gate's configuration")
      ->capture_default_str();
  command->callback([config_file, terminal] {
    const absl::Status served = ServeGate(*config_file, terminal.out, terminal.err);
    *terminal.exit_status = kGateDone;
    if (!served.ok()) terminal.Fail(served, kGateNotRun);
  });
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
    const absl::Status checked = CheckGateConfig(args->config_file);
    *terminal.exit_status = checked.ok() ? kGateDone : kGateFailed;
    const std::string errors(checked.message());
    if (args->json) {
      terminal.out << Json{{"valid", checked.ok()}, {"errors", errors}}.dump(2) << "\n";
    } else if (checked.ok()) {
      terminal.out << args->config_file << ": good\n";
    } else {
      terminal.err << errors << "\n";
    }
  });
}

void AddExplain(CLI::App& app, const GateTerminal& terminal) {
  auto question = std::make_shared<ExplainQuestion>();
  AdminCommand command;
  command.app =
      app.add_subcommand("explain", "Say what the config's rules would do with a call, and why");
  command.uses = {"rules", "rule", "health"};  // [health] exempts methods
  command.app
      ->add_option("--subject,-s", question->subject, "Who calls; its roles are the registry's")
      ->required();
  command.app->add_option("--method,-m", question->method, "/package.Service/Method")->required();
  command.app->add_option(
      "--factor,-f", question->factors,
      "NAME or NAME:AGE (fido2+uv:15m): what was proved, how long ago; may be repeated");
  command.app->add_flag("--device", question->device, "Hardware signs the call");
  command.app->add_flag("--child", question->child, "A child session's proof, as applications use");
  command.body = [question](GateAdmin& admin, const GateConfig& config) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(
        auto all, admin.Ask(&v1::Admin::Stub::ListSubjects, &Administration::ListSubjects,
                            v1::ListSubjectsRequest()));
    bool known = false;
    for (const auto& subject : all.subjects()) {
      if (subject.subject() != question->subject) continue;
      known = true;
      question->roles.assign(subject.roles().begin(), subject.roles().end());
      if (subject.disabled()) {
        return Json{{"verdict", "refused"},
                    {"why", "the subject is disabled"},
                    {"reason", "subject-disabled"},
                    {"rule", nullptr},
                    {"step_up", ""}};
      }
    }
    if (!known) return absl::NotFoundError(absl::StrCat("no subject ", question->subject));
    FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<CallPolicy> policy, NewMethodPolicy(config.rules));
    return Explain(*policy, *question);
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    out << json["verdict"].get<std::string>() << ": " << json["why"].get<std::string>() << "\n";
    if (!json["rule"].is_null()) {
      out << "rule: line " << json["rule"]["line"] << ", "
          << json["rule"]["pattern"].get<std::string>() << "\n";
    }
    if (!json["step_up"].get<std::string>().empty()) {
      out << "would do: " << json["step_up"].get<std::string>() << "\n";
    }
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddInit(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    GateInitOptions options;
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  GateInitOptions& options = args->options;
  CLI::App* command = app.add_subcommand("init",
                                         "Make a folder with a config, a state folder and a "
                                         "self-signed TLS certificate, to begin with");
  command->add_option("--directory,-d", options.directory, "The folder")->required();
  command
      ->add_option("--audience", options.audience,
                   "The gate's own name, for example gate.example.com")
      ->required();
  command->add_option("--listen", options.listen, "host:port to listen on")->capture_default_str();
  command->add_option("--advertise", options.advertise, "host:port that clients will call");
  command->add_option("--host", options.hosts,
                      "A name or address of the certificate; may be repeated");
  command->add_option("--tpm-trust", options.tpm_trust, "Folder of TPM vendors' root certificates");
  command->add_option("--tpm-simulator-trust", options.tpm_simulator_trust,
                      "Folder of simulators' roots: for tests alone");
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    absl::StatusOr<std::string> config = InitGate(args->options);
    if (!config.ok()) return terminal.Fail(config.status(), kGateFailed);
    *terminal.exit_status = kGateDone;
    if (args->json) {
      terminal.out << Json{{"config", *config}}.dump(2) << "\n";
    } else {
      terminal.out << "made " << *config << "\nnext: forekey-gate serve --config " << *config
                   << "\n      forekey-gate invite --config " << *config << " --subject NAME\n";
    }
  });
}

}  // namespace

void AddGateCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status) {
  const GateTerminal terminal{out, err, exit_status};
  AddInit(app, terminal);
  AddCheckConfig(app, terminal);
  AddExplain(app, terminal);
  AddServe(app, terminal);
  AddPeopleCommands(app, terminal);
  AddStatus(app, terminal);
  AddRotateIdentity(app, terminal);
  AddBackup(app, terminal);
  AddRestore(app, terminal);
  AddAuditCommands(app, out, err, exit_status);
}

}  // namespace forekey
