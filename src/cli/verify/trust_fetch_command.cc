// SPDX-License-Identifier: Apache-2.0
// `forekey trust fetch`: lists of CAs from where their makers publish them. They are not signed
// (but for FIDO's, which is `import-mds`'s business), so what came once is remembered by its hash,
// and what is different the next time is shown and waits for a person.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/cli/verify/cabinet.h"
#include "src/cli/verify/trust_store.h"
#include "src/cli/verify/trust_subcommands.h"
#include "src/cli/verify/verify_command.h"
#include "src/crypto/digest.h"
#include "src/https/https_get.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr char kAccepted[] = "fetched.json";
constexpr size_t kMaxAccepted = 1 << 20;
constexpr size_t kMaxDownload = 64 << 20;
constexpr int kRedirects = 5;
constexpr absl::Duration kTimeout = absl::Minutes(2);

// The one table of addresses, whose files are one list together; --url takes the place of all of
// a source.
constexpr struct {
  const char* name;
  const char* what;
  std::optional<TrustKind> kind;  // of all of it
  const char* urls[2];            // null: there is no second
} kSources[] = {
    {"microsoft-tpm",
     "TPM vendors' CAs, as Microsoft collects them (TrustedTpm.cab)",
     TrustKind::kTpm,
     {"https://go.microsoft.com/fwlink/?linkid=2097925", nullptr}},
    // The roots, and the CAs below the newest, which no YubiKey holds: from firmware 5.7.4 on one
    // shows its own certificate alone.
    {"yubico",
     "Yubico's CAs of PIV and FIDO attestations",
     {},
     {"https://developers.yubico.com/PKI/yubico-ca-certs.txt",
      "https://developers.yubico.com/PKI/yubico-intermediate.pem"}},
};

struct FetchArgs {
  std::string source, into, ca, accept, at;
  std::vector<std::string> urls;
  bool json = false, prune = false, allow_expired = false, again = false;
};

std::string SourceList() {
  std::string list;
  for (const auto& source : kSources) {
    absl::StrAppend(&list, "  ", source.name, "   ", source.what, "\n");
    for (const char* url : source.urls) {
      if (url != nullptr) absl::StrAppend(&list, "      ", url, "\n");
    }
  }
  return list;
}

// What a person accepts: of one file its SHA-256, of several that of theirs, in hex, a line each.
std::string HashOf(const std::vector<std::string>& hashes) {
  if (hashes.size() == 1) return hashes.front();
  return absl::BytesToHexString(Sha256(absl::StrCat(absl::StrJoin(hashes, "\n"), "\n")));
}

// {source: {"sha256", "url", "accepted"}}
absl::StatusOr<nlohmann::json> ReadAccepted(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/", kAccepted);
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxAccepted);
  if (absl::IsNotFound(text.status())) return nlohmann::json::object();
  FOREKEY_RETURN_IF_ERROR(text.status());
  nlohmann::json known = ParseBoundedJson(*text);
  bool good = known.is_object();
  for (const nlohmann::json& entry : known) {
    good = good && entry.is_object() && entry.contains("sha256") && entry["sha256"].is_string();
  }
  if (good) return known;
  return absl::DataLossError(absl::StrCat(path, " is damaged: remove it, and accept anew"));
}

absl::Status AddFilesOf(const std::string& name, std::string body, std::vector<SourceFile>& files) {
  if (!IsCabinet(body)) {
    files.push_back({name, std::move(body)});
    return absl::OkStatus();
  }
  FOREKEY_ASSIGN_OR_RETURN(std::vector<CabinetFile> cabinet, ReadCabinet(body));
  for (CabinetFile& file : cabinet) {
    files.push_back({std::move(file.name), std::move(file.content)});
  }
  return absl::OkStatus();
}

// What came, and what the folder of trust makes of it.
struct Fetched {
  TrustImport import;
  std::vector<SourceFile> files;
  std::vector<std::string> urls;
  std::string hash;
  absl::Time now;

  std::vector<TrustChange> changes;
  nlohmann::json known;  // fetched.json
  std::string before;    // the hash that was accepted last
  bool same_but_more = false;
  bool accepted = false;

