// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
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
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/gate/gate_terminal.h"
#include "src/cli/gate/qr_code.h"
#include "src/cli/terminal/did_you_mean.h"
#include "src/cli/terminal/finding.h"
#include "src/cli/terminal/plural.h"
#include "src/cli/terminal/read_password.h"
#include "src/cli/terminal/table.h"
#include "src/policy/method_rules.h"
#include "src/wire/invite.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

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

// Whole ids, or a beginning of at least 8 digits that names one credential.
absl::StatusOr<std::string> CredentialIdFrom(GateAdmin& admin, const std::string& text) {
  const std::string wanted = absl::AsciiStrToLower(text);
  if (wanted.size() < 8 || wanted.size() > 64 ||
      !std::all_of(wanted.begin(), wanted.end(), absl::ascii_isxdigit)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no credential id: 8 to 64 hex digits of it are needed"));
  }
  FOREKEY_ASSIGN_OR_RETURN(
      auto all, admin.Ask(&v1::Admin::Stub::ListCredentials, &Administration::ListCredentials,
                          v1::ListCredentialsRequest()));
  std::string found;
  for (const auto& credential : all.credentials()) {
    if (!absl::StartsWith(absl::BytesToHexString(credential.credential_id()), wanted)) continue;
    if (!found.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than one credential begins with ", text));
    }
    found = credential.credential_id();
  }
  if (found.empty()) return absl::NotFoundError(absl::StrCat("no credential begins with ", text));
  return found;
}

// A role is only a word: one that nobody else has and no rule names is most likely misspelt.
void NoteRareRoles(GateAdmin& admin, const GateConfig& config, const std::string& subject,
                   const std::vector<std::string>& roles, std::ostream& err) {
  const auto all = admin.Ask(&v1::Admin::Stub::ListSubjects, &Administration::ListSubjects,
                             v1::ListSubjectsRequest());
  if (!all.ok()) return;
  std::vector<std::string> known;
  for (const auto& other : all->subjects()) {
    if (other.subject() == subject) continue;
    known.insert(known.end(), other.roles().begin(), other.roles().end());
  }
  for (const MethodRule& rule : config.rules.rules) {
    known.insert(known.end(), rule.any_role.begin(), rule.any_role.end());
  }
  for (const std::string& role : roles) {
    if (std::find(known.begin(), known.end(), role) != known.end()) continue;
    err << "forekey-gate: note: nobody else has the role " << role << ", and no rule names it"
        << DidYouMean(role, known) << "\n";
  }
}

void AddInvite(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string subject, lifetime = "24h", address, replaces, device;
    std::vector<std::string> roles, kinds;
    bool qr = false;
  };
  auto args = std::make_shared<Args>();
  AdminCommand command;
  command.app = app.add_subcommand(
      "invite", "Make an invite: who holds it may enrol one token as the subject");
  command.uses = {"listen", "tls"};
  command.app->add_option("--subject,-s", args->subject, "Who will be enrolled")->required();
  command.app->add_option("--role,-r", args->roles, "A role of a new subject; may be repeated");
  command.app
      ->add_option("--kind,-k", args->kinds, "Which kinds of token may be enrolled (default: any)")
      ->check(CLI::IsMember(TokenKindNames()));
  command.app->add_option("--lifetime,-l", args->lifetime, "30m, 24h, 7d")->capture_default_str();
  command.app->add_option("--address,-a", args->address,
                          "host:port of the gate, if not the config's");
  command.app->add_option("--replaces", args->replaces,
                          "Recovery: this credential is revoked when the new one is enrolled");
  command.app->add_option("--device", args->device,
                          "Only this device: SHA-256 in hex that its attestation must prove");
  command.app->add_flag("--qr", args->qr, "Show it as a QR code, too");
  command.prepare = [args](GateConfig& config) {
    if (!args->address.empty()) config.listen.advertise = args->address;
  };
  command.body = [args, &err = terminal.err](GateAdmin& admin,
                                             const GateConfig& config) -> absl::StatusOr<Json> {
    NoteRareRoles(admin, config, args->subject, args->roles, err);
    v1::CreateInviteRequest request;
    request.set_subject(args->subject);
    for (const std::string& role : args->roles) request.add_roles(role);
    for (const std::string& kind : args->kinds) {
      const std::optional<TokenKind> known = TokenKindFromName(kind);
      if (!known) {
        return absl::InvalidArgumentError(absl::StrCat("unknown kind of token: ", kind));
      }
      request.add_kinds(*known);
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
                                                      &Administration::CreateInvite, request));
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
  command.text = [args, &err = terminal.err](const Json& json, bool, std::ostream& out) {
    const std::string invite = json["invite"].get<std::string>();
    if (args->qr) {
      const absl::StatusOr<std::string> code =
          QrCode(invite, TerminalColumns(STDOUT_FILENO), MayColour(out));
      if (code.ok()) out << *code;
      if (!code.ok()) err << "forekey-gate: " << code.status().message() << "\n";
    }
    out << invite << "\n";
  };
  WireAdminCommand(std::move(command), terminal);
}

