#include "examples/demo/deployment.h"

#include <stdlib.h>

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
  gate_.reset();
  tpm_.reset();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

absl::Status Deployment::StartTpm() {
  FOREKEY_ASSIGN_OR_RETURN(
      tpm_, Process::Start({.arguments = {Program("forekey-sim"), "tpm", "--state", directory_ + "/tpm",
                                          "--trust-out", directory_ + "/tpm-vendors", "--json"},
                            .environment = {},
                            .error_file = directory_ + "/sim.log"}));
  FOREKEY_ASSIGN_OR_RETURN(std::string line, tpm_->ReadLine());
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json ready, ParseJson(line));
  tpm_uri_ = ready.value("uri", "");
  return absl::OkStatus();
}

absl::Status Deployment::WriteFiles() {
  FOREKEY_ASSIGN_OR_RETURN(
      ProcessResult made,
      Run({Program("forekey-gate"), "init", "--directory", directory_ + "/gate", "--audience",
           "echo.demo.example", "--host", "localhost", "--listen", "127.0.0.1:0",
           "--tpm-simulator-trust", directory_ + "/tpm-vendors", "--json"}));
  if (made.exit_status != 0) return absl::InternalError(made.errors);
  FOREKEY_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(made.output));
  gate_config_ = json.value("config", "");
  FOREKEY_ASSIGN_OR_RETURN(std::string config, ReadFile(gate_config_));
  return WriteFileAtomically(gate_config_, config + options_.extra_config, 0600);
}

absl::Status Deployment::StartGate() {
  if (gate_config_.empty()) FOREKEY_RETURN_IF_ERROR(WriteFiles());
  FOREKEY_ASSIGN_OR_RETURN(
      gate_, Process::Start({.arguments = {Program("forekey-example-echo"), gate_config_,
                                           options_.server_api},
                             .environment = {},
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
      absl::StrReplaceAll(config, {{"127.0.0.1:0\"", absl::StrCat("127.0.0.1:", port, "\"")}}), 0600);
}

absl::Status Deployment::StartAgent() {
  FOREKEY_ASSIGN_OR_RETURN(
      agent_, Process::Start({.arguments = {Program("forekey-agent"), "--state", directory_ + "/agent",
                                            "--socket", agent_socket(), "--device", tpm_uri_, "--json"},
                              .environment = {},
                              .error_file = directory_ + "/agent.log"}));
  absl::StatusOr<std::string> line = agent_->ReadLine();
  return line.ok() ? absl::OkStatus() : Explained(line.status(), "agent.log");
}

absl::Status Deployment::Explained(const absl::Status& status, const std::string& log) const {
  absl::StatusOr<std::string> text = ReadFile(directory_ + "/" + log);
  return absl::Status(status.code(), absl::StrCat(status.message(), text.ok() ? *text : ""));
}

absl::StatusOr<nlohmann::json> Deployment::RunJson(const std::string& program,
                                                   std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), Program(program));
  arguments.push_back("--json");
  FOREKEY_ASSIGN_OR_RETURN(ProcessResult result,
                           Run(arguments, {"FOREKEY_AGENT_SOCKET=" + agent_socket()}));
  if (result.exit_status != 0) {
    return absl::AbortedError(absl::StrCat(program, " ended with ", result.exit_status, ": ",
                                           result.errors, result.output));
  }
  return ParseJson(result.output);
}

absl::StatusOr<nlohmann::json> Deployment::Forekey(std::vector<std::string> arguments) {
  return RunJson("forekey", std::move(arguments));
}

absl::StatusOr<nlohmann::json> Deployment::ForekeyGate(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--config", gate_config_});
  return RunJson("forekey-gate", std::move(arguments));
}

absl::StatusOr<std::string> Deployment::Invite(const std::string& subject, const std::string& role) {
  FOREKEY_ASSIGN_OR_RETURN(
      nlohmann::json made,
      ForekeyGate({"invite", "--subject", subject, "--role", role, "--address", address_}));
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
    if (line.value("ref", line.value("reference", "")) == reference) return line.value("reason", "");
  }
  return absl::NotFoundError("the audit log has no line for reference " + reference);
}

}  // namespace forekey::demo
