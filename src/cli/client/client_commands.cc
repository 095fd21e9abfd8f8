// SPDX-License-Identifier: Apache-2.0
#include "src/cli/client/client_commands.h"

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "forekey/client.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/client/agent_client.h"
#include "src/cli/client/client_command_parts.h"
#include "src/cli/client/doctor.h"
#include "src/cli/client/local_proxy.h"
#include "src/cli/terminal/read_password.h"
#include "src/cli/terminal/table.h"
#include "src/client/agent_socket.h"
#include "src/client/grpc_errors.h"
#include "src/rpc/call_deadline.h"

namespace forekey {
namespace {

using nlohmann::json;

struct GateArguments {
  std::string gate;
  std::string credential;
  std::vector<std::string> with;
  bool fresh = false;
  bool with_password = false;
  KeyPassword password;
};

// The person at the terminal must know that a key waits for them: to stderr, beside any --json.
absl::Status TellToTouch(const ClientCommand& shared, AgentClient& agent,
                         const GateArguments& arguments) {
  v1::GetStatusResponse status;
  FOREKEY_RETURN_IF_ERROR(
      agent.Call(&v1::Agent::Stub::GetStatus, v1::GetStatusRequest(), &status, kQuick));
  for (const v1::EnrolledGate& gate : status.gates()) {
    if (!arguments.gate.empty() && gate.audience() != arguments.gate) continue;
    if (gate.session_open() && !arguments.fresh && arguments.with.empty()) continue;
    for (const v1::CredentialInfo& credential : gate.credentials()) {
      if (credential.kind() != v1::TOKEN_KIND_FIDO2) continue;
      shared.err << "touch the security key when it blinks" << std::endl;
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::Status Login(const ClientCommand& shared, const GateArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  FOREKEY_ASSIGN_OR_RETURN(Secret password, arguments.password.Read(/*is_new=*/false));
  v1::LoginRequest request;
  request.set_gate(arguments.gate);
  request.set_fresh(arguments.fresh);
  for (const std::string& name : arguments.with) request.add_with(name);
  FOREKEY_RETURN_IF_ERROR(TellToTouch(shared, agent, arguments));
  request.set_key_password(std::string(password.view()));
  if (arguments.with_password) {
    FOREKEY_ASSIGN_OR_RETURN(Secret at_gate, AskPassword("Password at the gate: ", false));
    request.set_password(std::string(at_gate.view()));
  }
  v1::LoginResponse response;
  absl::Status status;
  {
    const AgentClient::Notices notices(agent, shared.err);
    status = agent.Call(&v1::Agent::Stub::Login, request, &response, kSlow);
  }
  Wipe(*request.mutable_key_password());
  Wipe(*request.mutable_password());
  FOREKEY_RETURN_IF_ERROR(status);
  for (const std::string& note : response.notes()) shared.err << Shown(note) << std::endl;
  if (shared.json) {
    json notes = json::array();
    for (const std::string& note : response.notes()) notes.push_back(note);
    shared.out << Dump({{"gate", response.gate()},
                        {"subject", response.subject()},
                        {"notes", notes},
                        {"session_expires", TimeText(response.session_expires_unix_s())}})
               << std::endl;
  } else {
    shared.out << "logged in at " << response.gate() << " as " << response.subject() << " until "
               << TimeText(response.session_expires_unix_s()) << std::endl;
  }
  return absl::OkStatus();
}

absl::Status Logout(const ClientCommand& shared, const GateArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::LogoutRequest request;
  request.set_gate(arguments.gate);
  v1::LogoutResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::Logout, request, &response, kQuick));
  shared.out << (shared.json ? "{\"logged_out\": true}" : "logged out") << std::endl;
  return absl::OkStatus();
}

absl::Status Forget(const ClientCommand& shared, const GateArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::ForgetGateRequest request;
  request.set_gate(arguments.gate);
  request.set_credential(arguments.credential);
  v1::ForgetGateResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::ForgetGate, request, &response, kQuick));
  shared.out << (shared.json ? "{\"forgotten\": true}"
                             : "forgotten here; at the gate the credential lasts until its "
                               "administrator revokes it")
             << std::endl;
  return absl::OkStatus();
}

absl::Status SetDefault(const ClientCommand& shared, const GateArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::SetDefaultRequest request;
  request.set_gate(arguments.gate);
  request.set_credential(arguments.credential);
  v1::SetDefaultResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::SetDefault, request, &response, kQuick));
  if (shared.json) {
    shared.out << Dump({{"credential_id", response.credential_id()}, {"label", response.label()}})
               << std::endl;
  } else if (response.credential_id().empty()) {
    shared.out << "the newest credential signs again" << std::endl;
  } else {
    shared.out << response.credential_id() << " " << Shown(response.label())
               << " signs from the next session on" << std::endl;
  }
  return absl::OkStatus();
}

