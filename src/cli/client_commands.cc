#include "src/cli/client_commands.h"

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "forekey/client.h"
#include "forekey/v1/gate.grpc.pb.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/cli/agent_client.h"
#include "src/cli/read_password.h"
#include "src/client/grpc_errors.h"

namespace forekey {
namespace {

using nlohmann::json;

// Looking at a slow TPM, and enrolling with one, takes its time.
constexpr absl::Duration kQuick = absl::Seconds(30);
constexpr absl::Duration kSlow = absl::Minutes(3);

struct Shared {
  std::ostream& out;
  std::ostream& err;
  int* exit_status;
  std::string socket;
  bool json = false;
};

struct KeyPassword {
  bool ask = false;
  std::string file;

  void AddTo(CLI::App* command) {
    command->add_flag("--ask-key-password", ask, "Ask for the key's password on the terminal");
    command->add_option("--key-password-file", file,
                        "File (mode 0600) whose only line is the key's password");
  }
  absl::StatusOr<Secret> Read(bool is_new) const {
    if (!file.empty()) return ReadPasswordFile(file);
    if (ask) return AskPassword(is_new ? "Password for the new key: " : "Key password: ", is_new);
    return Secret();
  }
};

std::string Time(int64_t unix_s) {
  return absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(unix_s), absl::UTCTimeZone());
}

std::string KindText(v1::TokenKind kind) {
  switch (kind) {
    case v1::TOKEN_KIND_TPM: return "tpm";
    case v1::TOKEN_KIND_FIDO2: return "fido2";
    case v1::TOKEN_KIND_PIV: return "piv";
    default: return "unknown";
  }
}

// Adds a subcommand that runs `run` and tells how it ended.
template <typename Function>
CLI::App* AddCommand(CLI::App& app, std::shared_ptr<Shared> shared, const std::string& name,
                     const std::string& description, const std::string& footer, Function run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("--socket", shared->socket,
                      "The agent's socket (default: $FOREKEY_AGENT_SOCKET, else "
                      "$XDG_RUNTIME_DIR/forekey/agent.sock)");
  command->add_flag("--json", shared->json, "Print one JSON object");
  command->footer(absl::StrCat(
      "\n", footer,
      "\n\nExit status: 0 done, 1 refused by the gate, the agent or the device, 2 could not be run."));
  command->callback([shared, run] {
    *shared->exit_status = Report(run(*shared), shared->json, shared->out, shared->err);
  });
  return command;
}

absl::Status ListDevices(const Shared& shared) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::ListDevicesResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::ListDevices, v1::ListDevicesRequest(),
                                     &response, kQuick));
  if (shared.json) {
    json devices = json::array();
    for (const v1::Device& device : response.devices()) {
      devices.push_back({{"uri", device.uri()},
                         {"kind", KindText(device.kind())},
                         {"description", device.description()}});
    }
    json problems = json::array();
    for (const std::string& problem : response.problems()) problems.push_back(problem);
    shared.out << Dump({{"devices", devices}, {"problems", problems}}) << std::endl;
    return absl::OkStatus();
  }
  for (const v1::Device& device : response.devices()) {
    shared.out << device.uri() << "  " << KindText(device.kind()) << "  " << device.description()
               << "\n";
  }
  if (response.devices().empty()) shared.out << "no device was found\n";
  for (const std::string& problem : response.problems()) shared.err << problem << "\n";
  return absl::OkStatus();
}

// What only smartcards have.
struct PivArguments {
  std::string slot, management_key_file, pin_policy, touch_policy, algorithm;
  bool existing = false, overwrite = false, write_certificate = false;

