// SPDX-License-Identifier: Apache-2.0
#include "examples/demo/deployment.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/status.h"

namespace forekey::demo {
namespace {

absl::StatusOr<nlohmann::json> ParseJson(const std::string& text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InternalError(absl::StrCat("not JSON: ", text));
  return json;
}

// One request, one line; one line back.
class UnixConnection {
 public:
  ~UnixConnection() {
    if (fd_ >= 0) close(fd_);
  }
  absl::Status Open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return absl::InvalidArgumentError("path too long");
    path.copy(address.sun_path, path.size());
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      return absl::ErrnoToStatus(errno, path);
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Ask(std::string request) {
    request += "\n";
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
      return absl::ErrnoToStatus(errno, "send");
    }
    std::string answer;
    char byte;
    while (recv(fd_, &byte, 1, 0) == 1 && byte != '\n') answer += byte;
    return answer;
  }

 private:
  int fd_ = -1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Deployment>> Deployment::Create(Options options) {
  auto deployment = std::unique_ptr<Deployment>(new Deployment(std::move(options)));
  // Short: unix sockets below it have at most 107 bytes.
  char name[] = "/tmp/forekey-XXXXXX";
  if (mkdtemp(name) == nullptr) return absl::ErrnoToStatus(errno, "make a folder in /tmp");
  deployment->directory_ = name;
  return deployment;
}

Deployment::~Deployment() {
  agent_.reset();
  card_agent_.reset();
  gate_.reset();
  tpm_.reset();
  piv_.reset();
  fido2_.reset();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

absl::Status Deployment::StartTpm() {
  FOREKEY_ASSIGN_OR_RETURN(
      tpm_,
      Process::Start({.arguments = {Program("forekey-sim"), "tpm", "--state", directory_ + "/tpm",
                                    "--trust-out", directory_ + "/tpm-vendors", "--json"},
                      .environment = {},
                      .error_file = directory_ + "/sim.log"}));
  FOREKEY_ASSIGN_OR_RETURN(std::string line, tpm_->ReadLine());
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json ready, ParseJson(line));
  tpm_uri_ = ready.value("uri", "");
  return absl::OkStatus();
}

absl::Status Deployment::StartPiv() {
  FOREKEY_ASSIGN_OR_RETURN(
      piv_,
      Process::Start({.arguments = {Program("forekey-sim"), "piv", "--firmware", "5.7.4", "--state",
                                    directory_ + "/piv", "--trust-out", directory_ + "/piv-vendors",
                                    "--socket", directory_ + "/pcscd.sock", "--control",
                                    directory_ + "/card.ctl", "--json"},
                      .environment = {},
                      .error_file = directory_ + "/sim-piv.log"}));
  absl::StatusOr<std::string> line = piv_->ReadLine();
  if (!line.ok()) return Explained(line.status(), "sim-piv.log");
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json ready, ParseJson(*line));
  piv_uri_ = ready.value("uri", "");
  // Newer firmware has intermediates that the card does not hold: the gate gets them with the root.
  const std::filesystem::path vendors = directory_ + "/piv-vendors";
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(vendors / "intermediates", none)) {
    std::filesystem::copy_file(
        entry.path(), vendors / ("intermediate-" + entry.path().filename().string()), none);
    if (none) return absl::InternalError(none.message());
  }
  return absl::OkStatus();
}

absl::Status Deployment::StartFido2() {
  FOREKEY_ASSIGN_OR_RETURN(
      fido2_, Process::Start(
                  {.arguments = {Program("forekey-sim"), "fido2", "--state", directory_ + "/fido2",
                                 "--trust-out", directory_ + "/fido2-vendors", "--control",
                                 directory_ + "/key.ctl", "--auto-touch", "--touch-timeout-ms",
                                 "1000", "--json"},
                   .environment = {},
                   .error_file = directory_ + "/sim-fido2.log"}));
  absl::StatusOr<std::string> line = fido2_->ReadLine();
  if (!line.ok()) return Explained(line.status(), "sim-fido2.log");
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json ready, ParseJson(*line));
  fido2_uri_ = ready.value("uri", "");
  return absl::OkStatus();
}

absl::Status Deployment::Tell(const std::string& socket, const std::string& request) {
  UnixConnection connection;
  FOREKEY_RETURN_IF_ERROR(connection.Open(socket));
  FOREKEY_ASSIGN_OR_RETURN(std::string answer, connection.Ask(request));
  if (answer.rfind("ok", 0) != 0) return absl::InternalError(answer);
  return absl::OkStatus();
}

absl::Status Deployment::WriteFiles(const std::string& piv_config) {
  std::vector<std::string> init = {Program("forekey-gate"),
                                   "init",
                                   "--directory",
                                   directory_ + "/gate",
                                   "--audience",
                                   "echo.demo.example",
                                   "--host",
                                   "localhost",
                                   "--listen",
                                   "127.0.0.1:0",
                                   "--json"};
  if (tpm_ != nullptr) {
    init.insert(init.end(), {"--tpm-simulator-trust", directory_ + "/tpm-vendors"});
  }
  if (piv_ != nullptr) {
    absl::StrAppend(&options_.extra_config, "\n[attestation.piv]\nsimulator_trust = \"", directory_,
                    "/piv-vendors\"\ninsecure_simulators = true\n", piv_config);
  }
  if (fido2_ != nullptr) {
    absl::StrAppend(&options_.extra_config, "\n[attestation.fido2]\nsimulator_trust = \"",
                    directory_, "/fido2-vendors\"\ninsecure_simulators = true\n");
  }
  FOREKEY_ASSIGN_OR_RETURN(ProcessResult made, Run(init));
  if (made.exit_status != 0) return absl::InternalError(made.errors);
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(made.output));
  gate_config_ = json.value("config", "");
  FOREKEY_ASSIGN_OR_RETURN(std::string config, ReadFile(gate_config_));
  return WriteFileAtomically(gate_config_, config + options_.extra_config, 0600);
}

