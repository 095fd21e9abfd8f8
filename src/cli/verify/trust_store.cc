// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_store.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "src/base/status.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using Json = nlohmann::json;
using What = TrustChange::What;

constexpr char kOrigins[] = "origins.json";
constexpr size_t kMaxOrigins = 16 << 20;
constexpr size_t kPemLine = 64;
// How much of the fingerprint is in a file's name: 128 bits, so that nobody finds two certificates
// for one name. It was 48 before, for which 2^24 hashes are enough.
constexpr size_t kNameDigits = 32;
constexpr size_t kShortNameDigits = 12;

std::string DateText(absl::Time time) {
  if (time == absl::InfiniteFuture()) return "never";
  return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone());
}

TrustChange Describe(const Certificate& certificate, const std::string& file,
                     std::optional<TrustKind> kind) {
  TrustChange change;
  change.kind = kind ? std::string(TrustKindName(*kind)) : "";
  change.role = IsRoot(certificate) ? "root" : "intermediate";
  change.vendor = TrustVendor(certificate, file);
  change.subject = certificate.SubjectText();
  change.ends = DateText(certificate.not_after());
  change.file = file;
  change.fingerprint = absl::BytesToHexString(certificate.Fingerprint());
  change.pem = TrustPem(certificate);
  return change;
}

// "tpm/infineon-root-1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d.pem"
std::string FileNameOf(const TrustChange& change, size_t digits = kNameDigits) {
  return absl::StrCat(change.kind, "/", change.vendor, "-", change.role, "-",
                      change.fingerprint.substr(0, digits), ".pem");
}

absl::Status NotOpened() {
  return absl::FailedPreconditionError("the folder of trust was not opened to be changed");
}

// In entries: one certificate may be trusted for two kinds.
std::string KeyOf(const TrustChange& change) {
  return absl::StrCat(change.kind, "/", change.fingerprint);
}

// What stands behind the kind in a key; a key of earlier versions is nothing else.
absl::string_view FingerprintOf(absl::string_view key) {
  const size_t slash = key.find('/');
  return slash == absl::string_view::npos ? key : key.substr(slash + 1);
}

bool IsText(const Json& entry, const char* member) {
  const auto found = entry.find(member);
  return found == entry.end() || found->is_string();
}

bool IsEntry(const Json& entry) {
  if (!entry.is_object()) return false;
  for (const char* member : {"kind", "role", "vendor", "subject", "ends"}) {
    if (!IsText(entry, member)) return false;
  }
  const auto file = entry.find("file"), origins = entry.find("origins"),
             pending = entry.find("pending"), removing = entry.find("removing");
  return file != entry.end() && file->is_string() && IsTrustFileName(file->get<std::string>()) &&
         origins != entry.end() && origins->is_object() &&
         (pending == entry.end() || pending->is_boolean()) &&
         (removing == entry.end() || removing->is_boolean());
}

// Earlier versions gave two certificates one file where their fingerprints began alike.
bool IsShared(const Json& file, const Json& entries) {
  int users = 0;
  for (const auto& [key, entry] : entries.items()) {
    const auto its = entry.find("file");
    if (its != entry.end() && *its == file) ++users;
  }
  return users > 1;
}

bool HoldsCertificate(const std::string& path, const std::string& fingerprint) {
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return false;
  for (const absl::StatusOr<Certificate>& certificate : Certificate::ParseEach(*bytes)) {
    if (certificate.ok() && absl::BytesToHexString(certificate->Fingerprint()) == fingerprint) {
      return true;
    }
  }
  return false;
}

absl::string_view WhatName(What what) {
  switch (what) {
    case What::kAdd:
      return "add";
    case What::kKnown:
      return "known";
    case What::kRemove:
      return "remove";
    case What::kTakenOut:
      return "taken-out";
    case What::kRefuse:
      break;
  }
  return "refuse";
}

}  // namespace

Json TrustChange::ToJson() const {
  Json json = {{"change", WhatName(what)}, {"kind", kind}, {"role", role}, {"vendor", vendor},
               {"subject", subject},       {"ends", ends}, {"file", file}, {"sha256", fingerprint}};
  if (!why.empty()) json["why"] = why;
  return json;
}

std::string TrustPem(const Certificate& certificate) {
  std::string encoded = absl::Base64Escape(certificate.der());
  // Others' programs may take a block's beginning for one wherever it stands.
  const std::string subject = certificate.SubjectText();
  std::string pem = absl::StrContains(subject, "-----") || !IsPrintable(subject)
                        ? ""
                        : absl::StrCat("# ", subject, "\n");
  absl::StrAppend(&pem, "-----BEGIN CERTIFICATE-----\n");
  for (size_t at = 0; at < encoded.size(); at += kPemLine) {
    absl::StrAppend(&pem, encoded.substr(at, kPemLine), "\n");
  }
  return pem + "-----END CERTIFICATE-----\n";
}

