#include "src/cli/gate_commands.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/cli/gate_admin.h"
#include "src/cli/gate_init.h"
#include "src/cli/gate_serve.h"
#include "src/wire/invite.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kNotRun = 2;

// What all commands share.
struct Terminal {
  std::ostream& out;
  std::ostream& err;
  int* exit_status;

  void Fail(const absl::Status& status, int exit) const {
    err << "forekey-gate: " << status.message() << "\n";
    *exit_status = exit;
  }
};

std::string TimeText(int64_t unix_s) {
  return unix_s == 0 ? "" : absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(unix_s),
                                             absl::UTCTimeZone());
}

// "90s", "30m", "24h", "7d".
absl::StatusOr<absl::Duration> ParseLifetime(const std::string& text) {
  absl::Duration lifetime;
  int64_t days = 0;
  if (absl::EndsWith(text, "d") && absl::SimpleAtoi(text.substr(0, text.size() - 1), &days)) {
    lifetime = absl::Hours(24) * days;
  } else if (!absl::ParseDuration(text, &lifetime)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no duration such as 30m, 24h or 7d"));
  }
  if (lifetime < absl::Seconds(1) || lifetime > absl::Hours(24 * 365)) {
    return absl::InvalidArgumentError(absl::StrCat("a lifetime of ", text, " is out of range"));
  }
  return lifetime;
}

const std::pair<const char*, v1::TokenKind> kKinds[] = {{"tpm", v1::TOKEN_KIND_TPM},
                                                        {"fido2", v1::TOKEN_KIND_FIDO2},
                                                        {"piv", v1::TOKEN_KIND_PIV}};

std::string KindName(v1::TokenKind kind) {
  for (const auto& [name, value] : kKinds) {
    if (value == kind) return name;
  }
  return "unknown";
}

// A command that talks to the gate. `body` gives what to print as JSON; `text` prints it for people.
struct AdminCommand {
  CLI::App* app = nullptr;
  std::function<void(GateConfig&)> prepare;  // may be empty
  std::function<absl::StatusOr<Json>(GateAdmin&, const GateConfig&)> body;
  std::function<void(const Json&, bool gate_runs, std::ostream&)> text;
};

void Wire(AdminCommand command, const Terminal& terminal) {
  auto config_file = std::make_shared<std::string>("/etc/forekey/gate.toml");
  auto json = std::make_shared<bool>(false);
  command.app->add_option("--config,-c", *config_file, "The gate's configuration")->capture_default_str();
  command.app->add_flag("--json", *json, "Print one JSON value");
  command.app->callback([command, config_file, json, terminal] {
    absl::StatusOr<GateConfig> config = GateConfig::Load(*config_file);
    if (!config.ok()) return terminal.Fail(config.status(), kNotRun);
    if (command.prepare) command.prepare(*config);
    absl::StatusOr<std::unique_ptr<GateAdmin>> admin = GateAdmin::Open(*config);
    if (!admin.ok()) return terminal.Fail(admin.status(), kNotRun);
    absl::StatusOr<Json> result = command.body(**admin, *config);
    if (!result.ok()) {
      const bool unreachable = (*admin)->gate_runs() && absl::IsUnavailable(result.status());
      return terminal.Fail(result.status(), unreachable ? kNotRun : kFailed);
    }
    if (*json) {
      terminal.out << result->dump(2) << "\n";
    } else {
      command.text(*result, (*admin)->gate_runs(), terminal.out);
    }
    *terminal.exit_status = kDone;
  });
}

// Whole ids, or a beginning of at least 8 digits that names one credential.
absl::StatusOr<std::string> CredentialIdFrom(GateAdmin& admin, const std::string& text) {
  const std::string wanted = absl::AsciiStrToLower(text);
  if (wanted.size() < 8 || wanted.size() > 64 ||
      !std::all_of(wanted.begin(), wanted.end(), absl::ascii_isxdigit)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no credential id: 8 to 64 hex digits of it are needed"));
  }
  FOREKEY_ASSIGN_OR_RETURN(auto all, admin.Ask(&v1::Admin::Stub::ListCredentials,
                                               &GateCore::ListCredentials, v1::ListCredentialsRequest()));
  std::string found;
  for (const auto& credential : all.credentials()) {
    if (!absl::StartsWith(absl::BytesToHexString(credential.credential_id()), wanted)) continue;
    if (!found.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("more than one credential begins with ", text));
    }
    found = credential.credential_id();
  }
  if (found.empty()) return absl::NotFoundError(absl::StrCat("no credential begins with ", text));
  return found;
}

