// SPDX-License-Identifier: Apache-2.0
// `forekey devices` and `forekey enroll`.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/client/agent_client.h"
#include "src/cli/client/client_command_parts.h"
#include "src/cli/terminal/read_password.h"

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
  for (const v1::Device& device : response.devices()) {
    shared.out << Shown(device.uri()) << "  " << TokenKindName(device.kind()) << "  "
               << Shown(device.description()) << "\n";
  }
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

absl::Status Enroll(const ClientCommand& shared, const EnrollArguments& arguments) {
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
  if (arguments.discoverable) (*request.mutable_options())["discoverable"] = "true";
  FOREKEY_RETURN_IF_ERROR(arguments.options.FillIn(&request));
  request.set_rp_id(arguments.rp_id);
  if (absl::StartsWith(arguments.device, "fido2:")) {
    shared.err << "touch the security key when it blinks: once to make the key, once to prove it"
               << std::endl;
  }
  v1::EnrollResponse response;
  absl::Status status = agent.Call(&v1::Agent::Stub::Enroll, request, &response, kSlow);
  Wipe(*request.mutable_key_password());
  for (auto& [name, value] : *request.mutable_options()) Wipe(value);
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
      [arguments](const ClientCommand& s) { return Enroll(s, *arguments); });
  command
      ->add_option("invite", arguments->invite,
                   "The invite from the gate's administrator, @FILE, or - for standard input")
      ->required();
  command->add_option("--device", arguments->device,
                      "URI of the device, as forekey devices prints it (default: the only one)");
  command->add_option("--label", arguments->label, "A name for the device (default: the host's)");
  command->add_option("--address", arguments->address, "host:port instead of the invite's");
  command->add_option("--ca", arguments->ca_file,
                      "PEM file of the CA of the gate's TLS certificate (default: the invite's)");
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

void AddEnrollCommands(CLI::App& app, const std::shared_ptr<ClientCommand>& shared) {
  AddCommand(app, shared, "devices", "List the devices that the agent sees",
             "Example:\n  forekey devices --json", ListDevices);
  AddEnroll(app, shared);
}

}  // namespace forekey
