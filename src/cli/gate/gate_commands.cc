// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_commands.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/cli/gate/audit_commands.h"
#include "src/cli/gate/gate_admin.h"
#include "src/cli/gate/gate_explain.h"
#include "src/cli/gate/gate_restore.h"
#include "src/cli/gate/gate_serve.h"
#include "src/cli/gate/gate_terminal.h"
#include "src/cli/gate/identity_commands.h"
#include "src/cli/gate/registry_commands.h"
#include "src/cli/terminal/did_you_mean.h"
#include "src/cli/terminal/plural.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

Json ReplicasOf(const v1::GetGateStatusResponse& status) {
  Json replicas = Json::array();
  std::set<std::string> rules;
  for (const v1::ReplicaInfo& replica : status.replicas()) {
    rules.insert(replica.rules());
    replicas.push_back({{"name", replica.name()},
                        {"lease_ms", replica.lease_ms()},
                        {"unheard_ms", replica.unheard_ms()},
                        {"behind", replica.behind()},
                        {"rules", replica.rules()}});
  }
  return Json{{"replicas", replicas}, {"same_rules", rules.size() <= 1}};
}

void PrintReplicas(const Json& json, std::ostream& out) {
  for (const Json& replica : json["replicas"]) {
    out << replica["name"].get<std::string>() << "  heard of " << replica["unheard_ms"]
        << " ms ago (lease " << replica["lease_ms"] << " ms)  behind by " << replica["behind"]
        << " changes  rules " << replica["rules"].get<std::string>() << "\n";
  }
  out << json["replicas"].size() << " replicas\n";
  if (!json["same_rules"].get<bool>()) out << "their rules are not the same\n";
}

void AddStatus(CLI::App& app, const GateTerminal& terminal) {
  AdminCommand command;
  auto all = std::make_shared<bool>(false);
  command.app = app.add_subcommand("status", "What the gate is and does");
  command.app->add_flag("--all", *all, "Every replica that shares its registry");
  command.uses = {"listen"};
  command.body = [all](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::GetGateStatusRequest request;
    request.set_all_replicas(*all);
    FOREKEY_ASSIGN_OR_RETURN(auto status, admin.Ask(&v1::Admin::Stub::GetGateStatus,
                                                    &Administration::GetGateStatus, request));
    if (*all) return ReplicasOf(status);
    FOREKEY_ASSIGN_OR_RETURN(auto credentials, admin.Ask(&v1::Admin::Stub::ListCredentials,
                                                         &Administration::ListCredentials,
                                                         v1::ListCredentialsRequest()));
    const auto revoked =
        std::count_if(credentials.credentials().begin(), credentials.credentials().end(),
                      [](const auto& credential) { return credential.revoked_unix_s() != 0; });
    return Json{{"running", admin.gate_runs()},
                {"version", status.version()},
                {"audience", status.audience()},
                {"address", status.address()},
                {"identity_fingerprint", status.identity_fingerprint()},
                {"sessions", status.sessions()},
                {"subjects", status.subjects()},
                {"credentials", status.credentials()},
                {"credentials_revoked", revoked},
                {"admitted", status.admitted()},
                {"refused", status.refused()},
                {"lease_ended", status.lease_ended()}};
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    if (json.contains("replicas")) return PrintReplicas(json, out);
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
    out << json["backup"].get<std::string>() << ": "
        << Plural(json["subjects"].get<uint64_t>(), "subject") << ", "
        << Plural(json["credentials"].get<uint64_t>(), "credential") << "\n";
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddRestore(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string config_file = "/etc/forekey/gate.toml";
    RestoreOptions restore;
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand(
      "restore",
      "Put a backup in the place of the registry, while no gate runs; the old one is kept, and "
      "what was taken away since the backup is taken away again");
  command->add_option("--config,-c", args->config_file, "The gate's configuration")
      ->capture_default_str();
  command->add_option("--from", args->restore.backup, "What `forekey-gate backup` made")
      ->required();
  command->add_flag("--without-audit-log", args->restore.without_log,
                    "Restore also where the audit log can't be read or is lost: what was revoked, "
                    "cancelled or disabled since the backup is live again");
  command->add_option("--audit-log", args->restore.older_logs,
                      "A file of the audit log that was archived elsewhere, unpacked; may be "
                      "repeated");
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    absl::StatusOr<GateConfig> config = terminal.LoadConfig(args->config_file, {});
    if (!config.ok()) return terminal.Fail(config.status(), kGateNotRun);
    absl::StatusOr<Restored> restored = RestoreRegistry(*config, args->restore);
    if (!restored.ok()) return terminal.Fail(restored.status(), kGateFailed);
    *terminal.exit_status = kGateDone;
    const std::string& from = args->restore.backup;
    const std::string& kept = restored->kept;
    if (args->json) {
      terminal.out << Json{{"restored", from},
                           {"kept", kept},
                           {"reapplied", restored->log.ok() ? Json(restored->reapplied) : Json()},
                           {"came_back", restored->came_back},
                           {"error", std::string(restored->log.message())}}
                          .dump(2)
                   << "\n";
      return;
    }
    terminal.out << "restored " << from << (kept.empty() ? "" : "; the old registry is " + kept)
                 << "\n";
    if (!restored->log.ok()) {
      terminal.err << "warning: what was taken away since the backup is live again: "
                   << restored->log.message() << "\n";
      return;
    }
    for (const std::string& line : restored->reapplied) terminal.out << line << "\n";
    for (const std::string& line : restored->came_back) terminal.err << "warning: " << line << "\n";
    terminal.out << restored->reapplied.size()
                 << " taken away again by the audit log and the old registry; signature counters "
                    "are the backup's\n";
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
    std::vector<std::string> names;
    const auto refused = [](const char* why, Reason reason) {
      return Json{{"verdict", "refused"},
                  {"why", why},
                  {"reason", std::string(ReasonName(reason))},
                  {"rule", nullptr},
                  {"step_up", ""}};
    };
    for (const auto& subject : all.subjects()) {
      names.push_back(subject.subject());
      if (subject.subject() != question->subject) continue;
      known = true;
      question->roles.assign(subject.roles().begin(), subject.roles().end());
      if (subject.disabled()) {
        return refused("the subject is disabled", Reason::kSubjectDisabled);
      }
      if (subject.live_credentials() == 0) {
        return refused("the subject has no credential that is not revoked",
                       Reason::kCredentialRevoked);
      }
    }
    if (!known) {
      return absl::NotFoundError(
          absl::StrCat("no subject ", question->subject, DidYouMean(question->subject, names)));
    }
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

}  // namespace

void AddGateCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status) {
  const GateTerminal terminal{out, err, exit_status};
  AddSetupCommands(app, terminal);
  AddExplain(app, terminal);
  AddServe(app, terminal);
  AddPeopleCommands(app, terminal);
  AddStatus(app, terminal);
  AddRotateIdentity(app, terminal);
  AddBackup(app, terminal);
  AddRestore(app, terminal);
  AddRegistryCommands(app, terminal);
  AddIdentityCommands(app, terminal);
  AddAuditCommands(app, out, err, exit_status);
}

}  // namespace forekey
