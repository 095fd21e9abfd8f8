// SPDX-License-Identifier: Apache-2.0
// `forekey trust import`: CAs out of what exists, into a folder that a gate trusts.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/cli/verify/trust_store.h"
#include "src/cli/verify/trust_subcommands.h"
#include "src/cli/verify/verify_command.h"

namespace forekey {
namespace {

using What = TrustChange::What;

constexpr char kTrustImportHelp[] =
    "Puts the CAs of TPM vendors, security keys and smartcards into a folder that a gate trusts\n"
    "(DIR/tpm, DIR/fido2, DIR/piv: the `trust` keys of its configuration), and says what changes.\n"
    "Takes PEM and DER files, folders of them (Keylime's tpm_cert_store, Yubico's PKI), and\n"
    "Microsoft's TrustedTpm.cab. Whether these are what they say you have to know: look at\n"
    "--dry-run, and get them from where their vendor publishes them.\n\n"
    "  forekey trust import TrustedTpm.cab --into /etc/forekey/trust --dry-run\n"
    "  forekey trust import yubico-ca-certs.txt yubico-intermediate.pem --origin yubico \\\n"
    "      --into /etc/forekey/trust\n"
    "Exit status: 0 done, 1 no CA in it, or nothing was pruned as a file can't be read, 2 could\n"
    "not be run.";

struct ImportArgs {
  std::vector<std::string> sources;
  std::string into, kind, origin, at;
  bool dry_run = false, prune = false, allow_expired = false, again = false, json = false;
};

std::string ChangeLine(const TrustChange& change) {
  if (change.what == What::kRefuse || change.what == What::kTakenOut) {
    return absl::StrCat("! left out  ", Shown(change.file), change.subject.empty() ? "" : ": ",
                        Shown(change.subject), ": ", Shown(change.why), "\n");
  }
  return absl::StrCat(change.what == What::kAdd ? "+ " : "- ", change.kind, "  ", change.role, "  ",
                      change.vendor, "  ", Shown(change.subject), "  (until ", change.ends, ", ",
                      Shown(change.file), ")\n");
}

}  // namespace

TrustChangeCounts CountTrustChanges(const std::vector<TrustChange>& changes) {
  TrustChangeCounts counts;
  for (const TrustChange& change : changes) {
    counts.added += change.what == What::kAdd ? 1 : 0;
    counts.known += change.what == What::kKnown ? 1 : 0;
    counts.removed += change.what == What::kRemove ? 1 : 0;
    counts.again += change.what == What::kAdd && change.again ? 1 : 0;
    counts.taken_out += change.what == What::kTakenOut ? 1 : 0;
    counts.refused += change.what == What::kRefuse || change.what == What::kTakenOut ? 1 : 0;
  }
  return counts;
}

void PrintTrustChanges(const std::vector<TrustChange>& changes, const TrustChangesView& view,
                       std::ostream& out) {
  const TrustChangeCounts counts = CountTrustChanges(changes);
  if (view.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const TrustChange& change : changes) list.push_back(change.ToJson());
    out << nlohmann::json(
               {{"directory", view.directory}, {"dry_run", view.dry_run}, {"changes", list}})
               .dump(2, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace)
        << "\n";
    return;
  }
  for (const TrustChange& change : changes) {
    if (change.what != What::kKnown) out << ChangeLine(change);
  }
  out << (view.dry_run ? "would be: " : "") << counts.added << " added, " << counts.removed
      << " removed, " << counts.known << " there already, " << counts.refused << " left out\n";
}

bool TellNotPruned(const std::vector<TrustChange>& changes, bool prune, std::ostream& err) {
  bool told = false;
  for (const TrustChange& change : changes) {
    if (!prune || !change.unread) continue;
    err << "forekey trust: " << Shown(change.file)
        << " looks like a certificate and can't be read: nothing is removed until it is mended, or "
           "taken out of the source\n";
    told = true;
  }
  return told;
}

