// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/audit_commands.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/cli/gate/gate_registry.h"
#include "src/cli/terminal/did_you_mean.h"
#include "src/cli/terminal/time_text.h"
#include "src/gate/audit/audit_reader.h"
#include "src/gate/audit/audit_span.h"
#include "src/gate/audit/audit_verify.h"
#include "src/gate/config/config.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

struct AuditArgs {
  std::string config_file = "/etc/forekey/gate.toml";
  std::vector<std::string> files, replicas;
  std::string bound = "1m";
  std::string heads_file, first, since, until, subject, reference, reason;
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
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<Registry> registry, OpenRegistryToRead(config));
  if (registry == nullptr) return absl::OkStatus();
  options->enrolled = [registry](absl::string_view id) {
    return registry->FindCredential(id).ok();
  };
  return absl::OkStatus();
}

absl::StatusOr<AuditVerification> Verify(const AuditArgs& args) {
  AuditVerifyOptions options;
  std::vector<std::string> files = args.files;
  if (files.empty()) {
    // The config's own files hold the whole log, unless somebody says what was archived.
    options.first = 1;
    FOREKEY_RETURN_IF_ERROR(FromConfig(args, files, &options));
  }
  if (!args.first.empty()) {
    uint64_t first = 0;
    if (!absl::SimpleAtoi(args.first, &first) || first == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--first ", args.first, " is no line's number (seq)"));
    }
    options.first = first;
  }
  if (!args.heads_file.empty()) FOREKEY_RETURN_IF_ERROR(AddHeads(args.heads_file, options));
  return VerifyAudit(files, options);
}

// The logs of several replicas, each with what is rotated beside it; and what spans them.
struct ReplicaLogs {
  std::vector<std::pair<std::string, AuditVerification>> logs;
  AuditSpan span;
  bool Whole() const {
    for (const auto& [file, result] : logs) {
      if (!result.findings.empty()) return false;
    }
    return span.findings.empty();
  }
};

absl::StatusOr<ReplicaLogs> VerifyReplicas(const AuditArgs& args) {
  absl::Duration bound;
  if (!absl::ParseDuration(args.bound, &bound) || bound < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("--bound ", args.bound, " is no duration"));
  }
  if (!args.files.empty() || !args.heads_file.empty() || !args.first.empty()) {
    return absl::InvalidArgumentError(
        "--replica names all logs: files, --heads and --first are for one");
  }
  ReplicaLogs result;
  std::vector<std::string> all;
  for (const std::string& log : args.replicas) {
    AuditVerifyOptions options;
    options.first = 1;
    if (Exists(log + ".head")) FOREKEY_RETURN_IF_ERROR(AddHeads(log + ".head", options));
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> files, AuditFilesOf(log));
    FOREKEY_ASSIGN_OR_RETURN(AuditVerification verified, VerifyAudit(files, options));
    result.logs.emplace_back(log, std::move(verified));
    all.insert(all.end(), files.begin(), files.end());
  }
  FOREKEY_ASSIGN_OR_RETURN(result.span, CheckAuditSpan(all, bound));
  return result;
}

Json FindingsJson(const std::vector<AuditFinding>& found) {
  Json findings = Json::array();
  for (const AuditFinding& finding : found) {
    findings.push_back({{"fault", std::string(AuditFaultName(finding.fault))},
                        {"file", finding.file},
                        {"line", finding.line},
                        {"detail", finding.detail}});
  }
  return findings;
}

Json ToJson(const AuditVerification& result) {
  return {{"whole", result.findings.empty()},
          {"lines", result.lines},
          {"first", result.first.seq},
          {"last", result.last.seq},
          {"head", result.last.hash},
          {"proofs_verified", result.proofs},
          {"torn_lines", result.torn_lines},
          {"unwritten", result.unwritten},
          {"findings", FindingsJson(result.findings)}};
}

void PrintFindings(const std::vector<AuditFinding>& findings, std::ostream& out) {
  for (const AuditFinding& finding : findings) {
    out << AuditFaultName(finding.fault) << ": " << finding.file << ":" << finding.line << ": "
        << finding.detail << "\n";
  }
}