void AddInvite(CLI::App& app, const Terminal& terminal) {
  struct Args {
    std::string subject, lifetime = "24h", address, replaces, device;
    std::vector<std::string> roles, kinds;
  };
  auto args = std::make_shared<Args>();
  AdminCommand command;
  command.app = app.add_subcommand("invite", "Make an invite: who holds it may enrol one token as the subject");
  command.app->add_option("--subject,-s", args->subject, "Who will be enrolled")->required();
  command.app->add_option("--role,-r", args->roles, "A role of a new subject; may be repeated");
  command.app->add_option("--kind,-k", args->kinds, "Which kinds of token may be enrolled (default: any)")
      ->check(CLI::IsMember({"tpm", "fido2", "piv"}));
  command.app->add_option("--lifetime,-l", args->lifetime, "30m, 24h, 7d")->capture_default_str();
  command.app->add_option("--address,-a", args->address, "host:port of the gate, if not the config's");
  command.app->add_option("--replaces", args->replaces,
                          "Recovery: this credential is revoked when the new one is enrolled");
  command.app->add_option("--device", args->device,
                          "Only this device: SHA-256 in hex that its attestation must prove");
  command.prepare = [args](GateConfig& config) {
    if (!args->address.empty()) config.listen.advertise = args->address;
  };
  command.body = [args](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::CreateInviteRequest request;
    request.set_subject(args->subject);
    for (const std::string& role : args->roles) request.add_roles(role);
    for (const std::string& kind : args->kinds) {
      for (const auto& [name, value] : kKinds) {
        if (kind == name) request.add_kinds(value);
      }
    }
    FOREKEY_ASSIGN_OR_RETURN(const absl::Duration lifetime, ParseLifetime(args->lifetime));
    request.set_lifetime_s(static_cast<uint32_t>(absl::ToInt64Seconds(lifetime)));
    if (!args->replaces.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(*request.mutable_replaces_credential(),
                               CredentialIdFrom(admin, args->replaces));
    }
    if (!args->device.empty()) {
      if (args->device.size() != 64 ||
          !std::all_of(args->device.begin(), args->device.end(), absl::ascii_isxdigit)) {
        return absl::InvalidArgumentError("--device takes a SHA-256: 64 hex digits");
      }
      request.set_pinned_device(absl::HexStringToBytes(args->device));
    }
    FOREKEY_ASSIGN_OR_RETURN(auto response, admin.Ask(&v1::Admin::Stub::CreateInvite,
                                                      &GateCore::CreateInvite, request));
    std::string text = response.invite();
    if (!args->address.empty()) {
      FOREKEY_ASSIGN_OR_RETURN(Invite invite, Invite::Parse(text));
      invite.address = args->address;
      text = invite.Serialize();
      if (text.empty()) {
        return absl::InvalidArgumentError(absl::StrCat("\"", args->address, "\" is not host:port"));
      }
    }
    return Json{{"invite", text},
                {"id", absl::BytesToHexString(response.invite_id())},
                {"expires", TimeText(response.expires_unix_s())}};
  };
  // The invite alone on stdout, so that it can be piped.
  command.text = [](const Json& json, bool, std::ostream& out) {
    out << json["invite"].get<std::string>() << "\n";
  };
  Wire(std::move(command), terminal);
}

