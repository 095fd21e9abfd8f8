// SPDX-License-Identifier: Apache-2.0
// `forekey devices` and `forekey enroll`.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/client/agent_client.h"
#include "src/cli/client/client_command_parts.h"
#include "src/cli/client/client_commands.h"
#include "src/cli/terminal/read_password.h"
#include "src/cli/terminal/table.h"
#include "src/cli/terminal/waiting.h"
#include "src/wire/invite.h"

namespace forekey {
namespace {

using nlohmann::json;

absl::Status ListDevices(const ClientCommand& shared) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  v1::ListDevicesResponse response;
  FOREKEY_RETURN_IF_ERROR(
      agent.Call(&v1::Agent::Stub::ListDevices, v1::ListDevicesRequest(), &response, kQuick));
  if (shared.json) {
    json devices = json::array();
    for (const v1::Device& device : response.devices()) {
      devices.push_back({{"uri", device.uri()},
                         {"kind", TokenKindName(device.kind())},
                         {"description", device.description()}});
    }
    json problems = json::array();
    for (const std::string& problem : response.problems()) problems.push_back(problem);
    shared.out << Dump({{"devices", devices}, {"problems", problems}}) << std::endl;
    return absl::OkStatus();
  }
  Table table = Table::For(shared.out);
  for (const v1::Device& device : response.devices()) {
    table.Add({Shown(device.uri()), std::string(TokenKindName(device.kind())),
               Shown(device.description())});
  }
  table.Print(shared.out);
  if (response.devices().empty()) shared.out << "no device was found\n";
  for (const std::string& problem : response.problems()) shared.err << Shown(problem) << "\n";
  return absl::OkStatus();
}

// What only smartcards have.
struct PivArguments {
  std::string slot, management_key_file, pin_policy, touch_policy, algorithm;
  bool existing = false, overwrite = false, write_certificate = false;

  void AddTo(CLI::App* command) {
    const std::string group = "PIV";
    command
        ->add_option("--slot", slot,
                     "9a, 9c, 9d, 9e, 82 to 95 (default: the first free of 82 to 95)")
        ->group(group);
    command
        ->add_flag("--existing", existing,
                   "Enrol the key and certificate that the card has; nothing is written to it")
        ->group(group);
    command->add_flag("--overwrite", overwrite, "The new key may destroy what is in the slot")
        ->group(group);
    command
        ->add_option(
            "--management-key-file", management_key_file,
            "File (mode 0600) with the card's management key in hex (default: the factory's, or "
            "the one that the PIN protects)")
        ->group(group);
    command
        ->add_option("--pin-policy", pin_policy, "When the new key wants the PIN (default: always)")
        ->check(CLI::IsMember({"always", "once", "never"}))
        ->group(group);
    command
        ->add_option("--touch-policy", touch_policy,
                     "When the new key wants a touch (default: always)")
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
    auto& options = *request->mutable_options();
    const std::pair<const char*, const std::string&> texts[] = {{"slot", slot},
                                                                {"pin-policy", pin_policy},
                                                                {"touch-policy", touch_policy},
                                                                {"algorithm", algorithm}};
    for (const auto& [name, text] : texts) {
      if (!text.empty()) options[name] = text;
    }
    if (existing) options["existing"] = "true";
    if (overwrite) options["overwrite"] = "true";
    if (write_certificate) options["write-certificate"] = "true";
    if (management_key_file.empty()) return absl::OkStatus();
    FOREKEY_ASSIGN_OR_RETURN(Secret key, ReadPasswordFile(management_key_file));
    options["management-key"] = std::string(key.view());
    return absl::OkStatus();
  }
};

// Options that this program has no flag for: the driver says which there are.
struct OtherOptions {
  std::vector<std::string> given, from_files;  // NAME=VALUE, NAME=FILE

  void AddTo(CLI::App* command) {
    command->add_option("--option", given,
                        "NAME=VALUE for the device's driver; may be repeated (docs/AGENT.md)");
    command->add_option(
        "--option-file", from_files,
        "NAME=FILE: as --option, for a secret; the file has mode 0600 and one line");
  }
  absl::Status FillIn(v1::EnrollRequest* request) const {
    for (const std::string& text : given) {
      FOREKEY_ASSIGN_OR_RETURN(const auto pair, Split(text));
      (*request->mutable_options())[pair.first] = pair.second;
    }
    for (const std::string& text : from_files) {
      FOREKEY_ASSIGN_OR_RETURN(const auto pair, Split(text));
      FOREKEY_ASSIGN_OR_RETURN(Secret secret, ReadPasswordFile(pair.second));
      (*request->mutable_options())[pair.first] = std::string(secret.view());
    }
    return absl::OkStatus();
  }