void PrintSummary(const AuditVerification& result, std::ostream& out) {
  PrintFindings(result.findings, out);
  out << (result.findings.empty() ? "whole" : "NOT WHOLE") << ": " << result.lines << " lines ("
      << result.first.seq << " to " << result.last.seq << "), " << result.proofs
      << " device proofs verified, " << result.torn_lines << " torn lines, " << result.unwritten
      << " decisions unwritten; head " << result.last.hash << "\n";
}

int PrintReplicas(const ReplicaLogs& replicas, bool json, std::ostream& out) {
  const AuditSpan& span = replicas.span;
  if (json) {
    Json logs = Json::array();
    for (const auto& [file, result] : replicas.logs) {
      logs.push_back(ToJson(result));
      logs.back()["log"] = file;
    }
    out << Json({{"whole", replicas.Whole()},
                 {"logs", logs},
                 {"resumed", span.resumed},
                 {"enrolled", span.enrolled},
                 {"revoked", span.revoked},
                 {"findings", FindingsJson(span.findings)}})
               .dump(2)
        << "\n";
    return replicas.Whole() ? 0 : 1;
  }
  for (const auto& [file, result] : replicas.logs) {
    out << file << "\n";
    PrintSummary(result, out);
  }
  PrintFindings(span.findings, out);
  out << (span.findings.empty() ? "the logs agree" : "THE LOGS DO NOT AGREE") << ": "
      << span.resumed << " sessions resumed, " << span.enrolled << " invites used, " << span.revoked
      << " credentials revoked\n";
  return replicas.Whole() ? 0 : 1;
}

void AddVerify(CLI::App& audit, std::ostream& out, std::ostream& err, int* exit_status) {
  auto args = std::make_shared<AuditArgs>();
  CLI::App* command = audit.add_subcommand(
      "verify", "Check the log's chain, and every device proof in it by the keys that it names");
  AddFileOptions(command, *args);
  command->add_option("--heads", args->heads_file, "Heads of the chain that were noted elsewhere");
  command->add_option("--first", args->first,
                      "The oldest line (seq) that must be there, where older ones were archived; "
                      "default: 1, for the config's files");
  command->add_option("--replica", args->replicas,
                      "The log of one of several replicas; once for each of them. Checks each, and "
                      "what spans them: sessions resumed, invites used, revocations");
  command
      ->add_option("--bound", args->bound,
                   "With --replica: for how long after a revocation another replica may have "
                   "admitted, by its own clock")
      ->capture_default_str();
  command->callback([args, &out, &err, exit_status] {
    if (!args->replicas.empty()) {
      const absl::StatusOr<ReplicaLogs> replicas = VerifyReplicas(*args);
      if (!replicas.ok()) err << "forekey-gate: " << replicas.status().message() << "\n";
      *exit_status = replicas.ok() ? PrintReplicas(*replicas, args->json, out) : 2;
      return;
    }
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
    PrintSummary(*result, out);
  });
}

std::string ForPeople(absl::string_view text) {
  const Json line = ParseBoundedJson(text);
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
  std::string time = part("time"), ignored;
  time = time.substr(std::min<size_t>(time.size(), 6));
  absl::Time at;
  if (absl::ParseTime(absl::RFC3339_full, time, &at, &ignored)) time = LocalTimeText(at);
  std::string result = absl::StrCat(time, " ", admitted ? "admitted" : "refused ");
  for (const char* key : {"event", "reason", "method", "subject", "peer", "session", "factors",
                          "reference", "latency_us", "detail"}) {
    result += part(key);
  }
  return result;
}

absl::StatusOr<std::optional<absl::Time>> TimeOption(const std::string& text) {
  if (text.empty()) return std::optional<absl::Time>();
  FOREKEY_ASSIGN_OR_RETURN(const absl::Time time,
                           ParseTimeText(text, absl::Now(), absl::LocalTimeZone()));
  return std::optional<absl::Time>(time);
}