json GateJson(const v1::EnrolledGate& gate) {
  json credentials = json::array();
  for (const v1::CredentialInfo& credential : gate.credentials()) {
    credentials.push_back({{"id", credential.id()},
                           {"kind", TokenKindName(credential.kind())},
                           {"label", credential.label()},
                           {"note", credential.device()}});
  }
  json value = {{"gate", gate.audience()},
                {"address", gate.address()},
                {"subject", gate.subject()},
                {"credentials", credentials},
                {"default_credential", gate.default_credential()},
                {"session_open", gate.session_open()}};
  if (gate.session_open()) value["session_expires"] = TimeText(gate.session_expires_unix_s());
  return value;
}

absl::Status Status(const ClientCommand& shared) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::GetStatusResponse response;
  FOREKEY_RETURN_IF_ERROR(
      agent.Call(&v1::Agent::Stub::GetStatus, v1::GetStatusRequest(), &response, kQuick));
  if (shared.json) {
    json gates = json::array();
    for (const v1::EnrolledGate& gate : response.gates()) gates.push_back(GateJson(gate));
    json problems = json::array();
    for (const std::string& problem : response.problems()) problems.push_back(problem);
    shared.out << Dump({{"version", response.version()},
                        {"socket", agent.socket()},
                        {"gates", gates},
                        {"problems", problems}})
               << std::endl;
    return absl::OkStatus();
  }
  shared.out << "agent " << response.version() << " on " << agent.socket() << "\n";
  for (const v1::EnrolledGate& gate : response.gates()) {
    shared.out << gate.audience() << "  " << gate.address() << "  as " << gate.subject() << "  "
               << (gate.session_open()
                       ? absl::StrCat("session until ", TimeText(gate.session_expires_unix_s()))
                       : std::string("no session"))
               << "\n";
    Table table = Table::For(shared.out);
    for (const v1::CredentialInfo& credential : gate.credentials()) {
      table.Add(
          {absl::StrCat("  ", TokenKindName(credential.kind())), credential.id(),
           absl::StrCat(
               Shown(credential.label()),
               credential.id() == gate.default_credential() ? " (default)" : "",
               credential.device().empty() ? "" : absl::StrCat(" (", credential.device(), ")"))});
    }
    table.Print(shared.out);
  }
  if (response.gates().empty()) shared.out << "enrolled nowhere: forekey enroll INVITE\n";
  for (const std::string& problem : response.problems()) shared.err << problem << "\n";
  return absl::OkStatus();
}

// What was proved of a device is JSON in a string on the wire, and an object here; other texts stay
// texts.
json ObjectIn(const std::string& text) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_object() ? value : json(text);
}

json WhoAmIJson(const v1::WhoAmIResponse& response) {
  json credentials = json::array();
  for (const v1::CredentialInfo& credential : response.credentials()) {
    credentials.push_back({{"id", credential.id()},
                           {"kind", TokenKindName(credential.kind())},
                           {"label", credential.label()},
                           {"device", ObjectIn(credential.device())}});
  }
  json factors = json::array();
  for (const v1::Factor& factor : response.factors()) {
    factors.push_back(
        {{"name", factor.name()}, {"proved_at", TimeText(factor.proved_at_unix_s())}});
  }
  json roles = json::array();
  for (const std::string& role : response.roles()) roles.push_back(role);
  return {{"subject", response.subject()},
          {"roles", roles},
          {"credentials", credentials},
          {"factors", factors},
          {"session", response.session()},
          {"child_session", response.child_session()},
          {"session_expires", TimeText(response.session_expires_unix_s())}};
}