void AddInvites(CLI::App& app, const Terminal& terminal) {
  auto cancel = std::make_shared<std::string>();
  AdminCommand command;
  command.app = app.add_subcommand("invites", "List invites, or cancel one");
  command.app->add_option("--cancel", *cancel, "The invite's id, as listed: it can't be used any more");
  command.body = [cancel](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(auto all, admin.Ask(&v1::Admin::Stub::ListInvites, &GateCore::ListInvites,
                                                 v1::ListInvitesRequest()));
    Json list = Json::array();
    for (const auto& invite : all.invites()) {
      const std::string id = absl::BytesToHexString(invite.invite_id());
      if (!cancel->empty()) {
        if (id != absl::AsciiStrToLower(*cancel)) continue;
        v1::CancelInviteRequest request;
        request.set_invite_id(invite.invite_id());
        FOREKEY_RETURN_IF_ERROR(
            admin.Ask(&v1::Admin::Stub::CancelInvite, &GateCore::CancelInvite, request).status());
      }
      list.push_back({{"id", id},
                      {"subject", invite.subject()},
                      {"roles", std::vector<std::string>(invite.roles().begin(), invite.roles().end())},
                      {"expires", TimeText(invite.expires_unix_s())},
                      {"used", TimeText(invite.used_unix_s())},
                      {"recovery", invite.recovery()},
                      {"cancelled", !cancel->empty()}});
    }
    if (!cancel->empty() && list.empty()) {
      return absl::NotFoundError(absl::StrCat("no invite has the id ", *cancel));
    }
    return list;
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    for (const Json& invite : json) {
      out << invite["id"].get<std::string>() << "  " << invite["subject"].get<std::string>() << "  "
          << (invite["cancelled"].get<bool>() ? "cancelled"
              : invite["used"].get<std::string>().empty()
                  ? "expires " + invite["expires"].get<std::string>()
                  : "used " + invite["used"].get<std::string>())
          << (invite["recovery"].get<bool>() ? "  recovery" : "") << "\n";
    }
  };
  Wire(std::move(command), terminal);
}

void AddSubjects(CLI::App& app, const Terminal& terminal) {
  AdminCommand command;
  command.app = app.add_subcommand("subjects", "List subjects");
  command.body = [](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(auto all, admin.Ask(&v1::Admin::Stub::ListSubjects, &GateCore::ListSubjects,
                                                 v1::ListSubjectsRequest()));
    Json list = Json::array();
    for (const auto& subject : all.subjects()) {
      list.push_back({{"subject", subject.subject()},
                      {"roles", std::vector<std::string>(subject.roles().begin(), subject.roles().end())},
                      {"disabled", subject.disabled()},
                      {"created", TimeText(subject.created_unix_s())},
                      {"live_credentials", subject.live_credentials()}});
    }
    return list;
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    for (const Json& subject : json) {
      out << subject["subject"].get<std::string>() << "  "
          << absl::StrJoin(subject["roles"].get<std::vector<std::string>>(), ",") << "  "
          << subject["live_credentials"] << " credentials"
          << (subject["disabled"].get<bool>() ? "  disabled" : "") << "\n";
    }
  };
  Wire(std::move(command), terminal);
}