// Exit status 1 where it is not known who has a change: it is durable all the same.
absl::StatusOr<Json> SpreadOf(const v1::Spread& spread) {
  if (!spread.unknown().empty()) {
    return absl::AbortedError(absl::StrCat(
        "it is done, and durable, but NOT known to be held everywhere yet: ", spread.unknown(),
        "; each replica has it once it hears of it or its lease has ended"));
  }
  return Json{
      {"confirmed", std::vector<std::string>(spread.confirmed().begin(), spread.confirmed().end())},
      {"unconfirmed",
       std::vector<std::string>(spread.unconfirmed().begin(), spread.unconfirmed().end())}};
}

void PrintSpread(const Json& spread, std::ostream& out) {
  if (spread["confirmed"].empty() && spread["unconfirmed"].empty()) return;
  out << "held everywhere: " << spread["confirmed"].size() << " replicas confirmed\n";
  for (const Json& name : spread["unconfirmed"]) {
    out << "not confirmed by " << name.get<std::string>()
        << ": its lease has ended, and it admits nothing until it has heard of it\n";
  }
}

// The whole id, in hex, of the one invite whose id begins so; empty for nothing.
absl::StatusOr<std::string> InviteIdFrom(const v1::ListInvitesResponse& all,
                                         const std::string& text) {
  constexpr size_t kFewestDigits = 8;
  if (text.empty()) return text;
  const std::string wanted = absl::AsciiStrToLower(text);
  std::vector<std::string> found;
  for (const auto& invite : all.invites()) {
    const std::string id = absl::BytesToHexString(invite.invite_id());
    if (absl::StartsWith(id, wanted)) found.push_back(id);
  }
  if (found.empty()) return absl::NotFoundError(absl::StrCat("no invite has the id ", text));
  if (found.size() > 1 || wanted.size() < kFewestDigits) {
    return absl::InvalidArgumentError(
        absl::StrCat("say more digits of the id: ", Plural(found.size(), "invite"),
                     " so far, and 8 are needed"));
  }
  return found[0];
}

