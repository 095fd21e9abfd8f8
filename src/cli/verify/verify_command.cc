// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/verify_command.h"

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/firmware_folder.h"

namespace forekey {
namespace {

constexpr size_t kMaxEvidenceSize = 1 << 20;

constexpr char kOverview[] =
    "Checks a token's attestation offline, against files: the same checks as the gate's at\n"
    "enrolment. Says what was proved, or exactly why not. Exit status: 0 valid, 1 refused,\n"
    "2 could not be run.\n\n"
    "  forekey verify attestation --kind tpm --help     what a kind takes, with examples\n";

constexpr char kAssertionOverview[] =
    "Checks one assertion offline, with the key that was enrolled. Exit status as above.\n\n"
    "  forekey verify assertion --kind webauthn --help\n";

// The lists of kinds: one line each.
std::vector<std::unique_ptr<VerifyKind>> AttestationKinds() {
  std::vector<std::unique_ptr<VerifyKind>> kinds;
  kinds.push_back(NewVerifyTpm());
  kinds.push_back(NewVerifyWebAuthn());
  kinds.push_back(NewVerifyPiv());
  return kinds;
}
std::vector<std::unique_ptr<VerifyKind>> AssertionKinds() {
  std::vector<std::unique_ptr<VerifyKind>> kinds;
  kinds.push_back(NewVerifyWebAuthnAssertion());
  return kinds;
}

// The value of --kind among the words, as it will be parsed later; empty when it is not there.
std::string KindAmong(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (word == "--kind" && i + 1 < words.size()) return words[i + 1];
    if (absl::ConsumePrefix(&word, "--kind=")) return std::string(word);
  }
  return "";
}

std::string ValueText(const nlohmann::json& value) {
  // What evidence says may be made for the terminal that it is shown on.
  if (value.is_string()) return Shown(value.get<std::string>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    return absl::StrJoin(value, " <- ", [](std::string* out, const nlohmann::json& item) {
      absl::StrAppend(out, ValueText(item));
    });
  }
  return value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

std::string ToLine(const nlohmann::json& value) {
  // What evidence says may hold bytes that are not UTF-8: they are replaced, never thrown about. In
  // ASCII, as some terminals obey U+009B like ESC [.
  return value.dump(2, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

// What one run of the command needs; lives until the program ends its parse.
struct Command {
  std::string noun;  // "attestation" or "assertion"
  std::string kind_name;
  VerifyInputs inputs;
  std::string at, firmware;
  bool json = false;
  std::unique_ptr<VerifyKind> kind;
};

int Run(Command& command, std::ostream& out, std::ostream& err) {
  const auto fail = [&command, &err](const absl::Status& status) {
    err << "forekey verify " << command.noun << ": " << Shown(status.message()) << "\n";
    return kExitNotRun;
  };
  if (command.kind == nullptr) {
    return fail(
        absl::InvalidArgumentError(absl::StrCat("--kind ", command.kind_name, " is not known")));
  }
  const absl::StatusOr<absl::Time> at = ParseAt(command.at);
  if (!at.ok()) return fail(at.status());
  command.inputs.at = *at;
  if (!command.firmware.empty()) {
    absl::StatusOr<FirmwareList> list = ReadFirmwareList(command.firmware);
    if (!list.ok()) return fail(list.status());
    command.inputs.firmware = *std::move(list);
  }
  absl::StatusOr<VerifyReport> report = command.kind->Run(command.inputs);
  if (!report.ok()) return fail(report.status());
  out << (command.json ? absl::StrCat(ToLine(report->ToJson()), "\n") : report->ToText());
  out.flush();
  if (!out) return fail(absl::UnavailableError("the answer could not be written"));
  return report->ExitStatus();
}

// `verify <noun>`, with its kinds.
CLI::App* AddNoun(CLI::App& verify, const std::string& noun, const char* overview,
                  std::vector<std::unique_ptr<VerifyKind>> kinds,
                  const std::vector<std::string>& words, std::shared_ptr<Command> command) {
  CLI::App* app = verify.add_subcommand(noun, overview);
  command->noun = noun;
  std::vector<std::string> names;
  for (std::unique_ptr<VerifyKind>& kind : kinds) {
    names.emplace_back(kind->name());
    if (kind->name() == KindAmong(words)) command->kind = std::move(kind);
  }
  app->add_option("--kind", command->kind_name, "The kind of token")
      ->required()
      ->check(CLI::IsMember(names));
  app->add_flag("--json", command->json,
                "Print an object: verdict (\"valid\" or \"refused\"), reason, detail, proved");
  if (command->kind != nullptr) {
    app->description(command->kind->Help());
    command->kind->AddOptions(*app);
  }
  return app;
}

void AddCertificateOptions(CLI::App& app, Command& command) {
  app.add_option("--trust", command.inputs.trust,
                 "Folder of trust anchors: every certificate in it, DER or PEM, is one");
  app.add_option("--intermediates", command.inputs.intermediates,
                 "Intermediate certificates: DER, or a PEM bundle; may be repeated")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--firmware", command.firmware,
                 "List of weak firmware and least versions, as `forekey trust bundle` carries it")
      ->type_name("FILE");
  app.add_option("--at", command.at, "Check as of this time (RFC 3339) instead of now");
}

}  // namespace

VerifyReport VerifyReport::Valid(nlohmann::json proved) {
  VerifyReport report;
  report.valid = true;
  report.proved = std::move(proved);
  return report;
}

VerifyReport VerifyReport::Refused(const absl::Status& refusal, nlohmann::json proved) {
  VerifyReport report;
  const std::optional<Reason> reason = ReasonOf(refusal);
  report.reason = reason ? std::string(ReasonName(*reason)) : "unknown";
  absl::string_view detail = refusal.message();
  absl::ConsumePrefix(&detail, absl::StrCat(report.reason, ": "));
  report.detail = reason ? absl::StrCat(ReasonMeaning(*reason)) : "";
  if (!detail.empty() && detail != report.reason) absl::StrAppend(&report.detail, ": ", detail);
  report.proved = std::move(proved);
  return report;
}

nlohmann::json VerifyReport::ToJson() const {
  return {{"verdict", valid ? "valid" : "refused"},
          {"reason", reason},
          {"detail", detail},
          {"proved", proved.is_object() ? proved : nlohmann::json::object()}};
}

std::string VerifyReport::ToText() const {
  std::string text =
      valid ? "valid\n" : absl::StrCat("refused: ", reason, "\n  ", Shown(detail), "\n");
  if (!proved.empty()) absl::StrAppend(&text, valid ? "proved:\n" : "proved before that:\n");
  for (const auto& [name, value] : proved.items()) {
    absl::StrAppend(&text, "  ", Shown(absl::StrReplaceAll(name, {{"_", " "}})), ": ",
                    ValueText(value), "\n");
  }
  return text;
}

void AddVerifyCommand(CLI::App& app, const std::vector<std::string>& words, std::ostream& out,
                      std::ostream& err, int* exit_status) {
  CLI::App* verify = app.add_subcommand("verify", "Check evidence offline");
  verify->require_subcommand(1);
  auto attestation = std::make_shared<Command>();
  CLI::App* noun =
      AddNoun(*verify, "attestation", kOverview, AttestationKinds(), words, attestation);
  if (attestation->kind != nullptr) AddCertificateOptions(*noun, *attestation);
  noun->callback(
      [command = attestation, &out, &err, exit_status] { *exit_status = Run(*command, out, err); });
  auto assertion = std::make_shared<Command>();
  noun = AddNoun(*verify, "assertion", kAssertionOverview, AssertionKinds(), words, assertion);
  noun->callback(
      [command = assertion, &out, &err, exit_status] { *exit_status = Run(*command, out, err); });
}

absl::StatusOr<absl::Time> ParseAt(const std::string& at) {
  if (at.empty()) return absl::Now();
  absl::Time time;
  std::string why;
  if (absl::ParseTime(absl::RFC3339_full, at, &time, &why) && absl::StrContains(at, 'T')) {
    return time;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--at takes an RFC 3339 time such as 2026-01-31T12:00:00Z, not \"", at, "\""));
}

absl::StatusOr<VerifyReport> RefusedOr(const absl::Status& status, nlohmann::json proved) {
  if (ReasonOf(status)) return VerifyReport::Refused(status, std::move(proved));
  return status;
}

absl::StatusOr<std::string> ReadEvidenceFile(absl::string_view option, const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path, kMaxEvidenceSize);
  if (content.ok()) return content;
  return absl::Status(content.status().code(),
                      absl::StrCat(option, ": ", content.status().message()));
}