  void AddTo(CLI::App* command) {
    const std::string group = "PIV";
    command->add_option("--slot", slot, "9a, 9c, 9d, 9e, 82 to 95 (default: the first free of 82 to 95)")
        ->group(group);
    command->add_flag("--existing", existing,
                      "Enrol the key and certificate that the card has; nothing is written to it")
        ->group(group);
    command->add_flag("--overwrite", overwrite, "The new key may destroy what is in the slot")->group(group);
    command->add_option("--management-key-file", management_key_file,
                        "File (mode 0600) with the card's management key in hex (default: the factory's, or "
                        "the one that the PIN protects)")
        ->group(group);
    command->add_option("--pin-policy", pin_policy, "When the new key wants the PIN (default: always)")
        ->check(CLI::IsMember({"always", "once", "never"}))
        ->group(group);
    command->add_option("--touch-policy", touch_policy, "When the new key wants a touch (default: always)")
        ->check(CLI::IsMember({"always", "cached", "never"}))
        ->group(group);
    command
        ->add_option("--algorithm", algorithm,
                     "Of the new key, where the card has it (default: eccp256; rsa2048 on firmware "
                     "whose ECDSA "
                     "is weak)")
        ->check(CLI::IsMember({"eccp256", "eccp384", "rsa2048", "rsa3072", "rsa4096", "ed25519"}))
        ->group(group);
    command
        ->add_flag(
            "--write-certificate", write_certificate,
            "Put the new key's attestation into the slot as its certificate, for other programs to "
            "find the key by (default: no certificate is written)")
        ->group(group);
  }
  absl::Status FillIn(v1::EnrollRequest* request) const {
    request->set_slot(slot);
    request->set_existing_key(existing);
    request->set_overwrite(overwrite);
    request->set_pin_policy(pin_policy);
    request->set_touch_policy(touch_policy);
    request->set_algorithm(algorithm);
    request->set_write_certificate(write_certificate);
    if (management_key_file.empty()) return absl::OkStatus();
    FOREKEY_ASSIGN_OR_RETURN(Secret key, ReadPasswordFile(management_key_file));
    request->set_management_key(std::string(key.view()));
    return absl::OkStatus();
  }
};

struct EnrollArguments {
  std::string invite, device, label, address, ca_file;
  KeyPassword password;
  PivArguments piv;
  bool discoverable = false;
};

// An invite is a secret, so "-" takes it from standard input instead of the process list.
absl::StatusOr<std::string> ReadInvite(const std::string& argument) {
  if (argument == "-") {
    std::string line;
    if (!std::getline(std::cin, line)) {
      return absl::InvalidArgumentError("no invite on the standard input");
    }
    return line;
  }
  if (!argument.empty() && argument[0] == '@') return ReadFile(argument.substr(1), 65536);
  return argument;
}

absl::Status Enroll(const Shared& shared, const EnrollArguments& arguments) {
  v1::EnrollRequest request;
  FOREKEY_ASSIGN_OR_RETURN(*request.mutable_invite(), ReadInvite(arguments.invite));
  request.set_device_uri(arguments.device);
  request.set_label(arguments.label);
  request.set_address(arguments.address);
  if (!arguments.ca_file.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(*request.mutable_ca_pem(), ReadFile(arguments.ca_file, 1 << 20));
  }
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  FOREKEY_ASSIGN_OR_RETURN(Secret password, arguments.password.Read(/*is_new=*/true));
  request.set_key_password(std::string(password.view()));
  FOREKEY_RETURN_IF_ERROR(arguments.piv.FillIn(&request));
  request.set_discoverable(arguments.discoverable);
  if (absl::StartsWith(arguments.device, "fido2:")) {
    shared.err << "touch the security key when it blinks: once to make the key, once to prove it" << std::endl;
  }
  v1::EnrollResponse response;
  absl::Status status = agent.Call(&v1::Agent::Stub::Enroll, request, &response, kSlow);
  Wipe(*request.mutable_key_password());
  Wipe(*request.mutable_management_key());
  FOREKEY_RETURN_IF_ERROR(status);
  std::string id = absl::BytesToHexString(response.credential_id());
  if (shared.json) {
    shared.out << Dump({{"gate", response.gate()},
                        {"subject", response.subject()},
                        {"credential_id", id}})
               << std::endl;
  } else {
    shared.out << "enrolled at " << response.gate() << " as " << response.subject()
               << "\ncredential " << id << std::endl;
  }
  return absl::OkStatus();
}