  absl::Status Look(const FetchArgs& args, const TrustStore& store) {
    changes = store.Plan(files, import, now);
    FOREKEY_ASSIGN_OR_RETURN(known, ReadAccepted(args.into));
    before = known.contains(args.source) ? known[args.source]["sha256"].get<std::string>() : "";
    // What this list would add now and did not when a person accepted it, they have not seen.
    const TrustChangeCounts counts = CountTrustChanges(changes);
    same_but_more = hash == before && counts.added > counts.again;
    accepted = hash == args.accept || (hash == before && !same_but_more);
    return absl::OkStatus();
  }
};

// The same command again, with what was looked at.
std::string AcceptCommand(const FetchArgs& args, const std::string& hash) {
  std::string command =
      absl::StrCat("forekey trust fetch ", args.source, " --into ", ShellWord(args.into));
  for (const std::string& url : args.urls) absl::StrAppend(&command, " --url ", ShellWord(url));
  if (!args.ca.empty()) absl::StrAppend(&command, " --ca ", ShellWord(args.ca));
  if (args.prune) absl::StrAppend(&command, " --prune");
  if (args.allow_expired) absl::StrAppend(&command, " --allow-expired");
  if (args.again) absl::StrAppend(&command, " --again");
  return absl::StrCat(command, " --accept ", hash);
}

// Each of them has to answer: half of a list is none.
absl::Status AskEach(const FetchArgs& args, const TrustTerminal& terminal, Fetched& fetched) {
  HttpsGetOptions get;
  get.ca_file = args.ca;
  get.timeout = kTimeout;
  get.max_size = kMaxDownload;
  get.redirects = kRedirects;
  const std::atomic<bool> stop{false};
  std::vector<std::string> hashes;
  for (const std::string& url : fetched.urls) {
    if (!args.json) terminal.err << "asking " << Shown(url) << std::endl;
    get.url = url;
    FOREKEY_ASSIGN_OR_RETURN(HttpsAnswer answer, HttpsGet(get, stop));
    hashes.push_back(absl::BytesToHexString(Sha256(answer.body)));
    if (!args.json) terminal.err << "  its SHA-256 is " << hashes.back() << std::endl;
    FOREKEY_RETURN_IF_ERROR(AddFilesOf(args.source, std::move(answer.body), fetched.files));
  }
  fetched.hash = HashOf(hashes);
  return absl::OkStatus();
}

absl::StatusOr<Fetched> Ask(const FetchArgs& args, const TrustTerminal& terminal) {
  Fetched fetched;
  fetched.urls = args.urls;
  for (const auto& source : kSources) {
    if (args.source != source.name) continue;
    fetched.import.kind = source.kind;
    if (!args.urls.empty()) continue;
    for (const char* url : source.urls) {
      if (url != nullptr) fetched.urls.emplace_back(url);
    }
  }
  fetched.import.origin = args.source;
  fetched.import.prune = args.prune;
  fetched.import.allow_expired = args.allow_expired;
  fetched.import.again = args.again;
  FOREKEY_ASSIGN_OR_RETURN(fetched.now, ParseAt(args.at));
  // What is damaged is told before anybody is asked.
  FOREKEY_RETURN_IF_ERROR(TrustStore::Open(args.into).status());
  FOREKEY_RETURN_IF_ERROR(ReadAccepted(args.into).status());
  FOREKEY_RETURN_IF_ERROR(AskEach(args, terminal, fetched));
  return fetched;
}