void AddInvites(CLI::App& app, const GateTerminal& terminal) {
  auto cancel = std::make_shared<std::string>();
  AdminCommand command;
  command.app = app.add_subcommand("invites", "List invites, or cancel one");
  command.app->add_option(
      "--cancel", *cancel,
      "The invite's id, or its first 8 or more digits: it can't be used any more");
  command.body = [cancel](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(auto all,
                             admin.Ask(&v1::Admin::Stub::ListInvites, &Administration::ListInvites,
                                       v1::ListInvitesRequest()));
    FOREKEY_ASSIGN_OR_RETURN(const std::string wanted, InviteIdFrom(all, *cancel));
    Json list = Json::array();
    for (const auto& invite : all.invites()) {
      const std::string id = absl::BytesToHexString(invite.invite_id());
      if (!cancel->empty()) {
        if (id != wanted) continue;
        v1::CancelInviteRequest request;
        request.set_invite_id(invite.invite_id());
        FOREKEY_RETURN_IF_ERROR(
            admin.Ask(&v1::Admin::Stub::CancelInvite, &Administration::CancelInvite, request)
                .status());
      }
      list.push_back(
          {{"id", id},
           {"subject", invite.subject()},
           {"roles", std::vector<std::string>(invite.roles().begin(), invite.roles().end())},
           {"expires", TimeText(invite.expires_unix_s())},
           {"used", TimeText(invite.used_unix_s())},
           {"recovery", invite.recovery()},
           {"cancelled", !cancel->empty()}});
    }
    return list;
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    Table table = Table::For(out);
    for (const Json& invite : json) {
      table.Add({invite["id"].get<std::string>(), invite["subject"].get<std::string>(),
                 absl::StrCat(invite["cancelled"].get<bool>() ? "cancelled"
                              : invite["used"].get<std::string>().empty()
                                  ? "expires " + invite["expires"].get<std::string>()
                                  : "used " + invite["used"].get<std::string>(),
                              invite["recovery"].get<bool>() ? "  recovery" : "")});
    }
    table.Print(out);
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddSubjects(CLI::App& app, const GateTerminal& terminal) {
  AdminCommand command;
  command.app = app.add_subcommand("subjects", "List subjects");
  command.body = [](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    FOREKEY_ASSIGN_OR_RETURN(
        auto all, admin.Ask(&v1::Admin::Stub::ListSubjects, &Administration::ListSubjects,
                            v1::ListSubjectsRequest()));
    Json list = Json::array();
    for (const auto& subject : all.subjects()) {
      list.push_back(
          {{"subject", subject.subject()},
           {"roles", std::vector<std::string>(subject.roles().begin(), subject.roles().end())},
           {"disabled", subject.disabled()},
           {"created", TimeText(subject.created_unix_s())},
           {"live_credentials", subject.live_credentials()},
           {"oidc_identities", std::vector<std::string>(subject.oidc_identities().begin(),
                                                        subject.oidc_identities().end())}});
    }
    return list;
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    Table table = Table::For(out);
    for (const Json& subject : json) {
      std::string last =
          absl::StrCat(Plural(subject["live_credentials"].get<uint64_t>(), "credential"),
                       subject["disabled"].get<bool>() ? "  disabled" : "");
      for (const Json& oidc : subject["oidc_identities"]) {
        absl::StrAppend(&last, "  ", oidc.get<std::string>());
      }
      table.Add({subject["subject"].get<std::string>(),
                 absl::StrJoin(subject["roles"].get<std::vector<std::string>>(), ","),
                 std::move(last)});
    }
    table.Print(out);
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddSubjectPassword(CLI::App& subject, const GateTerminal& terminal) {
  CLI::App* group = subject.add_subcommand("password", "Set a subject's password, or take it away");
  group->require_subcommand(1);
  for (const bool set : {true, false}) {
    auto name = std::make_shared<std::string>();
    AdminCommand command;
    command.app = group->add_subcommand(
        set ? "set" : "clear",
        set ? "Asks for the password on the terminal, or reads a line of standard input"
            : "Takes the password away: what asks for one refuses the subject");
    if (set) command.uses = {"factors"};
    command.app->add_option("subject", *name)->required();
    command.body = [name, set](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
      v1::SetPasswordRequest request;
      request.set_subject(*name);
      if (set) {
        FOREKEY_ASSIGN_OR_RETURN(Secret password, ReadNewPassword());
        if (password.empty()) return absl::InvalidArgumentError("no password was given");
        request.set_password(std::string(password.view()));
      }
      auto done = admin.Ask(&v1::Admin::Stub::SetPassword, &Administration::SetPassword, request);
      Wipe(*request.mutable_password());
      FOREKEY_RETURN_IF_ERROR(done.status());
      return Json{{"subject", *name}, {"has_password", set}};
    };
    command.text = [](const Json& json, bool, std::ostream& out) {
      out << json["subject"].get<std::string>()
          << (json["has_password"].get<bool>() ? ": password set\n" : ": password taken away\n");
    };
    WireAdminCommand(std::move(command), terminal);
  }
}

void AddSubjectOidc(CLI::App& subject, const GateTerminal& terminal) {
  CLI::App* group = subject.add_subcommand("oidc", "Say who a subject is at an identity provider");
  group->require_subcommand(1);
  for (const bool set : {true, false}) {
    auto request = std::make_shared<v1::SetOidcIdentityRequest>();
    AdminCommand command;
    command.app = group->add_subcommand(
        set ? "set" : "clear",
        set ? "What the provider's ID tokens say in the claim that its configuration names"
            : "Takes it away: the provider's ID tokens are refused of the subject");
    if (set) command.uses = {"factors"};
    command.app->add_option("subject", *request->mutable_subject())->required();
    if (set) command.app->add_option("identity", *request->mutable_identity())->required();
    command.app->add_option(
        "--issuer", *request->mutable_issuer(),
        set ? "The provider's; needed where there are several" : "One provider's; without it all");
    command.body = [request, set](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
      if (set && request->identity().empty())
        return absl::InvalidArgumentError("the identity is empty");
      FOREKEY_ASSIGN_OR_RETURN(
          auto response,
          admin.Ask(&v1::Admin::Stub::SetOidcIdentity, &Administration::SetOidcIdentity, *request));
      return Json{{"subject", request->subject()},
                  {"identity", request->identity()},
                  {"claim", response.claim()},
                  {"issuer", response.issuer()}};
    };
    command.text = [](const Json& json, bool, std::ostream& out) {
      const std::string claim = json["claim"].get<std::string>();
      out << json["subject"].get<std::string>();
      if (claim.empty()) {
        out << ": identity taken away\n";
      } else {
        out << ": is " << claim << " " << json["identity"].get<std::string>() << " at "
            << json["issuer"].get<std::string>() << "\n";
      }
    };
    WireAdminCommand(std::move(command), terminal);
  }
}

void AddProviders(CLI::App& app, const GateTerminal& terminal) {
  auto refresh = std::make_shared<bool>(false);
  AdminCommand command;
  command.app = app.add_subcommand("providers",
                                   "List the identity providers and what is known of their keys");
  command.uses = {"factors"};
  command.app->add_flag("--refresh", *refresh,
                        "Fetch their keys first, after one was taken back; fails where one "
                        "can't be had");
  command.body = [refresh](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::ListIdentityProvidersRequest request;
    request.set_refresh(*refresh);
    FOREKEY_ASSIGN_OR_RETURN(auto response,
                             admin.Ask(&v1::Admin::Stub::ListIdentityProviders,
                                       &Administration::ListIdentityProviders, request));
    Json list = Json::array();
    std::string errors;
    for (const auto& provider : response.providers()) {
      list.push_back({{"issuer", provider.issuer()},
                      {"client_id", provider.client_id()},
                      {"source", provider.source()},
                      {"keys", provider.keys()},
                      {"age_s", provider.age_s()},
                      {"error", provider.error()}});
      if (!provider.error().empty())
        absl::StrAppend(&errors, provider.issuer(), ": ", provider.error(), "\n");
    }
    if (*refresh && !errors.empty()) return absl::UnavailableError(errors);
    return list;
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    for (const Json& provider : json) {
      out << provider["issuer"].get<std::string>() << "  client "
          << provider["client_id"].get<std::string>() << "  "
          << provider["source"].get<std::string>() << "  ";
      if (provider["age_s"].get<int64_t>() < 0) {
        out << "no keys";
      } else {
        out << Plural(provider["keys"].get<uint64_t>(), "key") << ", " << provider["age_s"]
            << " s old";
      }
      if (const auto error = provider["error"].get<std::string>(); !error.empty())
        out << "  " << error;
      out << "\n";
    }
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddSubjectSet(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string subject;
    std::vector<std::string> roles;
    bool no_roles = false, disable = false, enable = false;
  };
  auto args = std::make_shared<Args>();
  CLI::App* group = app.add_subcommand("subject", "Change a subject");
  group->require_subcommand(1);
  AddSubjectPassword(*group, terminal);
  AddSubjectOidc(*group, terminal);
  AdminCommand command;
  command.app =
      group->add_subcommand("set", "Set a subject's roles, or whether it may call at all");
  command.app->add_option("subject", args->subject)->required();
  auto* roles = command.app->add_option("--role,-r", args->roles, "All of its roles, repeated");
  command.app->add_flag("--no-roles", args->no_roles, "Takes all roles away")->excludes(roles);
  auto* disable =
      command.app->add_flag("--disable", args->disable, "Refuses it, from the next call on");
  command.app->add_flag("--enable", args->enable)->excludes(disable);
  command.body = [args, &err = terminal.err](GateAdmin& admin,
                                             const GateConfig& config) -> absl::StatusOr<Json> {
    NoteRareRoles(admin, config, args->subject, args->roles, err);
    v1::SetSubjectRequest request;
    request.set_subject(args->subject);
    request.set_set_roles(args->no_roles || !args->roles.empty());
    for (const std::string& role : args->roles) request.add_roles(role);
    request.set_set_disabled(args->disable || args->enable);
    request.set_disabled(args->disable);
    if (!request.set_roles() && !request.set_disabled()) {
      return absl::InvalidArgumentError(
          "nothing to set: --role, --no-roles, --disable or --enable");
    }
    FOREKEY_ASSIGN_OR_RETURN(const auto response, admin.Ask(&v1::Admin::Stub::SetSubject,
                                                            &Administration::SetSubject, request));
    FOREKEY_ASSIGN_OR_RETURN(const Json spread, SpreadOf(response.spread()));
    return Json{{"subject", args->subject}, {"in_force", admin.gate_runs()}, {"spread", spread}};
  };
  command.text = [](const Json& json, bool gate_runs, std::ostream& out) {
    out << json["subject"].get<std::string>()
        << (gate_runs ? ": the running gate has it\n"
                      : ": set in the registry; no gate is running here\n");
    PrintSpread(json["spread"], out);
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddCredentials(CLI::App& app, const GateTerminal& terminal) {
  auto subject = std::make_shared<std::string>();
  AdminCommand command;
  command.app =
      app.add_subcommand("credentials", "List enrolled credentials, with what was proved of each");
  command.app->add_option("--subject,-s", *subject, "Of this subject alone");
  command.body = [subject](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::ListCredentialsRequest request;
    request.set_subject(*subject);
    FOREKEY_ASSIGN_OR_RETURN(auto all, admin.Ask(&v1::Admin::Stub::ListCredentials,
                                                 &Administration::ListCredentials, request));
    Json list = Json::array();
    for (const auto& credential : all.credentials()) {
      Json proved = Json::parse(credential.proved_json(), nullptr, /*allow_exceptions=*/false);
      list.push_back({{"id", absl::BytesToHexString(credential.credential_id())},
                      {"subject", credential.subject()},
                      {"kind", std::string(TokenKindName(credential.kind()))},
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
    Table table = Table::For(out);
    for (const Json& credential : json) {
      const std::string revoked = credential["revoked"].get<std::string>();
      // Its holder chose it.
      const bool printable = IsPrintable(credential["label"].get_ref<const std::string&>());
      const std::string label = credential["label"].dump(-1, ' ', /*ensure_ascii=*/!printable,
                                                         Json::error_handler_t::replace);
      table.Add({credential["id"].get<std::string>(), credential["subject"].get<std::string>(),
                 credential["kind"].get<std::string>(), label,
                 revoked.empty() ? "enrolled " + credential["enrolled"].get<std::string>()
                                 : "revoked " + revoked});
    }
    table.Print(out);
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddRecheck(CLI::App& app, const GateTerminal& terminal) {
  auto revoke = std::make_shared<bool>(false);
  AdminCommand command;
  command.app = app.add_subcommand("recheck",
                                   "Verify what is enrolled by the roots, revocation lists and "
                                   "metadata of now, and list what would "
                                   "be refused");
  command.uses = {"attestation"};
  command.app->add_flag("--revoke", *revoke,
                        "Revoke those whose trust was withdrawn: revoked, reported, or no "
                        "longer trusted; not what expired or can't be told");
  command.body = [revoke](GateAdmin& admin, const GateConfig&) -> absl::StatusOr<Json> {
    v1::RecheckCredentialsRequest request;
    request.set_revoke(*revoke);
    FOREKEY_ASSIGN_OR_RETURN(
        auto response, admin.Ask(&v1::Admin::Stub::RecheckCredentials,
                                 &Administration::RecheckCredentials, request, absl::Hours(1)));
    Json list = Json::array();
    for (const auto& credential : response.credentials()) {
      list.push_back({{"id", absl::BytesToHexString(credential.credential_id())},
                      {"subject", credential.subject()},
                      {"kind", std::string(TokenKindName(credential.kind()))},
                      {"label", credential.label()},
                      {"reason", credential.reason()},
                      {"detail", credential.detail()},
                      {"withdrawn", credential.withdrawn()},
                      {"revoked", credential.revoked()}});
    }
    return Json{{"checked", response.checked()},
                {"unchecked", response.unchecked()},
                {"refused", response.refused()},
                {"credentials", list}};
  };
  command.text = [](const Json& json, bool, std::ostream& out) {
    for (const Json& credential : json["credentials"]) {
      out << credential["id"].get<std::string>() << "  " << credential["subject"].get<std::string>()
          << "  " << credential["kind"].get<std::string>() << "  "
          << credential["reason"].get<std::string>() << "  "
          << (credential["revoked"].get<bool>()     ? "revoked"
              : credential["withdrawn"].get<bool>() ? "withdrawn"
                                                    : "stays")
          << "  " << credential["detail"].get<std::string>() << "\n";
    }
    out << json["checked"] << " checked, " << json["refused"] << " would be refused now, "
        << json["unchecked"] << " could not be checked\n";
  };
  WireAdminCommand(std::move(command), terminal);
}

void AddRevoke(CLI::App& app, const GateTerminal& terminal) {
  struct Args {
    std::string credential, subject, note;
  };
  auto args = std::make_shared<Args>();
  AdminCommand command;
  command.app =
      app.add_subcommand("revoke", "Revoke a credential, or all of a subject's, for ever");
  auto* credential = command.app->add_option("credential", args->credential,
                                             "Its id, or the first 8 or more digits");
  command.app
      ->add_option("--subject,-s", args->subject,
                   "All credentials of this subject, and its unused invites")
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
                                                      &Administration::RevokeCredential, request));
    FOREKEY_ASSIGN_OR_RETURN(const Json spread, SpreadOf(response.spread()));
    Json cancelled = Json::array();
    for (const auto& invite : response.cancelled_invites()) {
      cancelled.push_back(absl::BytesToHexString(invite.invite_id()));
    }
    return Json{{"revoked", response.revoked()},
                {"sessions_ended", response.sessions_ended()},
                {"cancelled_invites", cancelled},
                {"in_force", admin.gate_runs()},
                {"spread", spread}};
  };
  command.text = [](const Json& json, bool gate_runs, std::ostream& out) {
    out << json["revoked"] << " revoked";
    if (gate_runs) {
      out << ", " << Plural(json["sessions_ended"].get<uint64_t>(), "session")
          << " ended: the running gate has it\n";
    } else {
      out << " in the registry; no gate is running here\n";
    }
    for (const Json& invite : json["cancelled_invites"]) {
      out << "invite cancelled: " << invite.get<std::string>() << "\n";
    }
    PrintSpread(json["spread"], out);
  };
  WireAdminCommand(std::move(command), terminal);
}

}  // namespace

void AddPeopleCommands(CLI::App& app, const GateTerminal& terminal) {
  AddInvite(app, terminal);
  AddInvites(app, terminal);
  AddSubjects(app, terminal);
  AddSubjectSet(app, terminal);
  AddProviders(app, terminal);
  AddCredentials(app, terminal);
  AddRecheck(app, terminal);
  AddRevoke(app, terminal);
}

}  // namespace forekey
