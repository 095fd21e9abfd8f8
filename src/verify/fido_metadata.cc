// SPDX-License-Identifier: Apache-2.0
#include "src/verify/fido_metadata.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"
#include "src/verify/jws.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/base64url.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxEntries = 20000;
constexpr size_t kMaxRootsPerEntry = 200;
constexpr size_t kKeyIdSize = 20;
constexpr absl::string_view kExtendedKeyUsage = "2.5.29.37";
constexpr char kServerAuth[] = "1.3.6.1.5.5.7.3.1";

// Section 3.1.4: what makes a model unfit. "and so on": a future *_COMPROMISE is one too.
bool IsBadStatus(absl::string_view status) {
  return status == "REVOKED" || status == "USER_VERIFICATION_BYPASS" ||
         absl::EndsWith(status, "_COMPROMISE");
}

int LevelOf(absl::string_view status) {
  if (status == "FIDO_CERTIFIED") return 1;  // before levels there were
  if (!absl::ConsumePrefix(&status, "FIDO_CERTIFIED_L") || status.empty()) return 0;
  return status[0] >= '1' && status[0] <= '3' ? status[0] - '0' : 0;
}

// What a report says of certification; nullopt for one that says nothing of it.
std::optional<int> CertifiedLevelBy(absl::string_view status) {
  if (status == "NOT_FIDO_CERTIFIED" || status == "RETIRED") return 0;
  const int level = LevelOf(status);
  return level == 0 ? std::nullopt : std::optional(level);
}

// Faults that an update can mend: no version of a revoked model is good, and an attestation key
// that is out signs any version.
bool IsOfFirmware(absl::string_view status) {
  return status == "USER_VERIFICATION_BYPASS" || status == "USER_KEY_REMOTE_COMPROMISE" ||
         status == "USER_KEY_PHYSICAL_COMPROMISE";
}

// Section 3.1.3: an update that is reported after a fault is meant to mend it. Without a date
// nobody knows what came after what; of one day, what stands later does.
bool IsMended(const std::vector<MetadataStatus>& reports, size_t bad, absl::Time time,
              std::optional<uint64_t> proved) {
  const MetadataStatus& fault = reports[bad];
  if (!proved || !fault.version || *proved <= *fault.version || !IsOfFirmware(fault.status) ||
      fault.effective == absl::InfinitePast()) {
    return false;
  }
  for (size_t i = 0; i < reports.size(); ++i) {
    const MetadataStatus& update = reports[i];
    const bool later =
        update.effective > fault.effective || (update.effective == fault.effective && i > bad);
    if (update.status == "UPDATE_AVAILABLE" && update.effective <= time && later &&
        (!update.version || *proved >= *update.version)) {
      return true;
    }
  }
  return false;
}

absl::Status Invalid(absl::string_view why) {
  return Refuse(Reason::kMetadataInvalid, absl::StrCat("metadata BLOB: ", why));
}

std::string TextOf(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : "";
}

// The elements of an array of texts; others are left out.
std::vector<std::string> TextsOf(const Json& object, const char* name) {
  std::vector<std::string> texts;
  const auto member = object.find(name);
  if (member == object.end() || !member->is_array()) return texts;
  for (const Json& element : *member) {
    if (element.is_string()) texts.push_back(element.get<std::string>());
  }
  return texts;
}

// base64 with white space in it, and here and there PEM's lines around it.
absl::StatusOr<Certificate> ParseRoot(absl::string_view text) {
  const std::string bare = absl::StrReplaceAll(
      text, {{"-----BEGIN CERTIFICATE-----", ""}, {"-----END CERTIFICATE-----", ""}});
  std::string der;
  if (!absl::Base64Unescape(bare, &der)) {
    return Refuse(Reason::kCertificateMalformed, "it is not base64");
  }
  return Certificate::ParseDer(der);
}