struct GateArguments {
  std::string gate;
  std::vector<std::string> with;
  bool fresh = false;
  bool with_password = false;
  KeyPassword password;
};

// The person at the terminal must know that a key waits for them: to stderr, beside any --json.
absl::Status TellToTouch(const Shared& shared, AgentClient& agent, const GateArguments& arguments) {
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

absl::Status Login(const Shared& shared, const GateArguments& arguments) {
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
  absl::Status status = agent.Call(&v1::Agent::Stub::Login, request, &response, kSlow);
  Wipe(*request.mutable_key_password());
  Wipe(*request.mutable_password());
  FOREKEY_RETURN_IF_ERROR(status);
  if (shared.json) {
    shared.out << Dump({{"gate", response.gate()},
                        {"subject", response.subject()},
                        {"session_expires", Time(response.session_expires_unix_s())}})
               << std::endl;
  } else {
    shared.out << "logged in at " << response.gate() << " as " << response.subject() << " until "
               << Time(response.session_expires_unix_s()) << std::endl;
  }
  return absl::OkStatus();
}

absl::Status Logout(const Shared& shared, const GateArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::LogoutRequest request;
  request.set_gate(arguments.gate);
  v1::LogoutResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::Logout, request, &response, kQuick));
  shared.out << (shared.json ? "{\"logged_out\": true}" : "logged out") << std::endl;
  return absl::OkStatus();
}

absl::Status Forget(const Shared& shared, const GateArguments& arguments) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::ForgetGateRequest request;
  request.set_gate(arguments.gate);
  v1::ForgetGateResponse response;
  FOREKEY_RETURN_IF_ERROR(agent.Call(&v1::Agent::Stub::ForgetGate, request, &response, kQuick));
  shared.out << (shared.json ? "{\"forgotten\": true}"
                             : "forgotten here; at the gate the credential lasts until its "
                               "administrator revokes it")
             << std::endl;
  return absl::OkStatus();
}

json GateJson(const v1::EnrolledGate& gate) {
  json credentials = json::array();
  for (const v1::CredentialInfo& credential : gate.credentials()) {
    credentials.push_back({{"id", credential.id()},
                           {"kind", KindText(credential.kind())},
                           {"label", credential.label()},
                           {"note", credential.device()}});
  }
  json value = {{"gate", gate.audience()},
                {"address", gate.address()},
                {"subject", gate.subject()},
                {"credentials", credentials},
                {"session_open", gate.session_open()}};
  if (gate.session_open()) value["session_expires"] = Time(gate.session_expires_unix_s());
  return value;
}

absl::Status Status(const Shared& shared) {
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
                       ? absl::StrCat("session until ", Time(gate.session_expires_unix_s()))
                       : std::string("no session"))
               << "\n";
    for (const v1::CredentialInfo& credential : gate.credentials()) {
      shared.out << "  " << KindText(credential.kind()) << "  " << credential.id() << "  "
                 << credential.label()
                 << (credential.device().empty() ? "" : absl::StrCat(" (", credential.device(), ")"))
                 << "\n";
    }
  }
  if (response.gates().empty()) shared.out << "enrolled nowhere: forekey enroll INVITE\n";
  for (const std::string& problem : response.problems()) shared.err << problem << "\n";
  return absl::OkStatus();
}