void AddSubjectSet(CLI::App& app, const Terminal& terminal) {
  struct Args {
    std::string subject;
    std::vector<std::string> roles;
    bool no_roles = false, disable = false, enable = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* group = app.add_subcommand("subject", "Change a subject");
  group->require_subcommand(1);
  AdminCommand command;
  command.app = group->add_subcommand("set", "Set a subject's roles, or whether it may call at all");
  command.app->add_option("subject", args->subject)->required();
  auto* roles = command.app->add_option("--role,-r", args->roles, "All of its roles, repeated");
  command.app->add_flag("--no-roles", args->no_roles, "Takes all roles away")->excludes(roles);
  auto* disable = command.app->add_flag("--disable", args->disable, "Refuses it, from the next call on");
  command.app->add_flag("--enable", args->enable)->excludes(disable);
  command.body = [args](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::SetSubjectRequest request;
    request.set_subject(args->subject);
    request.set_set_roles(args->no_roles || !args->roles.empty());
    for (const std::string& role : args->roles) request.add_roles(role);
    request.set_set_disabled(args->disable || args->enable);
    request.set_disabled(args->disable);
    if (!request.set_roles() && !request.set_disabled()) {
      return absl::InvalidArgumentError("nothing to set: --role, --no-roles, --disable or --enable");
    }
    FOREKEY_RETURN_IF_ERROR(
        admin.Ask(&v1::Admin::Stub::SetSubject, &GateCore::SetSubject, request).status());
    return Json{{"subject", args->subject}, {"in_force", admin.gate_runs()}};
  };
  command.text = [](const Json& json, bool gate_runs, std::ostream& out) {
    out << json["subject"].get<std::string>()
        << (gate_runs ? ": the running gate has it\n" : ": set in the registry; no gate is running\n");
  };
  Wire(std::move(command), terminal);
}

void AddCredentials(CLI::App& app, const Terminal& terminal) {
  auto subject = std::make_shared<std::string>();
  AdminCommand command;
  command.app = app.add_subcommand("credentials", "List enrolled credentials, with what was proved of each");
  command.app->add_option("--subject,-s", *subject, "Of this subject alone");
  command.body = [subject](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::ListCredentialsRequest request;
    request.set_subject(*subject);
    FOREKEY_ASSIGN_OR_RETURN(auto all, admin.Ask(&v1::Admin::Stub::ListCredentials,
                                                 &GateCore::ListCredentials, request));
    Json list = Json::array();
    for (const auto& credential : all.credentials()) {
      Json proved = Json::parse(credential.proved_json(), nullptr, /*allow_exceptions=*/false);
      list.push_back({{"id", absl::BytesToHexString(credential.credential_id())},
                      {"subject", credential.subject()},
                      {"kind", KindName(credential.kind())},
                      {"label", credential.label()},
                      {"algorithm", credential.algorithm()},
                      {"enrolled", TimeText(credential.enrolled_unix_s())},
                      {"revoked", TimeText(credential.revoked_unix_s())},
                      {"revocation_note", credential.revocation_note()},
                      {"proved", proved.is_discarded() ? Json() : proved}});
    }
    return list;
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    for (const Json& credential : json) {
      const std::string revoked = credential["revoked"].get<std::string>();
      out << credential["id"].get<std::string>() << "  " << credential["subject"].get<std::string>()
          << "  " << credential["kind"].get<std::string>() << "  " << credential["label"] << "  "
          << (revoked.empty() ? "enrolled " + credential["enrolled"].get<std::string>()
                              : "revoked " + revoked)
          << "\n";
    }
  };
  Wire(std::move(command), terminal);
}

void AddRevoke(CLI::App& app, const Terminal& terminal) {
  struct Args {
    std::string credential, subject, note;
  };
  auto args = std::make_shared<Args>();
  AdminCommand command;
  command.app = app.add_subcommand("revoke", "Revoke a credential, or all of a subject's, for ever");
  auto* credential = command.app->add_option("credential", args->credential,
                                             "Its id, or the first 8 or more digits");
  command.app->add_option("--subject,-s", args->subject, "All credentials of this subject")
      ->excludes(credential);
  command.app->add_option("--note,-n", args->note, "Why; kept with the credential");
  command.body = [args](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::RevokeCredentialRequest request;
    request.set_note(args->note);
    if (args->credential.empty() && args->subject.empty()) {
      return absl::InvalidArgumentError("what to revoke: a credential, or --subject");
    }
    if (!args->subject.empty()) {
      request.set_subject(args->subject);
    } else {
      FOREKEY_ASSIGN_OR_RETURN(*request.mutable_credential_id(),
                               CredentialIdFrom(admin, args->credential));
    }
    FOREKEY_ASSIGN_OR_RETURN(auto response, admin.Ask(&v1::Admin::Stub::RevokeCredential,
                                                      &GateCore::RevokeCredential, request));
    return Json{{"revoked", response.revoked()},
                {"sessions_ended", response.sessions_ended()},
                {"in_force", admin.gate_runs()}};
  };
  command.text = [](const Json& json, bool gate_runs, std::ostream& out) {
    out << json["revoked"] << " revoked";
    if (gate_runs) {
      out << ", " << json["sessions_ended"] << " sessions ended: the running gate has it\n";
    } else {
      out << " in the registry; no gate is running\n";
    }
  };
  Wire(std::move(command), terminal);
}

void AddStatus(CLI::App& app, const Terminal& terminal) {
  AdminCommand command;
  command.app = app.add_subcommand("status", "What the gate is and does");
  command.body = [](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(auto status, admin.Ask(&v1::Admin::Stub::GetGateStatus,
                                                    &GateCore::GetGateStatus,
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
  Wire(std::move(command), terminal);
}

void AddRotateIdentity(CLI::App& app, const Terminal& terminal) {
  AdminCommand command;
  command.app = app.add_subcommand(
      "rotate-identity", "Make a new gate identity; agents learn it at their next session, while the old "
                         "one lasts ([identity] overlap)");
  command.body = [](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(auto response, admin.Ask(&v1::Admin::Stub::RotateIdentity,
                                                      &GateCore::RotateIdentity,
                                                      v1::RotateIdentityRequest()));
    return Json{{"identity_fingerprint", response.identity_fingerprint()}};
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    out << json["identity_fingerprint"].get<std::string>() << "\n";
  };
  Wire(std::move(command), terminal);
}

void AddServe(CLI::App& app, const Terminal& terminal) {
  auto config_file = std::make_shared<std::string>("/etc/forekey/gate.toml");
  CLI::App* command = app.add_subcommand(
      "serve", "Run a gate with no application behind it. SIGHUP reads its certificates again");
  command->add_option("--config,-c", *config_file, "The gate's configuration")->capture_default_str();
  command->callback([config_file, terminal] {
    const absl::Status served = ServeGate(*config_file, terminal.out, terminal.err);
    *terminal.exit_status = kDone;
    if (!served.ok()) terminal.Fail(served, kNotRun);
  });
}

void AddCheckConfig(CLI::App& app, const Terminal& terminal) {
  struct Args {
    std::string config_file = "/etc/forekey/gate.toml";
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* command = app.add_subcommand("check-config", "Read a config and all that it names; change nothing");
  command->add_option("--config,-c", args->config_file, "The gate's configuration")->capture_default_str();
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    const absl::Status checked = CheckGateConfig(args->config_file);
    *terminal.exit_status = checked.ok() ? kDone : kFailed;
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

void AddInit(CLI::App& app, const Terminal& terminal) {
  struct Args {
    GateInitOptions options;
    bool json = false;
  };
  auto args = std::make_shared<Args>();
  GateInitOptions& options = args->options;
  CLI::App* command = app.add_subcommand(
      "init", "Make a folder with a config, a state folder and a self-signed TLS certificate, to begin with");
  command->add_option("--directory,-d", options.directory, "The folder")->required();
  command->add_option("--audience", options.audience, "The gate's own name, for example gate.example.com")
      ->required();
  command->add_option("--listen", options.listen, "host:port to listen on")->capture_default_str();
  command->add_option("--advertise", options.advertise, "host:port that clients will call");
  command->add_option("--host", options.hosts, "A name or address of the certificate; may be repeated");
  command->add_option("--tpm-trust", options.tpm_trust, "Folder of TPM vendors' root certificates");
  command->add_option("--tpm-simulator-trust", options.tpm_simulator_trust,
                      "Folder of simulators' roots: for tests alone");
  command->add_flag("--json", args->json, "Print one JSON value");
  command->callback([args, terminal] {
    absl::StatusOr<std::string> config = InitGate(args->options);
    if (!config.ok()) return terminal.Fail(config.status(), kFailed);
    *terminal.exit_status = kDone;
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
  const Terminal terminal{out, err, exit_status};
  AddInit(app, terminal);
  AddCheckConfig(app, terminal);
  AddServe(app, terminal);
  AddInvite(app, terminal);
  AddInvites(app, terminal);
  AddSubjects(app, terminal);
  AddSubjectSet(app, terminal);
  AddCredentials(app, terminal);
  AddRevoke(app, terminal);
  AddStatus(app, terminal);
  AddRotateIdentity(app, terminal);
}

}  // namespace forekey
