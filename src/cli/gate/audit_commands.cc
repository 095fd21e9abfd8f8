// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/audit_commands.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/gate/audit/audit_reader.h"
#include "src/gate/audit/audit_verify.h"
#include "src/gate/config/config.h"
#include "src/gate/settings/config_reader.h"
#include "src/store/sqlite_registry.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

struct AuditArgs {
  std::string config_file = "/etc/forekey/gate.toml";
  std::vector<std::string> files;
  std::string heads_file, since, subject, reference, reason;
  bool json = false;
};

void AddFileOptions(CLI::App* command, AuditArgs& args) {
  command
      ->add_option("--config,-c", args.config_file, "The gate's configuration, which names the log")
      ->capture_default_str();
  command->add_option(
      "file", args.files,
      "The log's files, oldest first, instead of the config's and those rotated beside it");
  command->add_flag("--json", args.json, "Print JSON: one value, or a line a decision");
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::Status AddHeads(const std::string& path, AuditVerifyOptions& options) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<AuditHead> heads, ReadHeads(path));
  options.heads.insert(options.heads.end(), heads.begin(), heads.end());
  return absl::OkStatus();
}

// What the config knows of the log: its files, heads and registry.
absl::Status FromConfig(const AuditArgs& args, std::vector<std::string>& files,
                        AuditVerifyOptions* options) {
  absl::Status elsewhere;  // what a gate would not start with is no matter of its log
  FOREKEY_ASSIGN_OR_RETURN(const GateConfig config,
                           GateConfig::LoadOnly(args.config_file, {"state", "audit"}, &elsewhere));
  if (config.audit.file == "stderr") {
    return absl::FailedPreconditionError(
        "this gate writes its log to stderr: name files that hold it");
  }
  // Before the files are looked at: a gate that runs writes on meanwhile.
  const std::string head = config.AuditPath() + ".head";
  if (options != nullptr && Exists(head)) FOREKEY_RETURN_IF_ERROR(AddHeads(head, *options));
  FOREKEY_ASSIGN_OR_RETURN(files, AuditFilesOf(config.AuditPath()));
  if (options == nullptr) return absl::OkStatus();
  const std::string& heads = config.audit.options.heads_file;
  if (!heads.empty() && Exists(heads)) FOREKEY_RETURN_IF_ERROR(AddHeads(heads, *options));
  if (!Exists(config.state.RegistryPath())) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(auto registry,
                           SqliteRegistry::Open(config.state.RegistryPath(), {.exclusive = false}));
  options->enrolled = [registry = std::shared_ptr<Registry>(std::move(registry))](
                          absl::string_view id) { return registry->FindCredential(id).ok(); };
  return absl::OkStatus();
}

absl::StatusOr<AuditVerification> Verify(const AuditArgs& args) {
  AuditVerifyOptions options;
  std::vector<std::string> files = args.files;
  if (files.empty()) FOREKEY_RETURN_IF_ERROR(FromConfig(args, files, &options));
  if (!args.heads_file.empty()) FOREKEY_RETURN_IF_ERROR(AddHeads(args.heads_file, options));
  return VerifyAudit(files, options);
}

Json ToJson(const AuditVerification& result) {
  Json findings = Json::array();
  for (const AuditFinding& finding : result.findings) {
    findings.push_back({{"fault", std::string(AuditFaultName(finding.fault))},
                        {"file", finding.file},
                        {"line", finding.line},
                        {"detail", finding.detail}});
  }
  return {{"whole", result.findings.empty()},
          {"lines", result.lines},
          {"first", result.first.seq},
          {"last", result.last.seq},
          {"head", result.last.hash},
          {"proofs_verified", result.proofs},
          {"torn_lines", result.torn_lines},
          {"unwritten", result.unwritten},
          {"findings", findings}};
}