// Under the lock, so that what is judged is what is changed.
absl::Status TakeOver(const FetchArgs& args, const TrustTerminal& terminal, Fetched& fetched) {
  FOREKEY_ASSIGN_OR_RETURN(TrustStore store, TrustStore::OpenToChange(args.into));
  FOREKEY_RETURN_IF_ERROR(fetched.Look(args, store));
  if (!fetched.accepted) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> emptied,
                           store.Apply(fetched.changes, fetched.import, fetched.now));
  fetched.known[args.source] = {
      {"sha256", fetched.hash},
      {"url", absl::StrJoin(fetched.urls, " ")},
      {"accepted", absl::FormatTime(absl::RFC3339_sec, fetched.now, absl::UTCTimeZone())}};
  FOREKEY_RETURN_IF_ERROR(store.Write(
      kAccepted,
      fetched.known.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"));
  for (const std::string& kind : emptied) {
    terminal.err << Shown(EmptiedTrustWarning(args.into, kind)) << std::endl;
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Fetch(FetchArgs& args, const TrustTerminal& terminal) {
  args.accept = absl::AsciiStrToLower(absl::StripAsciiWhitespace(args.accept));
  FOREKEY_ASSIGN_OR_RETURN(Fetched fetched, Ask(args, terminal));
  FOREKEY_ASSIGN_OR_RETURN(const TrustStore seen, TrustStore::Open(args.into));
  FOREKEY_RETURN_IF_ERROR(fetched.Look(args, seen));
  const bool none = CountTrustChanges(fetched.changes).IsOfNothing();
  if (fetched.accepted && !none) FOREKEY_RETURN_IF_ERROR(TakeOver(args, terminal, fetched));
  const bool done = fetched.accepted && !none;
  PrintTrustChanges(fetched.changes, {args.into, /*dry_run=*/!done, args.json}, terminal.out);
  if (none) {
    terminal.err << "forekey trust fetch: there is no CA in what came\n";
    return kExitRefused;
  }
  const bool not_pruned = TellNotPruned(fetched.changes, args.prune, terminal.err);
  if (done) return not_pruned ? kExitRefused : kExitOk;
  terminal.err << (args.accept.empty() ? "" : "what came is not what you accept: it has changed\n")
               << (fetched.before.empty() ? "nothing of this source was accepted before"
                   : fetched.same_but_more
                       ? "this is what was accepted before, but more of it would be taken now"
                       : "this is not what was accepted before")
               << ". If that is right, say so:\n  " << Shown(AcceptCommand(args, fetched.hash))
               << "\n";
  return kExitRefused;
}

}  // namespace

void AddTrustFetch(CLI::App& trust, const TrustTerminal& terminal) {
  auto args = std::make_shared<FetchArgs>();
  CLI::App* command = trust.add_subcommand(
      "fetch",
      "Gets CAs from where they are published, over HTTPS, and puts them into a folder of trust\n"
      "as `import` does. What came is remembered by its SHA-256: the first time, and whenever it "
      "is\n"
      "different, the changes are shown and nothing is done until --accept names the hash.");
  std::vector<std::string> names;
  for (const auto& source : kSources) names.push_back(source.name);
  command->add_option("source", args->source, "Which list")
      ->type_name("SOURCE")
      ->check(CLI::IsMember(names))
      ->required();
  command->add_option("--into", args->into, "The folder of trust; made if missing")
      ->type_name("DIR")
      ->required();
  command->add_option("--accept", args->accept, "The SHA-256 of what you have looked at (hex)");
  command
      ->add_option(
          "--url", args->urls,
          "Another address of the same list (https://...), in the place of all of its own; "
          "once for each of its files")
      ->allow_extra_args(false);
  command->add_option("--ca", args->ca, "PEM of who vouches for that server; default: the system's")
      ->type_name("FILE");
  command->add_flag("--prune", args->prune,
                    "Also remove what came from this source alone before, and is not in it now");
  command->add_flag("--allow-expired", args->allow_expired, "Take CAs that have ended");
  command->add_flag("--again", args->again, "Also take what was taken out of the folder by hand");
  command->add_option("--at", args->at, "Look at dates as of this time (RFC 3339) instead of now");
  command->add_flag("--json", args->json, "Print one object: directory, dry_run, changes");
  command->footer(absl::StrCat(
      "Sources:\n", SourceList(),
      "Exit status: 0 done, 1 it waits for --accept, has no CA in it, or nothing was pruned as a\n"
      "file can't be read, 2 could not be had."));
  command->callback([args, terminal] {
    const absl::StatusOr<int> status = Fetch(*args, terminal);
    if (!status.ok()) {
      terminal.err << "forekey trust fetch: " << Shown(status.status().message()) << "\n";
    }
    *terminal.exit_status = status.value_or(kExitNotRun);
  });
}

}  // namespace forekey