absl::Status Deployment::StartGate(const std::string& piv_config) {
  if (gate_config_.empty()) FOREKEY_RETURN_IF_ERROR(WriteFiles(piv_config));
  FOREKEY_ASSIGN_OR_RETURN(
      gate_,
      Process::Start({.arguments = {Program(options_.server), gate_config_, options_.server_api},
                      .environment = options_.environment,
                      .error_file = directory_ + "/gate.log"}));
  absl::StatusOr<std::string> line = gate_->ReadLine();
  if (!line.ok()) return Explained(line.status(), "gate.log");
  const std::vector<std::string> words = absl::StrSplit(*line, ' ');
  int port = 0;
  if (!absl::SimpleAtoi(words.back(), &port)) return absl::InternalError("no port: " + *line);
  address_ = absl::StrCat("localhost:", port);
  // A gate that is started again must be found where it was enrolled at.
  FOREKEY_ASSIGN_OR_RETURN(std::string config, ReadFile(gate_config_));
  return WriteFileAtomically(
      gate_config_,
      absl::StrReplaceAll(config, {{"127.0.0.1:0\"", absl::StrCat("127.0.0.1:", port, "\"")}}),
      0600);
}

absl::Status Deployment::StartAgent() {
  std::vector<std::string> arguments = {Program("forekey-agent"),
                                        "--state",
                                        directory_ + "/agent",
                                        "--socket",
                                        agent_socket(),
                                        "--pinentry",
                                        "none",
                                        "--device",
                                        tpm_uri_,
                                        "--json"};
  if (!fido2_uri_.empty()) arguments.insert(arguments.end(), {"--device", fido2_uri_});
  FOREKEY_ASSIGN_OR_RETURN(agent_, Process::Start({.arguments = std::move(arguments),
                                                   .environment = options_.environment,
                                                   .error_file = directory_ + "/agent.log"}));
  absl::StatusOr<std::string> line = agent_->ReadLine();
  return line.ok() ? absl::OkStatus() : Explained(line.status(), "agent.log");
}

absl::Status Deployment::StartCardAgent() {
  std::vector<std::string> environment = options_.environment;
  environment.push_back("PCSCLITE_CSOCK_NAME=" + directory_ + "/pcscd.sock");
  FOREKEY_ASSIGN_OR_RETURN(
      card_agent_,
      Process::Start({.arguments = {Program("forekey-agent"), "--state", directory_ + "/card-agent",
                                    "--socket", card_agent_socket(), "--pinentry", "none",
                                    "--device", piv_uri_, "--json"},
                      .environment = std::move(environment),
                      .error_file = directory_ + "/card-agent.log"}));
  absl::StatusOr<std::string> line = card_agent_->ReadLine();
  return line.ok() ? absl::OkStatus() : Explained(line.status(), "card-agent.log");
}

absl::Status Deployment::Explained(const absl::Status& status, const std::string& log) const {
  absl::StatusOr<std::string> text = ReadFile(directory_ + "/" + log);
  return absl::Status(status.code(), absl::StrCat(status.message(), text.ok() ? *text : ""));
}

absl::StatusOr<nlohmann::json> Deployment::RunJson(const std::string& program,
                                                   std::vector<std::string> arguments,
                                                   const std::string& agent_socket) {
  arguments.insert(arguments.begin(), Program(program));
  arguments.push_back("--json");
  FOREKEY_ASSIGN_OR_RETURN(ProcessResult result,
                           Run(arguments, {"FOREKEY_AGENT_SOCKET=" + agent_socket}));
  if (result.exit_status != 0) {
    return absl::AbortedError(absl::StrCat(program, " ended with ", result.exit_status, ": ",
                                           result.errors, result.output));
  }
  return ParseJson(result.output);
}

absl::StatusOr<nlohmann::json> Deployment::Forekey(std::vector<std::string> arguments) {
  return RunJson("forekey", std::move(arguments), agent_socket());
}

absl::StatusOr<nlohmann::json> Deployment::ForekeyCard(std::vector<std::string> arguments) {
  return RunJson("forekey", std::move(arguments), card_agent_socket());
}

absl::StatusOr<nlohmann::json> Deployment::ForekeyGate(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--config", gate_config_});
  return RunJson("forekey-gate", std::move(arguments), agent_socket());
}

absl::StatusOr<std::string> Deployment::Invite(const std::string& subject,
                                               const std::string& role) {
  std::vector<std::string> arguments = {"invite", "--subject", subject, "--address", address_};
  if (!role.empty()) arguments.insert(arguments.end(), {"--role", role});
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json made, ForekeyGate(std::move(arguments)));
  return made.value("invite", "");
}

std::vector<nlohmann::json> Deployment::AuditLog() const {
  std::vector<nlohmann::json> lines;
  std::ifstream file(directory_ + "/gate/state/audit.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) lines.push_back(std::move(json));
  }
  return lines;
}

absl::StatusOr<std::string> Deployment::ReasonOf(const std::string& reference) const {
  for (const nlohmann::json& line : AuditLog()) {
    if (line.value("ref", line.value("reference", "")) == reference)
      return line.value("reason", "");
  }
  return absl::NotFoundError("the audit log has no line for reference " + reference);
}

}  // namespace forekey::demo