absl::StatusOr<AuditQuery> QueryOf(const AuditArgs& args) {
  AuditQuery query;
  query.subject = args.subject;
  query.reference = args.reference;
  query.reason = args.reason;
  if (!args.reason.empty() && !ReasonFromName(args.reason).has_value()) {
    std::vector<std::string> names;
    for (size_t i = 0; i < kReasonCount; ++i) {
      names.emplace_back(ReasonName(static_cast<Reason>(i)));
    }
    const std::string meant = DidYouMean(args.reason, names);
    return absl::InvalidArgumentError(
        absl::StrCat("no refusal has the reason ", args.reason,
                     meant.empty() ? ": docs/AUDIT.md lists them" : meant));
  }
  FOREKEY_ASSIGN_OR_RETURN(query.since, TimeOption(args.since));
  FOREKEY_ASSIGN_OR_RETURN(query.until, TimeOption(args.until));
  return query;
}

// The subject's credentials, by the registry that the config names: what claimed them is about the
// subject, too.
absl::Status AddCredentialsOf(const AuditArgs& args, AuditQuery& query) {
  absl::Status elsewhere;
  const auto config = GateConfig::LoadOnly(args.config_file, {"state"}, &elsewhere);
  // Named files may be read where there is no gate.
  if (!config.ok()) return args.files.empty() ? config.status() : absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<Registry> registry, OpenRegistryToRead(*config));
  if (registry == nullptr) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const auto credentials, registry->ListCredentials(query.subject));
  for (const CredentialRecord& one : credentials) query.ids.insert(absl::BytesToHexString(one.id));
  return absl::OkStatus();
}

absl::Status Show(const AuditArgs& args, std::ostream& out) {
  FOREKEY_ASSIGN_OR_RETURN(AuditQuery query, QueryOf(args));
  std::vector<std::string> files = args.files;
  if (files.empty()) FOREKEY_RETURN_IF_ERROR(FromConfig(args, files, nullptr));
  std::vector<std::unique_ptr<AuditReader>> readers;
  for (const std::string& file : files) {
    FOREKEY_ASSIGN_OR_RETURN(auto reader, AuditReader::Open(file));
    readers.push_back(std::move(reader));
  }
  if (!query.subject.empty()) {
    FOREKEY_RETURN_IF_ERROR(AddCredentialsOf(args, query));
    for (const auto& reader : readers) AddSessionsOf(reader->content(), query.subject, query.ids);
  }
  size_t lines = 0;
  for (const auto& reader : readers) {
    SearchAudit(reader->content(), query, [&](absl::string_view line) {
      ++lines;
      out << (args.json ? std::string(line) : ForPeople(line)) << "\n";
    });
  }
  if (lines == 0 && !args.reference.empty()) {
    return absl::NotFoundError(absl::StrCat("no line has the reference ", args.reference,
                                            ": it may be another gate's, in an older file, or one "
                                            "of refusals that got no line of their "
                                            "own (\"suppressed\")"));
  }
  return absl::OkStatus();
}

void AddShow(CLI::App& audit, std::ostream& out, std::ostream& err, int* exit_status) {
  auto args = std::make_shared<AuditArgs>();
  CLI::App* command = audit.add_subcommand("show", "Print decisions, oldest first");
  AddFileOptions(command, *args);
  command->add_option(
      "--subject,-s", args->subject,
      "Of this subject: also refusals that only named a credential or session of it, "
      "and changes of them");
  command->add_option("--ref", args->reference, "With this reference number");
  command->add_option("--reason", args->reason, "Refused for this reason, for example mac-invalid");
  command->add_option("--since", args->since,
                      "Not earlier: 2027-01-15T08:00:00Z, 2027-01-15, \"2027-01-15 10:32\", 10:32, "
                      "yesterday, 24h; without a zone in this machine's");
  command->add_option("--until", args->until, "Not later; the same forms");
  command->callback([args, &out, &err, exit_status] {
    const absl::Status shown = Show(*args, out);
    *exit_status = shown.ok() ? 0 : absl::IsNotFound(shown) ? 1 : 2;
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