absl::StatusOr<TrustAnchors> LoadTrust(const std::string& directory,
                                       std::vector<std::string>* skipped) {
  absl::StatusOr<TrustAnchors> anchors = TrustAnchors::FromDirectory(directory, skipped);
  if (!anchors.ok()) {
    return absl::Status(anchors.status().code(),
                        absl::StrCat("--trust: ", anchors.status().message()));
  }
  if (anchors->empty()) skipped->push_back(absl::StrCat(directory, ": no trust anchor in it"));
  return anchors;
}

absl::StatusOr<std::vector<Certificate>> LoadIntermediates(const std::vector<std::string>& paths,
                                                           std::vector<std::string>* skipped) {
  std::vector<Certificate> result;
  for (const std::string& path : paths) {
    FOREKEY_ASSIGN_OR_RETURN(std::string content, ReadEvidenceFile("--intermediates", path));
    for (absl::StatusOr<Certificate>& certificate : Certificate::ParseEach(content)) {
      if (certificate.ok()) {
        result.push_back(*std::move(certificate));
      } else {
        skipped->push_back(absl::StrCat(path, ": ", certificate.status().message()));
      }
    }
  }
  return result;
}

absl::StatusOr<std::vector<RevocationList>> ReadRevocationLists(
    absl::string_view option, const std::vector<std::string>& paths) {
  // Everything is read before anything is judged, so that a missing file is never a verdict.
  std::vector<std::string> contents;
  for (const std::string& path : paths) {
    FOREKEY_ASSIGN_OR_RETURN(contents.emplace_back(), ReadEvidenceFile(option, path));
  }
  std::vector<RevocationList> lists;
  for (const std::string& content : contents) {
    FOREKEY_ASSIGN_OR_RETURN(RevocationList list, RevocationList::Parse(content));
    lists.push_back(std::move(list));
  }
  return lists;
}

absl::StatusOr<std::string> ParseHex(absl::string_view option, absl::string_view hex) {
  absl::string_view digits = hex;
  if (!absl::ConsumePrefix(&digits, "0x")) absl::ConsumePrefix(&digits, "0X");
  std::string plain;
  for (char c : digits) {
    if (c == ':' || c == ' ') continue;
    if (!absl::ascii_isxdigit(c)) {
      return absl::InvalidArgumentError(absl::StrCat(option, " takes hex, not \"", hex, "\""));
    }
    plain.push_back(c);
  }
  if (plain.size() % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(option, " has an odd number of hex digits"));
  }
  return absl::HexStringToBytes(plain);
}

}  // namespace forekey
