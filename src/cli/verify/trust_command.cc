// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_command.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/cli/verify/mds_imports.h"
#include "src/cli/verify/trust_subcommands.h"
#include "src/cli/verify/verify_command.h"
#include "src/verify/fido_metadata.h"

namespace forekey {
namespace {

constexpr char kImportHelp[] =
    "Verifies a FIDO Metadata Service 3 BLOB (its signature, the signer's path to --root, and that "
    "it\n"
    "is not older than one imported before), and tells what is in it. `forekey verify --mds` then\n"
    "takes that very file without its root. What it remembers is in $FOREKEY_STATE_DIR, else\n"
    "$XDG_STATE_HOME/forekey, else ~/.local/state/forekey.\n\n"
    "  forekey trust import-mds blob.jwt --root globalsign-root.pem\n";

struct ImportCommand {
  std::string blob, root, at;
  std::vector<std::string> crls;
  bool json = false;
};

// One fact a line; of what was skipped, every one with its reason.
std::string ImportText(const VerifyReport& report) {
  if (!report.valid) return report.ToText();
  std::string text = "imported\n";
  for (const char* name : {"no", "next_update", "stale", "signer", "revocation_checked", "entries",
                           "entries_kept", "anchors_kept", "remembered"}) {
    const nlohmann::json& value = report.proved[name];
    absl::StrAppend(&text, "  ", name, ": ",
                    value.is_string() ? Shown(value.get<std::string>()) : value.dump(), "\n");
  }
  const nlohmann::json& skipped = report.proved["skipped"];
  absl::StrAppend(&text, "  skipped: ", skipped.size(), "\n");
  for (const auto& line : skipped)
    absl::StrAppend(&text, "    ", Shown(line.get<std::string>()), "\n");
  return text;
}

// A history that is damaged is an error; one that can't be had is none (Remember tells so).
absl::Status CheckRollback(const FidoMetadata& metadata) {
  const absl::StatusOr<MdsImports> imports = MdsImports::Open();
  if (absl::IsFailedPrecondition(imports.status())) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(imports.status());
  const auto latest = imports->LatestNo(metadata.anchor());
  if (!latest || metadata.no() >= *latest) return absl::OkStatus();
  return Refuse(Reason::kMetadataRollback,
                absl::StrCat("number ", metadata.no(), ", and ", *latest, " was imported before"));
}

// Empty, or why not: the BLOB is as good as it is then, and needs its root again next time.
std::string Remember(absl::string_view blob, const FidoMetadata& metadata, absl::Time time) {
  absl::StatusOr<MdsImports> imports = MdsImports::Open();
  absl::Status status = imports.status();
  if (status.ok()) status = imports->Record(blob, {metadata.no(), metadata.anchor(), time});
  return status.ok() ? "" : absl::StrCat("no: ", status.message());
}

absl::StatusOr<VerifyReport> Import(const ImportCommand& command) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string blob, ReadFile(command.blob, kMaxMetadataBlobSize));
  FOREKEY_ASSIGN_OR_RETURN(const std::string root, ReadEvidenceFile("--root", command.root));
  const auto roots = Certificate::ParseAll(root);
  if (!roots.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--root: ", roots.status().message()));
  }
  MetadataOptions options;
  FOREKEY_ASSIGN_OR_RETURN(options.time, ParseAt(command.at));
  for (const Certificate& certificate : *roots) options.roots.Add(certificate);
  absl::StatusOr<std::vector<RevocationList>> revocation =
      ReadRevocationLists("--crl", command.crls);
  if (!revocation.ok()) return RefusedOr(revocation.status());
  options.revocation = *std::move(revocation);
  const absl::StatusOr<FidoMetadata> metadata = FidoMetadata::Parse(blob, options);
  if (!metadata.ok()) return RefusedOr(metadata.status());
  const absl::Status rollback = CheckRollback(*metadata);
  if (!rollback.ok()) return RefusedOr(rollback);
  const std::string not_remembered = Remember(blob, *metadata, options.time);
  return VerifyReport::Valid({{"no", metadata->no()},
                              {"next_update", metadata->next_update()},
                              {"stale", metadata->Stale(options.time)},
                              {"signer", metadata->signer()},
                              {"revocation_checked", metadata->revocation_checked()},
                              {"entries", metadata->listed()},
                              {"entries_kept", metadata->entries().size()},
                              {"anchors_kept", metadata->anchors()},
                              {"remembered", not_remembered.empty() ? "yes" : not_remembered},
                              {"skipped", metadata->skipped()}});
}

int Run(const ImportCommand& command, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<VerifyReport> report = Import(command);
  if (!report.ok()) {
    err << "forekey trust import-mds: " << Shown(report.status().message()) << "\n";
    return kExitNotRun;
  }
  out << (command.json ? report->ToJson().dump(2, ' ', /*ensure_ascii=*/true,
                                               nlohmann::json::error_handler_t::replace) +
                             "\n"
                       : ImportText(*report));
  out.flush();
  return out ? report->ExitStatus() : kExitNotRun;
}

}  // namespace

void AddTrustCommand(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status,
                     const ReadHardware& hardware) {
  CLI::App* trust =
      app.add_subcommand("trust", "Trust anchors: import them, and give them to gates");
  trust->require_subcommand(1);
  AddTrustImport(*trust, {out, err, exit_status});
  AddTrustFetch(*trust, {out, err, exit_status});
  AddTrustBundle(*trust, {out, err, exit_status});
  if (hardware) AddTrustForDevice(*trust, {out, err, exit_status}, hardware);
  auto command = std::make_shared<ImportCommand>();
  CLI::App* import = trust->add_subcommand("import-mds", kImportHelp);
  import->add_option("blob", command->blob, "The BLOB, as the metadata service serves it")
      ->type_name("FILE")
      ->required();
  import->add_option("--root", command->root, "Certificates that its signer may chain to")
      ->type_name("FILE")
      ->required();
  import
      ->add_option("--crl", command->crls,
                   "Revocation list of a CA of the signer's, DER or PEM; may be repeated. With one "
                   "the signer's issuer must have one")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  import->add_option("--at", command->at, "Check as of this time (RFC 3339) instead of now");
  import->add_flag("--json", command->json,
                   "Print an object: verdict (\"valid\" or \"refused\"), reason, detail, proved");
  import->callback(
      [command, &out, &err, exit_status] { *exit_status = Run(*command, out, err);
});
}  // namespace forekey

}  // namespace forekey