std::vector<MetadataStatus> ParseStatuses(const Json& entry) {
  std::vector<MetadataStatus> statuses;
  const auto reports = entry.find("statusReports");
  if (reports == entry.end() || !reports->is_array()) return statuses;
  for (const Json& report : *reports) {
    MetadataStatus status;
    status.status = report.is_object() ? TextOf(report, "status") : "";
    if (status.status.empty()) continue;
    // A date that does not parse does not put a warning off.
    absl::ParseTime("%Y-%m-%d", TextOf(report, "effectiveDate"), &status.effective, nullptr);
    if (const auto version = report.find("authenticatorVersion");
        version != report.end() && version->is_number_unsigned()) {
      status.version = version->get<uint64_t>();
    }
    if (const std::string certificate = TextOf(report, "certificate"); !certificate.empty()) {
      // One that does not parse leaves the field empty: the report then concerns every key.
      if (auto parsed = ParseRoot(certificate); parsed.ok()) status.key = parsed->Spki();
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
}

// M2. The roots of the service are those of a public CA, which sells certificates to whoever owns a
// host or a mailbox, and says in each, or in a CA above it, what it is for. What is for anything
// must be for FIDO's own host; a hierarchy that says nothing of purposes is one for metadata alone.
absl::Status CheckSigner(const VerifiedPath& path, const std::string& server_name) {
  const Certificate& signer = path.leaf();
  const bool says_nothing =
      absl::c_all_of(path.certificates(), [&path](const Certificate& certificate) {
        return (path.certificates().size() > 1 && &certificate == &path.anchor()) ||
               !certificate.Extension(kExtendedKeyUsage);
      });
  if (says_nothing) return absl::OkStatus();
  if (!signer.MayBeFor(kServerAuth)) {
    return Invalid(absl::StrCat("signed by a certificate that is for ",
                                absl::StrJoin(signer.ExtendedKeyUsages(), ", "),
                                ", not for a server: ", signer.SubjectText()));
  }
  if (X509_check_host(signer.x509(), server_name.data(), server_name.size(),
                      X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                      nullptr) == 1) {
    return absl::OkStatus();
  }
  return Invalid(
      absl::StrCat("signed by a TLS server other than ", server_name, ": ", signer.SubjectText()));
}

// M8. One model, or one key, in two entries: the first that has a statement says what it is, and
// what is bad of either is bad of it, versions before the later one included.
MetadataEntry Merged(MetadataEntry first, MetadataEntry second) {
  if (!first.has_statement && second.has_statement) std::swap(first, second);
  for (MetadataStatus& report : second.statuses) {
    if (IsBadStatus(report.status)) first.statuses.push_back(std::move(report));
  }
  first.version = std::max(first.version, second.version);
  absl::c_move(second.key_ids, std::back_inserter(first.key_ids));
  return first;
}

// Drops what is large and of no use here (icons are most of a BLOB) while it is being read.
bool KeepMember(int, Json::parse_event_t event, Json& parsed) {
  if (event != Json::parse_event_t::key) return true;
  const auto& name = parsed.get_ref<const std::string&>();
  return name != "icon" && name != "legalHeader" && name != "authenticatorGetInfo" &&
         name != "alternativeDescriptions";
}

}  // namespace

int MetadataEntry::CertificationLevel(absl::Time time) const {
  int level = 0;
  absl::Time since = absl::InfinitePast();
  for (const MetadataStatus& report : statuses) {
    const std::optional<int> certified = CertifiedLevelBy(report.status);
    if (!certified || report.effective > time || report.effective < since) continue;
    // FIDO_CERTIFIED stands beside the level that was reached with it.
    level = report.effective > since ? *certified : std::max(level, *certified);
    since = report.effective;
  }
  return level;
}

absl::Status MetadataEntry::CheckStatus(const std::vector<Certificate>& path, absl::Time time,
                                        std::optional<uint64_t> proved) const {
  for (size_t i = 0; i < statuses.size(); ++i) {
    const MetadataStatus& report = statuses[i];
    if (!IsBadStatus(report.status) || report.effective > time) continue;
    if (IsMended(statuses, i, time, proved)) continue;
    const bool concerns =
        report.key.empty() ||
        absl::c_any_of(path, [&report](const Certificate& c) { return c.Spki() == report.key; });
    if (!concerns) continue;
    return Refuse(Reason::kAuthenticatorStatus, absl::StrCat(description, ": ", report.status));
  }
  return absl::OkStatus();
}

absl::StatusOr<FidoMetadata> FidoMetadata::Parse(absl::string_view blob,
                                                 const MetadataOptions& options) {
  if (blob.size() > kMaxMetadataBlobSize) return Invalid("too long");
  FOREKEY_ASSIGN_OR_RETURN(const Jws jws, Jws::Parse(absl::StripAsciiWhitespace(blob)));
  FOREKEY_RETURN_IF_ERROR(jws.VerifySignature());
  PathOptions path;
  path.time = options.time;
  path.understood_critical = {"2.5.29.17", std::string(kExtendedKeyUsage)};
  path.purpose = kServerAuth;
  // The signer may be pinned itself.
  path.leaf_may_be_anchor = true;
  const std::vector<Certificate> intermediates(jws.x5c.begin() + 1, jws.x5c.end());
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedPath signer,
                           VerifyPath(jws.x5c.front(), intermediates, options.roots, path));
  FOREKEY_RETURN_IF_ERROR(CheckSigner(signer, options.server_name));
  FOREKEY_ASSIGN_OR_RETURN(
      const bool revocation_checked,
      CheckRevocation(signer, options.revocation, RevocationScope::kLeafToo, options.time));

  const auto payload = Base64UrlDecode(jws.payload_text);
  if (!payload) return Invalid("the payload is not base64url");
  if (IsJsonDeeperThan(kMaxJsonDepth, *payload)) return Invalid("nested too deep");
  const Json json = Json::parse(*payload, KeepMember, /*allow_exceptions=*/false);
  if (!json.is_object()) return Invalid("the payload is no JSON object");
  const auto no = json.find("no");
  if (no == json.end() || !no->is_number_unsigned()) return Invalid("no serial number (no)");
  FidoMetadata metadata(signer.anchor());
  metadata.no_ = no->get<uint64_t>();
  if (options.previous_no && metadata.no_ < *options.previous_no) {
    return Refuse(Reason::kMetadataRollback,
                  absl::StrCat("number ", metadata.no_, " after ", *options.previous_no));
  }
  metadata.next_update_ = TextOf(json, "nextUpdate");
  absl::Time day;
  if (!absl::ParseTime("%Y-%m-%d", metadata.next_update_, &day, nullptr)) {
    return Invalid("no date of the next update (nextUpdate)");
  }
  const auto entries = json.find("entries");
  if (entries == json.end() || !entries->is_array()) return Invalid("no entries");
  if (entries->size() > kMaxEntries) return Invalid("too many entries");
  metadata.signer_ = jws.x5c.front().SubjectText();
  metadata.revocation_checked_ = revocation_checked;
  metadata.listed_ = entries->size();
  for (const Json& entry : *entries) metadata.AddEntry(entry);
  metadata.IndexKeys();
  for (const MetadataEntry& entry : metadata.entries_) {
    metadata.anchors_ += entry.roots.anchors().size();
  }
  return metadata;
}