absl::Status WhoAmI(const ClientCommand& shared, const GateArguments& arguments) {
  ChannelOptions options;
  options.gate = arguments.gate;
  options.agent_socket = shared.socket;
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, Channel(options));
  grpc::ClientContext context;
  context.set_deadline(CallDeadline(kSlow));
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::WhoAmIResponse response;
  grpc::Status status;
  {
    const AgentClient::Notices notices(agent, shared.err);
    status = v1::Gate::NewStub(channel)->WhoAmI(&context, v1::WhoAmIRequest(), &response);
  }
  // The agent's own words, where it could not make the call's proof.
  if (!status.error_details().empty()) return AgentError(status, agent.socket());
  if (!status.ok()) return GateError(status, "ask who this is", "the gate");
  if (shared.json) {
    shared.out << Dump(WhoAmIJson(response)) << std::endl;
    return absl::OkStatus();
  }
  shared.out << Shown(response.subject()) << "\n";
  if (response.roles_size() > 0) {
    shared.out << "roles: " << Shown(absl::StrJoin(response.roles(), ", ")) << "\n";
  }
  for (const v1::CredentialInfo& credential : response.credentials()) {
    shared.out << "credential: " << TokenKindName(credential.kind()) << " "
               << Shown(credential.id()) << " " << Shown(credential.label())
               << "\n";  // what was proved of the device: --json
  }
  for (const v1::Factor& factor : response.factors()) {
    shared.out << "factor: " << Shown(factor.name()) << ", proved at "
               << TimeText(factor.proved_at_unix_s()) << "\n";
  }
  shared.out << "session: " << Shown(response.session()) << " until "
             << TimeText(response.session_expires_unix_s()) << std::endl;
  return absl::OkStatus();
}

struct PrefixArguments {
  std::string gate, method, channel_binding;
  std::vector<std::string> with;
  bool device = false;
};

absl::Status MakePrefix(const ClientCommand& shared, const PrefixArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::GetPrefixRequest request;
  request.set_gate(arguments.gate);
  request.set_method(arguments.method);
  request.set_device(arguments.device);
  for (const std::string& name : arguments.with) request.add_with(name);
  const std::string& hex = arguments.channel_binding;
  if (hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos ||
      (!hex.empty() && hex.size() != 64)) {
    return absl::InvalidArgumentError("--channel-binding is not the hex of 32 bytes");
  }
  request.set_channel_binding(absl::HexStringToBytes(hex));
  v1::GetPrefixResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::GetPrefix, request, &response, kSlow));
  std::string base64 = absl::Base64Escape(response.prefix());
  if (shared.json) {
    shared.out << Dump({{"forekey-prefix-bin", base64},
                        {"session", absl::BytesToHexString(response.session_id())}})
               << std::endl;
  } else {
    shared.out << base64 << std::endl;
  }
  return absl::OkStatus();
}

void AddWith(CLI::App* command, std::vector<std::string>* with) {
  command
      ->add_option(
          "--with", *with,
          "Credentials that sign together: kinds, labels or ids (or how they begin), with commas "
          "(tpm,fido2); default: as last time, at first forekey default's")
      ->delimiter(',');
}

void AddSessionCommands(CLI::App& app, const std::shared_ptr<ClientCommand>& shared) {
  auto arguments = std::make_shared<GateArguments>();
  CLI::App* login = AddCommand(
      app, shared, "login", "Open the agent's session at a gate now",
      "Sessions open by themselves on first use; this is for keys that have a password, and to see "
      "that all is well.\n\nExamples:\n  forekey login\n  forekey login --with tpm,fido2\n  "
      "forekey login --with tpm,oidc     an ID token, too (docs/AGENT.md)\n  forekey login --gate "
      "prod.example.com "
      "--ask-key-password",
      [arguments](const ClientCommand& s) { return Login(s, *arguments); });
  AddGate(login, &arguments->gate);
  AddWith(login, &arguments->with);
  login->add_flag("--fresh", arguments->fresh, "Open a new session even when there is one");
  login->add_flag("--password", arguments->with_password,
                  "Ask for the subject's password at the gate: the session has proved it, too");
  arguments->password.AddTo(login);
  CLI::App* logout =
      AddCommand(app, shared, "logout", "End the agent's session and those opened from it",
                 "Example:\n  forekey logout --gate prod.example.com",
                 [arguments](const ClientCommand& s) { return Logout(s, *arguments); });
  AddGate(logout, &arguments->gate);
  CLI::App* who = AddCommand(app, shared, "whoami", "Ask a gate who it takes this user for",
                             "Example:\n  forekey whoami --json",
                             [arguments](const ClientCommand& s) { return WhoAmI(s, *arguments); });
  AddGate(who, &arguments->gate);
  CLI::App* forget =
      AddCommand(app, shared, "forget", "Forget a gate and the keys for it",
                 "The credential stays enrolled at the gate until its administrator revokes it.\n\n"
                 "Examples:\n  forekey forget --gate prod.example.com\n"
                 "  forekey forget --gate prod.example.com --credential old-laptop",
                 [arguments](const ClientCommand& s) { return Forget(s, *arguments); });
  AddGate(forget, &arguments->gate)->required();
  forget->add_option("--credential", arguments->credential,
                     "Forget only this one: a label or an id, or how it begins");
  CLI::App* preferred = AddCommand(
      app, shared, "default", "Choose the credential that signs where nothing else is asked for",
      "At first it is the newest one. Where its token is not there, another one signs, and that is "
      "said.\n\nExamples:\n  forekey default laptop\n  forekey default 3fa9 --gate "
      "prod.example.com\n  forekey default            the newest again",
      [arguments](const ClientCommand& s) { return SetDefault(s, *arguments); });
  preferred->add_option("credential", arguments->credential,
                        "A label or an id, or how it begins (default: the newest again)");
  AddGate(preferred, &arguments->gate);
}