namespace {

absl::StatusOr<std::vector<SourceFile>> ReadAll(const std::vector<std::string>& sources) {
  std::vector<SourceFile> files;
  for (const std::string& source : sources) {
    FOREKEY_ASSIGN_OR_RETURN(std::vector<SourceFile> some, ReadTrustSource(source));
    for (SourceFile& file : some) files.push_back(std::move(file));
  }
  return files;
}

absl::StatusOr<int> ImportTrust(ImportArgs& args, const TrustTerminal& terminal) {
  TrustImport import;
  import.prune = args.prune;
  import.allow_expired = args.allow_expired;
  import.again = args.again;
  import.kind = TrustKindFromName(args.kind);
  if (args.origin.empty()) {
    // Two files may have one name: what is removed must not hang on that.
    if (args.prune || args.sources.size() > 1) {
      return absl::InvalidArgumentError(
          args.prune ? "--prune needs --origin, the name that this source has each time"
                     : "several sources need --origin, one name for all of them");
    }
    // What a source is called when it comes again, wherever it lies then.
    const std::filesystem::path path(args.sources.front());
    args.origin = (path.has_filename() ? path : path.parent_path()).filename().string();
  }
  import.origin = args.origin;
  FOREKEY_ASSIGN_OR_RETURN(const absl::Time now, ParseAt(args.at));
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<SourceFile> files, ReadAll(args.sources));
  FOREKEY_ASSIGN_OR_RETURN(const TrustStore seen, TrustStore::Open(args.into));
  std::vector<TrustChange> changes = seen.Plan(files, import, now);
  // A source of nothing is a mistake, and must not empty what came from it before.
  const bool none = CountTrustChanges(changes).IsOfNothing();
  std::vector<std::string> emptied;
  if (!none && !args.dry_run) {
    FOREKEY_ASSIGN_OR_RETURN(TrustStore store, TrustStore::OpenToChange(args.into));
    changes = store.Plan(files, import, now);  // somebody else may have been there since
    FOREKEY_ASSIGN_OR_RETURN(emptied, store.Apply(changes, import, now));
  }
  PrintTrustChanges(changes, {args.into, args.dry_run, args.json}, terminal.out);
  for (const std::string& kind : emptied) {
    terminal.err << Shown(EmptiedTrustWarning(args.into, kind)) << std::endl;
  }
  const bool not_pruned = TellNotPruned(changes, args.prune, terminal.err);
  return none || not_pruned ? kExitRefused : kExitOk;
}

}  // namespace

void AddTrustImport(CLI::App& trust, const TrustTerminal& terminal) {
  auto args = std::make_shared<ImportArgs>();
  CLI::App* command = trust.add_subcommand("import", kTrustImportHelp);
  command->add_option("source", args->sources, "Files, folders, or a cabinet")
      ->type_name("SOURCE")
      ->required();
  command->add_option("--into", args->into, "The folder of trust; made if missing")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--kind", args->kind, "What all of it is for, where that should not be guessed")
      ->check(CLI::IsMember({"tpm", "fido2", "piv"}));
  command->add_option("--origin", args->origin,
                      "What the source is called in origins.json. Default: its file name; several "
                      "sources, and --prune, need one");
  command->add_flag("--prune", args->prune,
                    "Also remove what came from this origin alone before, and is not in it now");
  command->add_flag("--allow-expired", args->allow_expired,
                    "Take CAs that have ended: some TPMs outlive their vendor's");
  command->add_flag("--again", args->again, "Also take what was taken out of the folder by hand");
  command->add_option("--at", args->at, "Look at dates as of this time (RFC 3339) instead of now");
  command->add_flag("--dry-run", args->dry_run, "Say what would change, and change nothing");
  command->add_flag("--json", args->json, "Print one object: directory, dry_run, changes");
  command->callback([args, terminal] {
    const absl::StatusOr<int> status = ImportTrust(*args, terminal);
    if (!status.ok()) {
      terminal.err << "forekey trust import: " << Shown(status.status().message()) << "\n";
    }
    *terminal.exit_status = status.value_or(kExitNotRun);
  });
}

}  // namespace forekey