absl::StatusOr<TrustStore> TrustStore::Open(const std::string& directory) {
  TrustStore store;
  store.directory_ = directory;
  const absl::StatusOr<std::string> text =
      ReadFile(absl::StrCat(directory, "/", kOrigins), kMaxOrigins);
  if (absl::IsNotFound(text.status())) return store;
  FOREKEY_RETURN_IF_ERROR(text.status());
  const Json json = ParseBoundedJson(*text);
  const absl::Status damaged = absl::DataLossError(absl::StrCat(
      directory, "/", kOrigins, " is damaged: remove it; certificates in the folder stay"));
  if (!json.is_object()) return damaged;
  for (const auto& [key, entry] : json.items()) {
    if (!IsEntry(entry)) return damaged;
    const std::string file = entry["file"].get<std::string>();
    const std::string kind = file.substr(0, file.find('/'));
    store.entries_[absl::StrCat(kind, "/", FingerprintOf(key))] = entry;
  }
  return store;
}

std::string TrustStore::NewFileFor(const TrustChange& change, const Json& entries) const {
  const std::string before = FileNameOf(change, kShortNameDigits);
  if (!HoldsCertificate(absl::StrCat(directory_, "/", before), change.fingerprint)) {
    return FileNameOf(change);
  }
  for (const auto& [key, entry] : entries.items()) {
    const auto file = entry.find("file");
    if (file != entry.end() && *file == before) return FileNameOf(change);
  }
  return before;
}

absl::StatusOr<TrustStore> TrustStore::OpenToChange(const std::string& directory) {
  FOREKEY_ASSIGN_OR_RETURN(LockedTrustFolder folder, LockedTrustFolder::Lock(directory));
  FOREKEY_ASSIGN_OR_RETURN(TrustStore store, Open(directory));
  store.folder_ = std::move(folder);
  return store;
}

bool TrustStore::NeverCame(const Json& entry) const {
  return entry.value("pending", false) &&
         LockedTrustFolder::IsPrepared(directory_, entry["file"].get<std::string>());
}

bool TrustStore::WasTakenOut(const Json& entry) const {
  return !NeverCame(entry) &&
         FileSignature(absl::StrCat(directory_, "/", entry["file"].get<std::string>())).empty();
}

bool TrustStore::WasPruned(const Json& entry) const {
  return entry.value("removing", false) && WasTakenOut(entry);
}

void TrustStore::Compare(const TrustImport& import, TrustChange& change) const {
  const auto entry = entries_.find(KeyOf(change));
  change.what = What::kAdd;
  if (entry == entries_.end()) return;
  change.again = true;
  if (NeverCame(*entry) || WasPruned(*entry)) return;
  if (!WasTakenOut(*entry)) {
    // One that something else was written over is put right.
    const std::string path = absl::StrCat(directory_, "/", (*entry)["file"].get<std::string>());
    if (HoldsCertificate(path, change.fingerprint)) change.what = What::kKnown;
  } else if (!import.again) {
    change.what = What::kTakenOut;
    change.why =
        absl::StrCat("it was taken out of ", directory_, "/", change.kind, " (--again takes it)");
  }
}

std::vector<TrustChange> TrustStore::Plan(const std::vector<SourceFile>& files,
                                          const TrustImport& import, absl::Time now) const {
  std::vector<TrustChange> changes;
  std::set<std::string> seen;
  for (const SourceFile& file : files) {
    const auto certificates = Certificate::ParseEach(file.bytes);
    for (const absl::StatusOr<Certificate>& certificate : certificates) {
      if (!certificate.ok()) {
        // Collections have readme files in them.
        TrustChange change;
        change.file = file.name;
        change.why = std::string(certificate.status().message());
        change.unread = LooksLikeCertificate(file.bytes, file.name);
        changes.push_back(std::move(change));
        continue;
      }
      const auto kind = import.kind ? import.kind : GuessTrustKind(*certificate, file.name);
      const bool elsewhere = !kind && IsForOtherUse(*certificate);
      TrustChange change = Describe(*certificate, file.name, kind);
      const std::string key =
          elsewhere ? absl::StrCat("other/", change.fingerprint) : KeyOf(change);
      if (!seen.insert(key).second) continue;
      const absl::Status good = CheckTrustCandidate(*certificate, now, import.allow_expired);
      if (!good.ok()) {
        change.why = std::string(good.message());
      } else if (elsewhere) {
        change.why = "it is for keys that no gate takes (OpenPGP, security domain, HSM)";
      } else if (!kind) {
        change.why = "nothing says whether it is for TPMs, FIDO2 or PIV: give --kind";
      } else {
        Compare(import, change);
      }
      changes.push_back(std::move(change));
    }
  }
  const bool unread = std::any_of(changes.begin(), changes.end(),
                                  [](const TrustChange& change) { return change.unread; });
  if (!import.prune || unread) return changes;
  for (const auto& [key, entry] : entries_.items()) {
    const Json& origins = entry["origins"];
    TrustChange change;
    change.fingerprint = std::string(FingerprintOf(key));
    // One whose kind nothing tells is there still, whatever it was taken for before.
    if (seen.count(key) > 0 || seen.count(KeyOf(change)) > 0 || origins.size() != 1 ||
        !origins.contains(import.origin)) {
      continue;
    }
    // It may come back into the source one day, and must not into the folder.
    if (WasTakenOut(entry) && !WasPruned(entry)) continue;
    change.what = What::kRemove;
    change.kind = key.substr(0, key.find('/'));
    change.role = entry.value("role", "");
    change.vendor = entry.value("vendor", "");
    change.subject = entry.value("subject", "");
    change.ends = entry.value("ends", "");
    change.file = entry["file"].get<std::string>();
    changes.push_back(std::move(change));
  }
  return changes;
}