json WhoAmIJson(const v1::WhoAmIResponse& response) {
  json credentials = json::array();
  for (const v1::CredentialInfo& credential : response.credentials()) {
    credentials.push_back({{"id", credential.id()},
                           {"kind", KindText(credential.kind())},
                           {"label", credential.label()},
                           {"device", credential.device()}});
  }
  json factors = json::array();
  for (const v1::Factor& factor : response.factors()) {
    factors.push_back({{"name", factor.name()}, {"proved_at", Time(factor.proved_at_unix_s())}});
  }
  json roles = json::array();
  for (const std::string& role : response.roles()) roles.push_back(role);
  return {{"subject", response.subject()}, {"roles", roles},     {"credentials", credentials},
          {"factors", factors},            {"session", response.session()},
          {"child_session", response.child_session()},
          {"session_expires", Time(response.session_expires_unix_s())}};
}

absl::Status OpenAgentSession(const Shared& shared, const std::string& gate) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::LoginRequest request;
  request.set_gate(gate);
  v1::LoginResponse response;
  return agent.Call(&v1::Agent::Stub::Login, request, &response, kSlow);
}

absl::Status WhoAmI(const Shared& shared, const GateArguments& arguments) {
  ChannelOptions options;
  options.gate = arguments.gate;
  options.agent_socket = shared.socket;
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, Channel(options));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kSlow));
  v1::WhoAmIResponse response;
  grpc::Status status = v1::Gate::NewStub(channel)->WhoAmI(&context, v1::WhoAmIRequest(), &response);
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    // gRPC has one code for whatever keeps credentials from being made: the agent knows the real one.
    FOREKEY_RETURN_IF_ERROR(OpenAgentSession(shared, arguments.gate));
  }
  if (!status.ok()) return GateError(status, "ask who this is", "the gate");
  if (shared.json) {
    shared.out << Dump(WhoAmIJson(response)) << std::endl;
    return absl::OkStatus();
  }
  shared.out << response.subject() << "\n";
  if (response.roles_size() > 0) {
    shared.out << "roles: " << absl::StrJoin(response.roles(), ", ") << "\n";
  }
  for (const v1::CredentialInfo& credential : response.credentials()) {
    shared.out << "credential: " << KindText(credential.kind()) << " " << credential.id() << " "
               << credential.label() << "\n";  // what was proved of the device: --json
  }
  for (const v1::Factor& factor : response.factors()) {
    shared.out << "factor: " << factor.name() << ", proved at " << Time(factor.proved_at_unix_s())
               << "\n";
  }
  shared.out << "session: " << response.session() << " until "
             << Time(response.session_expires_unix_s()) << std::endl;
  return absl::OkStatus();
}

struct PrefixArguments {
  std::string gate, method, channel_binding;
  std::vector<std::string> with;
  bool device = false;
};