void FidoMetadata::AddEntry(const Json& entry) {
  const std::string number = absl::StrCat("entry ", entries_.size() + skipped_.size());
  if (!entry.is_object()) {
    skipped_.push_back(absl::StrCat(number, ": no object"));
    return;
  }
  const std::string aaguid = TextOf(entry, "aaguid");
  const std::string aaid = TextOf(entry, "aaid");
  const std::vector<std::string> key_ids = TextsOf(entry, "attestationCertificateKeyIdentifiers");
  const std::string name = !aaguid.empty() ? aaguid : !aaid.empty() ? aaid : number;
  if (aaguid.empty() && key_ids.empty()) {
    skipped_.push_back(absl::StrCat(name, aaid.empty() ? ": it names no model" : ": a UAF model"));
    return;
  }
  MetadataEntry parsed;
  parsed.description = name;
  parsed.statuses = ParseStatuses(entry);
  AddNames(aaguid, key_ids, parsed);
  AddStatement(entry, parsed);
  if (parsed.aaguid.empty() && parsed.key_ids.empty()) return;
  if (!parsed.aaguid.empty()) {
    const auto [at, first] = by_aaguid_.emplace(parsed.aaguid, entries_.size());
    if (!first) {
      skipped_.push_back(
          absl::StrCat(name, ": a second entry for its AAGUID: what is bad of it counts"));
      MetadataEntry& known = entries_[at->second];
      known = Merged(std::move(known), std::move(parsed));
      return;
    }
  }
  entries_.push_back(std::move(parsed));
}