void AddVerify(CLI::App& audit, std::ostream& out, std::ostream& err, int* exit_status) {
  auto args = std::make_shared<AuditArgs>();
  CLI::App* command = audit.add_subcommand(
      "verify", "Check the log's chain, and every device proof in it by the keys that it names");
  AddFileOptions(command, *args);
  command->add_option("--heads", args->heads_file, "Heads of the chain that were noted elsewhere");
  command->callback([args, &out, &err, exit_status] {
    const absl::StatusOr<AuditVerification> result = Verify(*args);
    if (!result.ok()) {
      err << "forekey-gate: " << result.status().message() << "\n";
      *exit_status = 2;
      return;
    }
    *exit_status = result->findings.empty() ? 0 : 1;
    if (args->json) {
      out << ToJson(*result).dump(2) << "\n";
      return;
    }
    for (const AuditFinding& finding : result->findings) {
      out << AuditFaultName(finding.fault) << ": " << finding.file << ":" << finding.line << ": "
          << finding.detail << "\n";
    }
    out << (result->findings.empty() ? "whole" : "NOT WHOLE") << ": " << result->lines << " lines ("
        << result->first.seq << " to " << result->last.seq << "), " << result->proofs
        << " device proofs verified, " << result->torn_lines << " torn lines, " << result->unwritten
        << " decisions unwritten; head " << result->last.hash << "\n";
  });
}

// "2027-01-15T08:00:00Z", "2027-01-15", or how long ago: "90s", "24h", "7d".
absl::StatusOr<absl::Time> ParseSince(const std::string& text) {
  if (const auto ago = ParseConfigDuration(text)) return absl::Now() - *ago;
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error) ||
      absl::ParseTime("%Y-%m-%d", text, absl::UTCTimeZone(), &time, &error)) {
    return time;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no time: 2027-01-15T08:00:00Z, 2027-01-15, 24h"));
}

std::string ForPeople(absl::string_view text) {
  const Json line = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return std::string(text);
  auto part = [&line](const char* key) {
    auto found = line.find(key);
    if (found == line.end()) return std::string();
    // Escaped as it is in the log: what a peer sent must not reach a terminal.
    if (!found->is_string()) return absl::StrCat(" ", key, "=", found->dump(-1, ' ', true));
    const std::string quoted = found->dump(-1, ' ', true);
    return absl::StrCat(" ", key, "=", quoted.substr(1, quoted.size() - 2));
  };
  // Compared as JSON: a line that somebody edited may hold any types.
  const bool admitted = line.contains("admitted") && line["admitted"] == true;
  const std::string time = part("time");
  std::string result = absl::StrCat(time.substr(std::min<size_t>(time.size(), 6)), " ",
                                    admitted ? "admitted" : "refused ");
  for (const char* key : {"event", "reason", "method", "subject", "peer", "session", "factors",
                          "reference", "latency_us", "detail"}) {
    result += part(key);
  }
  return result;
}

absl::Status Show(const AuditArgs& args, std::ostream& out) {
  AuditQuery query{args.subject, args.reference, args.reason, std::nullopt};
  if (!args.since.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(query.since, ParseSince(args.since));
  }
  std::vector<std::string> files = args.files;
  if (files.empty()) FOREKEY_RETURN_IF_ERROR(FromConfig(args, files, nullptr));
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(const auto reader, AuditReader::Open(file));
    SearchAudit(reader->content(), query, [&](absl::string_view line) {
      out << (args.json ? std::string(line) : ForPeople(line)) << "\n";
    });
  }
  return absl::OkStatus();
}

void AddShow(CLI::App& audit, std::ostream& out, std::ostream& err, int* exit_status) {
  auto args = std::make_shared<AuditArgs>();
  CLI::App* command = audit.add_subcommand("show", "Print decisions, oldest first");
  AddFileOptions(command, *args);
  command->add_option("--subject,-s", args->subject, "Of this subject");
  command->add_option("--ref", args->reference, "With this reference number");
  command->add_option("--reason", args->reason, "Refused for this reason, for example mac-invalid");
  command->add_option("--since", args->since, "Not earlier: 2027-01-15T08:00:00Z, 2027-01-15, 24h");
  command->callback([args, &out, &err, exit_status] {
    const absl::Status shown = Show(*args, out);
    *exit_status = shown.ok() ? 0 : 2;
    if (!shown.ok()) err << "forekey-gate: " << shown.message() << "\n";
  });
}

}  // namespace

void AddAuditCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status) {
  CLI::App* audit = app.add_subcommand("audit", "Read and verify the audit log");
  audit->require_subcommand(1);
  AddVerify(*audit, out, err, exit_status);
  AddShow(*audit, out, err, exit_status);
}

}  // namespace forekey