 private:
  static absl::StatusOr<std::pair<std::string, std::string>> Split(absl::string_view text) {
    const size_t at = text.find('=');
    if (at != absl::string_view::npos && at > 0) {
      return std::make_pair(std::string(text.substr(0, at)), std::string(text.substr(at + 1)));
    }
    return absl::InvalidArgumentError("--option takes NAME=VALUE, --option-file NAME=FILE");
  }
};

struct EnrollArguments {
  std::string invite, device, label, address, ca_file, rp_id;
  KeyPassword password;
  PivArguments piv;
  OtherOptions options;
  bool discoverable = false;
  bool yes = false;
  bool link = false;
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

// Any page can have a link in it: its gate is told nothing about this machine (an endorsement
// certificate is one machine's alone) before a person has seen which gate it is.
absl::Status ConfirmLink(const ClientCommand& shared, const std::string& link) {
  if (!shared.dialogue.person) {
    return absl::FailedPreconditionError(
        "a link is opened where a person can be asked: at a terminal");
  }
  FOREKEY_ASSIGN_OR_RETURN(const Invite invite, Invite::Parse(link));
  shared.err << "This link is an invite to the gate " << Shown(invite.audience) << " at "
             << Shown(invite.address)
             << ".\nGo on where you know who gave it to you. The gate learns which device you have."
             << std::endl;
  if (shared.dialogue.Confirm("Go on?", /*otherwise=*/false)) return absl::OkStatus();
  return absl::CancelledError("nothing was made, and the gate was not asked");
}

// Of several devices a person chooses one; where there is nobody, the agent names them all.
absl::StatusOr<std::string> ChooseDevice(const ClientCommand& shared, AgentClient& agent) {
  v1::ListDevicesResponse response;
  {
    const Waiting waiting(shared.err, shared.dialogue.person, "looking for devices");
    FOREKEY_RETURN_IF_ERROR(
        agent.Call(&v1::Agent::Stub::ListDevices, v1::ListDevicesRequest(), &response, kQuick));
  }
  for (const std::string& problem : response.problems()) shared.err << Shown(problem) << "\n";
  if (response.devices_size() < 2) return std::string();
  std::vector<std::string> lines;
  for (const v1::Device& device : response.devices()) {
    lines.push_back(absl::StrCat(Shown(device.uri()), "  ", TokenKindName(device.kind()), "  ",
                                 Shown(device.description())));
  }
  FOREKEY_ASSIGN_OR_RETURN(const size_t chosen,
                           shared.dialogue.Choose("In which device is the key to be?", lines));
  return response.devices(static_cast<int>(chosen)).uri();
}

// What is about to happen, by the gate's own word, before anything is made.
absl::Status LookAndConfirm(const ClientCommand& shared, AgentClient& agent,
                            v1::EnrollRequest request) {
  request.set_look_only(true);
  v1::EnrollResponse seen;
  {
    const Waiting waiting(shared.err, shared.dialogue.person, "asking the gate");
    const absl::Status looked = agent.Call(&v1::Agent::Stub::Enroll, request, &seen, kSlow);
    for (auto& [name, value] : *request.mutable_options()) Wipe(value);
    FOREKEY_RETURN_IF_ERROR(looked);
  }
  shared.err << "A key will be made in " << Shown(seen.device_uri()) << "\nand enrolled at "
             << Shown(seen.gate()) << " (" << Shown(seen.address()) << ") as "
             << Shown(seen.subject()) << "." << std::endl;
  if (shared.dialogue.Confirm("Go on?")) return absl::OkStatus();
  return absl::CancelledError("nothing was made");
}

absl::Status Enroll(const ClientCommand& shared, const EnrollArguments& arguments) {
  v1::EnrollRequest request;
  if (arguments.link) {
    FOREKEY_RETURN_IF_ERROR(ConfirmLink(shared, arguments.invite));
    request.set_invite(arguments.invite);
  } else {
    FOREKEY_ASSIGN_OR_RETURN(*request.mutable_invite(), ReadInvite(arguments.invite));
  }
  request.set_label(arguments.label);
  request.set_address(arguments.address);
  if (!arguments.ca_file.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(*request.mutable_ca_pem(), ReadFile(arguments.ca_file, 1 << 20));
  }
  request.set_rp_id(arguments.rp_id);
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(shared.socket));
  // An invite that came by the standard input has taken the place of a person's answers.
  const bool ask = shared.dialogue.person && !arguments.yes && arguments.invite != "-";
  request.set_device_uri(arguments.device);
  if (ask && arguments.device.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(*request.mutable_device_uri(), ChooseDevice(shared, agent));
  }
  FOREKEY_RETURN_IF_ERROR(arguments.piv.FillIn(&request));
  if (arguments.discoverable) (*request.mutable_options())["discoverable"] = "true";
  FOREKEY_RETURN_IF_ERROR(arguments.options.FillIn(&request));
  const auto wipe = [&request] {
    Wipe(*request.mutable_key_password());
    for (auto& [name, value] : *request.mutable_options()) Wipe(value);
  };
  if (ask) {
    if (absl::Status meant = LookAndConfirm(shared, agent, request); !meant.ok()) {
      wipe();
      return meant;
    }
  }
  absl::StatusOr<Secret> password = arguments.password.Read(/*is_new=*/true);
  absl::Status status = password.status();
  v1::EnrollResponse response;
  if (status.ok()) {
    request.set_key_password(std::string(password->view()));
    Waiting waiting(shared.err, shared.dialogue.person && !shared.json, "enrolling");
    const AgentClient::Notices notices(agent,
                                       [&waiting](const std::string& line) { waiting.Tell(line); });
    status = agent.Call(&v1::Agent::Stub::Enroll, request, &response, kSlow);
  }
  wipe();
  FOREKEY_RETURN_IF_ERROR(status);
  for (const std::string& note : response.notes()) shared.err << Shown(note) << std::endl;
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

// In a window that a desktop opened for it, and closes at its end.
absl::Status EnrollByLink(const ClientCommand& shared, const EnrollArguments& arguments) {
  absl::Status status = Enroll(shared, arguments);
  if (!shared.dialogue.person) return status;
  (void)Report(status, /*json=*/false, shared.out, shared.err);
  shared.dialogue.AwaitEnter("Press Enter to close. ");
  return status;
}

void AddEnroll(CLI::App& app, const std::shared_ptr<ClientCommand>& shared) {
  auto arguments = std::make_shared<EnrollArguments>();
  CLI::App* command = AddCommand(
      app, shared, "enroll", "Make a key in a device and enrol it at a gate",
      "Examples:\n"
      "  forekey enroll -  < invite.txt          the invite from standard input (it is a secret)\n"
      "  forekey enroll @invite.txt --label laptop\n"
      "  forekey enroll forekey-invite:... --device tpm: --ask-key-password\n"
      "  forekey enroll @invite.txt --device piv:serial=12345678           a new key on a "
      "smartcard\n"
      "  forekey enroll @invite.txt --device piv:serial=12345678 --existing --slot 9a",
      [arguments](const ClientCommand& s) {
        return arguments->link ? EnrollByLink(s, *arguments) : Enroll(s, *arguments);
      });
  command
      ->add_option("invite", arguments->invite,
                   "The invite from the gate's administrator, @FILE, or - for standard input")
      ->required();
  command->add_option(
      "--device", arguments->device,
      "URI of the device, as forekey devices prints it (default: the only one, or asked)");
  command->add_option("--label", arguments->label, "A name for the device (default: the host's)");
  command->add_option("--address", arguments->address, "host:port instead of the invite's");
  command->add_option("--ca", arguments->ca_file,
                      "PEM file of the CA of the gate's TLS certificate (default: the invite's)");
  CLI::Option* yes = command->add_flag(
      "--yes,-y", arguments->yes,
      "Ask nothing: the device is the only one, or --device, and the invite is meant");
  command
      ->add_flag("--link", arguments->link,
                 "The invite is a link that was opened: ask before the gate is told anything, and "
                 "wait for Enter at the end")
      ->excludes(yes);
  arguments->password.AddTo(command);
  command
      ->add_flag("--discoverable", arguments->discoverable, "The token itself keeps the credential")
      ->group("FIDO2");
  command
      ->add_option(
          "--rp-id", arguments->rp_id,
          "The relying party that the gate may use, where it is not the gate's own name or "
          "a domain above it")
      ->group("FIDO2");
  arguments->piv.AddTo(command);
  arguments->options.AddTo(command);
}

}  // namespace

absl::StatusOr<v1::GetHardwareCertificatesResponse> GetHardwareCertificates(
    const std::string& uri, const std::string& socket) {
  FOREKEY_ASSIGN_OR_RETURN(AgentClient agent, AgentClient::New(socket));
  v1::GetHardwareCertificatesRequest request;
  request.set_device_uri(uri);
  v1::GetHardwareCertificatesResponse response;
  FOREKEY_RETURN_IF_ERROR(
      agent.Call(&v1::Agent::Stub::GetHardwareCertificates, request, &response, kSlow));
  return response;
}

void AddEnrollCommands(CLI::App& app, const std::shared_ptr<ClientCommand>& shared) {
  AddCommand(app, shared, "devices", "List the devices that the agent sees",
             "Example:\n  forekey devices --json", ListDevices);
  AddEnroll(app, shared);
}

}  // namespace forekey