void FidoMetadata::AddNames(const std::string& aaguid, const std::vector<std::string>& key_ids,
                            MetadataEntry& entry) {
  if (!aaguid.empty()) {
    if (const auto bytes = AaguidFromText(absl::AsciiStrToLower(aaguid))) {
      entry.aaguid = *bytes;
    } else {
      skipped_.push_back(absl::StrCat(entry.description, ": malformed AAGUID"));
    }
  }
  for (const std::string& key_id : key_ids) {
    const bool hex = key_id.size() == 2 * kKeyIdSize && absl::c_all_of(key_id, [](unsigned char c) {
                       return absl::ascii_isxdigit(c);
                     });
    if (hex) {
      entry.key_ids.push_back(absl::HexStringToBytes(key_id));
    } else {
      skipped_.push_back(absl::StrCat(entry.description, ": malformed key identifier"));
    }
  }
}

void FidoMetadata::AddStatement(const Json& json, MetadataEntry& entry) {
  const auto statement = json.find("metadataStatement");
  entry.has_statement = statement != json.end() && statement->is_object();
  if (!entry.has_statement) {
    skipped_.push_back(
        absl::StrCat(entry.description, ": no metadata statement: what is bad of it counts"));
    std::erase_if(entry.statuses,
                  [](const MetadataStatus& report) { return !IsBadStatus(report.status); });
    return;
  }
  std::string name = entry.description;
  if (std::string text = TextOf(*statement, "description"); !text.empty()) {
    absl::StrAppend(&name, " (", text, ")");
    entry.description = std::move(text);
  }
  if (const auto version = statement->find("authenticatorVersion");
      version != statement->end() && version->is_number_unsigned()) {
    entry.version = version->get<uint64_t>();
  }
  entry.attestation_types = TextsOf(*statement, "attestationTypes");
  AddRoots(*statement, name, entry);
}

void FidoMetadata::IndexKeys() {
  for (size_t i = 0; i < entries_.size(); ++i) {
    for (const std::string& key_id : entries_[i].key_ids) {
      const auto [at, first] = by_key_id_.emplace(key_id, i);
      if (first || at->second == i) continue;
      MetadataEntry& both = of_shared_key_.try_emplace(key_id, entries_[at->second]).first->second;
      both = Merged(std::move(both), entries_[i]);
    }
  }
}

void FidoMetadata::AddRoots(const Json& statement, const std::string& name, MetadataEntry& entry) {
  const std::vector<std::string> texts = TextsOf(statement, "attestationRootCertificates");
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i == kMaxRootsPerEntry) {
      skipped_.push_back(absl::StrCat(name, ": more than ", kMaxRootsPerEntry, " roots"));
      return;
    }
    auto root = ParseRoot(texts[i]);
    if (!root.ok()) {
      skipped_.push_back(absl::StrCat(name, ": root ", i, ": ", root.status().message()));
      continue;
    }
    entry.roots.Add(*std::move(root));
  }
}

bool FidoMetadata::Stale(absl::Time time) const {
  absl::Time day;
  if (!absl::ParseTime("%Y-%m-%d", next_update_, &day, nullptr)) return true;
  return time >= day + absl::Hours(24);
}

const MetadataEntry* FidoMetadata::FindByAaguid(absl::string_view aaguid) const {
  const auto found = by_aaguid_.find(aaguid);
  return found == by_aaguid_.end() ? nullptr : &entries_[found->second];
}

const MetadataEntry* FidoMetadata::FindByKeyId(absl::string_view key_id) const {
  const auto shared = of_shared_key_.find(key_id);
  if (shared != of_shared_key_.end()) return &shared->second;
  const auto found = by_key_id_.find(key_id);
  return found == by_key_id_.end() ? nullptr : &entries_[found->second];
}

}  // namespace forekey