absl::StatusOr<bool> TrustStore::Prepare(const std::vector<TrustChange>& changes,
                                         const Json& entries) {
  if (!folder_) return NotOpened();
  std::vector<std::string> prepared;
  for (const TrustChange& change : changes) {
    if (change.what != What::kAdd) continue;
    const std::string file = entries[KeyOf(change)]["file"].get<std::string>();
    if (absl::Status status = folder_->Prepare(file, change.pem); !status.ok()) {
      // Those of earlier commands stay: they say of which files it is known that they never came.
      for (const std::string& mine : prepared) folder_->DropPrepared(mine);
      return status;
    }
    const auto before = entries_.find(KeyOf(change));
    if (before == entries_.end() || (*before)["file"] != file) prepared.push_back(file);
  }
  return std::any_of(changes.begin(), changes.end(),
                     [](const TrustChange& change) { return change.what == What::kAdd; });
}

absl::StatusOr<std::vector<std::string>> TrustStore::Apply(const std::vector<TrustChange>& changes,
                                                           const TrustImport& import,
                                                           absl::Time now) {
  Json entries = entries_;
  bool removes = false;
  for (const TrustChange& change : changes) {
    if (change.what == What::kRemove) {
      entries[KeyOf(change)]["removing"] = true;
      removes = true;
    }
    if (change.what != What::kAdd && change.what != What::kKnown) continue;
    Json& entry = entries[KeyOf(change)];
    if (change.what == What::kAdd) {
      if (!change.again) {
        entry = {{"kind", change.kind},       {"role", change.role},
                 {"vendor", change.vendor},   {"file", NewFileFor(change, entries)},
                 {"subject", change.subject}, {"ends", change.ends},
                 {"origins", Json::object()}};
      }
      // The one that the file holds keeps it.
      if (IsShared(entry["file"], entries)) entry["file"] = NewFileFor(change, entries);
      entry["pending"] = true;
    } else {
      entry.erase("pending");
    }
    entry.erase("removing");
    entry["origins"][import.origin] = DateText(now);
  }
  const auto note = [&]() -> absl::Status {
    return Write(kOrigins, entries.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  };
  FOREKEY_ASSIGN_OR_RETURN(const bool adds, Prepare(changes, entries));
  if (adds || removes) FOREKEY_RETURN_IF_ERROR(note());
  for (const TrustChange& change : changes) {
    if (change.what != What::kAdd) continue;
    Json& entry = entries[KeyOf(change)];
    FOREKEY_RETURN_IF_ERROR(folder_->Place(entry["file"].get<std::string>()));
    entry.erase("pending");
  }
  for (const TrustChange& change : changes) {
    if (change.what != What::kRemove) continue;
    const bool others =
        IsShared(change.file, entries) &&
        !HoldsCertificate(absl::StrCat(directory_, "/", change.file), change.fingerprint);
    if (!others) FOREKEY_RETURN_IF_ERROR(folder_ ? folder_->Remove(change.file) : NotOpened());
    entries.erase(KeyOf(change));
  }
  std::vector<std::string> emptied;
  if (folder_) {
    FOREKEY_ASSIGN_OR_RETURN(emptied, folder_->MarkEmptied());
  }
  FOREKEY_RETURN_IF_ERROR(note());
  entries_ = std::move(entries);
  return emptied;
}

absl::Status TrustStore::Write(const std::string& name, absl::string_view content) {
  return folder_ ? folder_->Write(name, content) : NotOpened();
}

}  // namespace forekey