absl::Status MakePrefix(const Shared& shared, const PrefixArguments& arguments) {
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

CLI::Option* AddGate(CLI::App* command, std::string* gate) {
  return command->add_option("--gate", *gate,
                             "The gate's audience (default: the only one enrolled)");
}

void AddWith(CLI::App* command, std::vector<std::string>* with) {
  command
      ->add_option("--with", *with,
                   "Credentials that sign together: kinds, labels or ids, with commas (tpm,fido2); default: "
                   "as last time, at first the newest one")
      ->delimiter(',');
}

void AddEnroll(CLI::App& app, const std::shared_ptr<Shared>& shared) {
  auto arguments = std::make_shared<EnrollArguments>();
  CLI::App* command = AddCommand(
      app, shared, "enroll", "Make a key in a device and enrol it at a gate",
      "Examples:\n"
      "  forekey enroll -  < invite.txt          the invite from standard input (it is a secret)\n"
      "  forekey enroll @invite.txt --label laptop\n"
      "  forekey enroll forekey-invite:... --device tpm: --ask-key-password\n"
      "  forekey enroll @invite.txt --device piv:serial=12345678           a new key on a smartcard\n"
      "  forekey enroll @invite.txt --device piv:serial=12345678 --existing --slot 9a",
      [arguments](const Shared& s) { return Enroll(s, *arguments); });
  command->add_option("invite", arguments->invite,
                      "The invite from the gate's administrator, @FILE, or - for standard input")
      ->required();
  command->add_option("--device", arguments->device,
                      "URI of the device, as forekey devices prints it (default: the only one)");
  command->add_option("--label", arguments->label, "A name for the device (default: the host's)");
  command->add_option("--address", arguments->address, "host:port instead of the invite's");
  command->add_option("--ca", arguments->ca_file,
                      "PEM file of the CA of the gate's TLS certificate (default: the invite's)");
  arguments->password.AddTo(command);
  command->add_flag("--discoverable", arguments->discoverable,
                    "The token itself keeps the credential")->group("FIDO2");
  arguments->piv.AddTo(command);
}

void AddSessionCommands(CLI::App& app, const std::shared_ptr<Shared>& shared) {
  auto arguments = std::make_shared<GateArguments>();
  CLI::App* login = AddCommand(
      app, shared, "login", "Open the agent's session at a gate now",
      "Sessions open by themselves on first use; this is for keys that have a password, and to see "
      "that all is well.\n\nExamples:\n  forekey login\n  forekey login --with tpm,fido2\n  forekey login --with tpm,oidc     an ID token, too (docs/AGENT.md)\n  forekey login --gate prod.example.com "
      "--ask-key-password",
      [arguments](const Shared& s) { return Login(s, *arguments); });
  AddGate(login, &arguments->gate);
  AddWith(login, &arguments->with);
  login->add_flag("--fresh", arguments->fresh, "Open a new session even when there is one");
  login->add_flag("--password", arguments->with_password,
                  "Ask for the subject's password at the gate: the session has proved it, too");
  arguments->password.AddTo(login);
  CLI::App* logout =
      AddCommand(app, shared, "logout", "End the agent's session and those opened from it",
                 "Example:\n  forekey logout --gate prod.example.com",
                 [arguments](const Shared& s) { return Logout(s, *arguments); });
  AddGate(logout, &arguments->gate);
  CLI::App* who = AddCommand(app, shared, "whoami", "Ask a gate who it takes this user for",
                             "Example:\n  forekey whoami --json",
                             [arguments](const Shared& s) { return WhoAmI(s, *arguments); });
  AddGate(who, &arguments->gate);
  CLI::App* forget = AddCommand(
      app, shared, "forget", "Forget a gate and the keys for it",
      "The credential stays enrolled at the gate until its administrator revokes it.\n\nExample:\n"
      "  forekey forget --gate prod.example.com",
      [arguments](const Shared& s) { return Forget(s, *arguments); });
  AddGate(forget, &arguments->gate)->required();
}

}  // namespace

void AddClientCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status) {
  auto shared = std::make_shared<Shared>(Shared{out, err, exit_status});
  AddCommand(app, shared, "devices", "List the devices that the agent sees",
             "Example:\n  forekey devices --json", ListDevices);
  AddEnroll(app, shared);
  AddSessionCommands(app, shared);
  AddCommand(app, shared, "status", "Show the agent's gates, credentials and sessions",
             "Example:\n  forekey status --json", Status);
  auto prefix = std::make_shared<PrefixArguments>();
  CLI::App* command = AddCommand(
      app, shared, "prefix", "Print a prefix for one call, in base64",
      "For scripts and other languages: the value of the metadata key forekey-prefix-bin, good for one "
      "call.\n\nExample:\n  grpcurl -H \"forekey-prefix-bin: $(forekey prefix --method "
      "/pkg.Service/Method)\" ...",
      [prefix](const Shared& s) { return MakePrefix(s, *prefix); });
  AddGate(command, &prefix->gate);
  command->add_option("--method", prefix->method, "/package.Service/Method")->required();
  command->add_option("--channel-binding", prefix->channel_binding,
                      "Hex of the SHA-256 of the server's leaf certificate (DER), where it is another "
                      "than the agent sees");
  command->add_flag("--device", prefix->device, "Have the hardware sign this very call");
  AddWith(command, &prefix->with);
}

}  // namespace forekey