void AddProxyCommand(CLI::App& app, const std::shared_ptr<ClientCommand>& shared) {
  auto arguments = std::make_shared<ProxyArguments>();
  CLI::App* command = AddCommand(
      app, shared, "proxy", "Serve a local endpoint for gRPC clients that know nothing of Forekey",
      "Clients connect to it without TLS; their calls go to the gate as yours. Sessions are opened "
      "as they are needed, and touches asked for within the call.\n\nExamples:\n"
      "  forekey proxy --gate prod.example.com --listen unix:$XDG_RUNTIME_DIR/forekey/prod.sock\n"
      "  forekey proxy --listen 127.0.0.1:7000 --token-file ~/.forekey-token",
      [arguments](const ClientCommand& s) {
        arguments->agent_socket = s.socket;
        return RunLocalProxy(*arguments, s.json, s.out);
      });
  AddGate(command, &arguments->gate);
  command->add_option("--listen", arguments->proxy.listen, "unix:PATH, or 127.0.0.1:PORT")
      ->required();
  command->add_option("--token-file", arguments->proxy.token_file,
                      "Of a port: made anew at each start; every call must carry what stands in it "
                      "as the metadata forekey-proxy-token");
}

void AddDoctor(CLI::App& app, const std::shared_ptr<ClientCommand>& shared) {
  CLI::App* command =
      AddCommand(app, shared, "doctor", "Find out why a token, a call or a gate does not work",
                 "Looks at devices and who may open them, the agent, its gates and the way to "
                 "them. Asks for no "
                 "PIN and no touch, and changes nothing.\n\nExample:\n  forekey doctor --json",
                 [](const ClientCommand&) { return absl::OkStatus(); });
  // Its exit status is of what it found: 0 well, 1 something to mend.
  command->callback([shared] {
    DoctorOptions options;
    options.socket = shared->socket;
    const std::vector<Finding> findings = Diagnose(options);
    if (shared->json) {
      PrintFindingsAsJson(findings, shared->out);
    } else {
      PrintFindings(findings, MayColour(shared->out), shared->out);
    }
    *shared->exit_status = ExitStatusOf(findings);
  });
}

}  // namespace

void AddClientCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status,
                       const Dialogue& dialogue) {
  auto shared = std::make_shared<ClientCommand>(
      ClientCommand{.out = out, .err = err, .exit_status = exit_status, .dialogue = dialogue});
  AddEnrollCommands(app, shared);
  AddSessionCommands(app, shared);
  AddCommand(app, shared, "status", "Show the agent's gates, credentials and sessions",
             "Example:\n  forekey status --json", Status);
  AddDoctor(app, shared);
  auto prefix = std::make_shared<PrefixArguments>();
  CLI::App* command =
      AddCommand(app, shared, "prefix", "Print a prefix for one call, in base64",
                 "For scripts and other languages: the value of the metadata key "
                 "forekey-prefix-bin, good for one "
                 "call.\n\nExample:\n  grpcurl -H \"forekey-prefix-bin: $(forekey prefix --method "
                 "/pkg.Service/Method)\" ...",
                 [prefix](const ClientCommand& s) { return MakePrefix(s, *prefix); });
  AddGate(command, &prefix->gate);
  command->add_option("--method", prefix->method, "/package.Service/Method")->required();
  command->add_option(
      "--channel-binding", prefix->channel_binding,
      "Hex of the SHA-256 of the server's leaf certificate (DER), where it is another "
      "than the agent sees");
  command->add_flag("--device", prefix->device, "Have the hardware sign this very call");
  AddWith(command, &prefix->with);
  AddProxyCommand(app, shared);
}

}  // namespace forekey
