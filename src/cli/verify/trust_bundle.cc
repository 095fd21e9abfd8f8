// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_bundle.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/cli/verify/trust_folder.h"
#include "src/crypto/digest.h"
#include "src/verify/firmware_folder.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kLabel("forekey-trust-bundle-v1\0", 24);
constexpr char kVersionKey[] = "forekey_trust_bundle";
constexpr const char* kApplied = kAppliedBundleFile;
constexpr size_t kMaxBundleFiles = 10'000;
constexpr int kEnvelopeMembers = 4;

absl::Status NoBundle(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("this is no trust bundle: ", why));
}

// The type URL of the payload of a refusal's status.
constexpr char kRefusal[] = "forekey.trust-bundle/refusal";

absl::Status RefuseBundle(absl::StatusCode code, absl::string_view why) {
  absl::Status status(code, why);
  status.SetPayload(kRefusal, absl::Cord("1"));
  return status;
}

bool IsBundleFile(absl::string_view name) {
  return name == "fido-mds.jwt" || name == "fido-mds-root.pem" || name == kFirmwareListFile ||
         IsTrustFileName(name);
}

// Before anything is built of text that nobody has signed for.
bool HasMoreMembers(absl::string_view json, int most) {
  int commas = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\') {
      ++i;  // whatever is escaped ends no string, and may be beyond the end
    } else if (c == '"') {
      in_string = !in_string;
    } else if (c == ',' && !in_string && ++commas >= most) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<std::string> Decoded(const Json& object, const char* member) {
  const auto found = object.find(member);
  std::string bytes;
  if (found == object.end() || !found->is_string() ||
      !absl::Base64Unescape(found->get<std::string>(), &bytes)) {
    return NoBundle(absl::StrCat("its ", member, " is not there"));
  }
  return bytes;
}

// What was applied before.
struct Applied {
  uint64_t number = 0;
  std::string sha256;
  std::vector<std::string> files;
  // Of those, while an apply is under way: what may not have come yet, and what may be gone.
  std::set<std::string> coming, going;
};

absl::StatusOr<Applied> ReadApplied(const std::string& directory) {
  Applied applied;
  const absl::StatusOr<std::string> text =
      ReadFile(absl::StrCat(directory, "/", kApplied), kMaxTrustBundle);
  if (absl::IsNotFound(text.status())) return applied;
  FOREKEY_RETURN_IF_ERROR(text.status());
  // Without it a rollback could not be told: that must be a person's decision.
  const absl::Status damaged = absl::DataLossError(absl::StrCat(
      directory, "/", kApplied, " is damaged: look at it, and remove it to begin anew"));
  const Json json = ParseBoundedJson(*text);
  if (!json.is_object() || !json.contains("number") || !json["number"].is_number_unsigned() ||
      !json.contains("sha256") || !json["sha256"].is_string() || !json.contains("files") ||
      !json["files"].is_array()) {
    return damaged;
  }
  applied.number = json["number"].get<uint64_t>();
  applied.sha256 = json["sha256"].get<std::string>();
  for (const Json& file : json["files"]) {
    if (!file.is_string() || !IsBundleFile(file.get<std::string>())) return damaged;
    applied.files.push_back(file.get<std::string>());
  }
  if (const auto coming = json.find(kComingFiles); coming != json.end() && coming->is_array()) {
    for (const Json& file : *coming) {
      if (file.is_string()) applied.coming.insert(file.get<std::string>());
    }
  }
  return applied;
}

}  // namespace

std::string TrustBundle::Serialize() const {
  return Json({{"number", number}, {"name", name}, {"made", made}, {"files", files}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<TrustBundle> TrustBundle::Parse(absl::string_view payload) {
  const absl::StatusOr<Json> json = ParseJsonObject(payload);
  if (!json.ok()) return NoBundle(json.status().message());
  TrustBundle bundle;
  for (const char* member : {"number", "name", "made", "files"}) {
    if (!json->contains(member)) return NoBundle(absl::StrCat("it has no ", member));
  }
  if (json->size() != 4) return NoBundle("it has members of a later version");
  const Json &number = (*json)["number"], &name = (*json)["name"], &made = (*json)["made"],
             &files = (*json)["files"];
  if (!number.is_number_unsigned() || number.get<uint64_t>() == 0 || !name.is_string() ||
      !made.is_string() || !files.is_object() || files.size() > kMaxBundleFiles) {
    return NoBundle("a member is not what it must be");
  }
  bundle.number = number.get<uint64_t>();
  bundle.name = name.get<std::string>();
  bundle.made = made.get<std::string>();
  for (const auto& [file, content] : files.items()) {
    if (!IsBundleFile(file))
      return NoBundle(absl::StrCat("it has a file that is no trust: ", file));
    if (!content.is_string()) return NoBundle(absl::StrCat(file, " is no text"));
    bundle.files[file] = content.get<std::string>();
  }
  // One that no gate understands would be found out at every gate at once.
  if (const auto list = bundle.files.find(kFirmwareListFile); list != bundle.files.end()) {
    const absl::StatusOr<FirmwareList> read = FirmwareList::Parse(list->second);
    if (!read.ok()) return NoBundle(read.status().message());
  }
  return bundle;
}

std::string SignTrustBundle(absl::string_view payload, const SoftwareKey& key) {
  return Json({{kVersionKey, 1},
               {"payload", absl::Base64Escape(payload)},
               {"key", absl::Base64Escape(key.public_key().spki())},
               {"signature", absl::Base64Escape(key.Sign(absl::StrCat(kLabel, payload)))}})
             .dump(1) +
         "\n";
}

absl::StatusOr<VerifiedTrustBundle> VerifyTrustBundle(absl::string_view file,
                                                      const PublicKey& key) {
  if (file.size() > kMaxTrustBundle) return NoBundle("it is too long");
  if (IsJsonDeeperThan(1, file) || HasMoreMembers(file, kEnvelopeMembers)) {
    return NoBundle("it is of another version, or something else");
  }
  const absl::StatusOr<Json> json = ParseJsonObject(file);
  if (!json.ok()) return NoBundle(json.status().message());
  if (!json->contains(kVersionKey) || (*json)[kVersionKey] != 1) {
    return NoBundle("it is of another version, or something else");
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::string payload, Decoded(*json, "payload"));
  FOREKEY_ASSIGN_OR_RETURN(const std::string signature, Decoded(*json, "signature"));
  FOREKEY_ASSIGN_OR_RETURN(const std::string signer, Decoded(*json, "key"));
  if (!key.Verify(absl::StrCat(kLabel, payload), signature).ok()) {
    return RefuseBundle(absl::StatusCode::kPermissionDenied,
                        signer == key.spki() ? "its signature is not good: it was changed"
                                             : "it is signed by another key than the one given");
  }
  FOREKEY_ASSIGN_OR_RETURN(TrustBundle bundle, TrustBundle::Parse(payload));
  return VerifiedTrustBundle(std::move(bundle), absl::BytesToHexString(Sha256(payload)));
}

bool IsTrustBundleRefusal(const absl::Status& status) {
  return status.GetPayload(kRefusal).has_value();
}

namespace {

absl::Status CheckNumber(const VerifiedTrustBundle& verified, const Applied& before) {
  const uint64_t number = verified.bundle().number;
  if (number < before.number) {
    return RefuseBundle(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("its number is ", number, ", and ", before.number,
                     " was applied already: an older one could bring back what was taken out"));
  }
  if (number == before.number && verified.sha256() != before.sha256) {
    return RefuseBundle(absl::StatusCode::kFailedPrecondition,
                        absl::StrCat("another bundle of number ", number,
                                     " was applied already: each needs a number of its own"));
  }
  return absl::OkStatus();
}

std::string AppliedText(const TrustBundle& bundle, const Applied& applied) {
  Json json = {{"number", applied.number},
               {"name", bundle.name},
               {"made", bundle.made},
               {"sha256", applied.sha256},
               {"files", applied.files}};
  if (!applied.coming.empty()) json[kComingFiles] = applied.coming;
  if (!applied.going.empty()) json[kGoingFiles] = applied.going;
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<std::string> LinesOf(const FirmwareList& list) {
  std::vector<std::string> lines;
  for (const FirmwareEntry& entry : list.entries()) lines.push_back(entry.line);
  return lines;
}

// Those of `all` that are not in `others`, in their order.
std::vector<std::string> Without(const std::vector<std::string>& all,
                                 const std::vector<std::string>& others) {
  const std::set<std::string> known(others.begin(), others.end());
  std::vector<std::string> left;
  std::copy_if(all.begin(), all.end(), std::back_inserter(left),
               [&known](const std::string& one) { return known.count(one) == 0; });
  return left;
}

// One that is there and can't be read counts as one without lines.
void CompareFirmware(const TrustBundle& bundle, const std::string& directory,
                     TrustBundleChanges* changes) {
  const absl::StatusOr<FirmwareList> there =
      ReadFirmwareList(absl::StrCat(directory, "/", kFirmwareListFile));
  const std::vector<std::string> before = there.ok() ? LinesOf(*there) : std::vector<std::string>();
  std::vector<std::string> now;
  if (const auto list = bundle.files.find(kFirmwareListFile); list != bundle.files.end()) {
    if (const auto read = FirmwareList::Parse(list->second); read.ok()) now = LinesOf(*read);
  } else {
    const std::vector<std::string>& removed = changes->removed;
    changes->loses_firmware_list =
        std::find(removed.begin(), removed.end(), kFirmwareListFile) != removed.end();
    if (!changes->loses_firmware_list) return;  // what an administrator put there by hand stays
  }
  changes->firmware_added = Without(now, before);
  changes->firmware_removed = Without(before, now);
}

TrustBundleChanges ChangesOf(const TrustBundle& bundle, const Applied& before,
                             const std::string& directory) {
  TrustBundleChanges changes;
  changes.number_before = before.number;
  for (const auto& [name, content] : bundle.files) {
    const auto there = ReadFile(absl::StrCat(directory, "/", name), kMaxTrustBundle);
    if (absl::IsNotFound(there.status())) {
      changes.added.push_back(name);
    } else if (!there.ok() || *there != content) {
      changes.changed.push_back(name);
    }
  }
  for (const std::string& name : before.files) {
    if (bundle.files.count(name) == 0) changes.removed.push_back(name);
  }
  CompareFirmware(bundle, directory, &changes);
  return changes;
}

}  // namespace

absl::StatusOr<TrustBundleChanges> CompareTrustBundle(const VerifiedTrustBundle& verified,
                                                      const std::string& directory) {
  FOREKEY_ASSIGN_OR_RETURN(const Applied before, ReadApplied(directory));
  FOREKEY_RETURN_IF_ERROR(CheckNumber(verified, before));
  return ChangesOf(verified.bundle(), before, directory);
}

absl::StatusOr<AppliedTrustBundle> ApplyTrustBundle(const VerifiedTrustBundle& verified,
                                                    const std::string& directory) {
  const TrustBundle& bundle = verified.bundle();
  FOREKEY_ASSIGN_OR_RETURN(LockedTrustFolder folder, LockedTrustFolder::Lock(directory));
  FOREKEY_ASSIGN_OR_RETURN(const Applied before, ReadApplied(directory));
  FOREKEY_RETURN_IF_ERROR(CheckNumber(verified, before));

  AppliedTrustBundle applied;
  applied.changes = ChangesOf(bundle, before, directory);
  const TrustBundleChanges& changes = applied.changes;
  if (bundle.number == before.number) {
    applied.what = changes.IsNothing() ? AppliedTrustBundle::What::kAlready
                                       : AppliedTrustBundle::What::kRepaired;
    if (changes.IsNothing()) return applied;
  }

  Applied both = before, now{bundle.number, verified.sha256(), {}};
  const std::set<std::string> had(before.files.begin(), before.files.end());
  both.coming.clear();
  both.going = std::set<std::string>(changes.removed.begin(), changes.removed.end());
  for (const auto& [name, content] : bundle.files) {
    now.files.push_back(name);
    if (had.count(name) == 0) both.files.push_back(name);
    if (had.count(name) == 0 || before.coming.count(name) > 0) both.coming.insert(name);
  }
  FOREKEY_RETURN_IF_ERROR(folder.Write(kApplied, AppliedText(bundle, both)));
  for (const auto* names : {&changes.added, &changes.changed}) {
    for (const std::string& name : *names) {
      FOREKEY_RETURN_IF_ERROR(folder.Write(name, bundle.files.at(name)));
    }
  }
  for (const std::string& name : changes.removed) FOREKEY_RETURN_IF_ERROR(folder.Remove(name));
  FOREKEY_ASSIGN_OR_RETURN(applied.emptied, folder.MarkEmptied());
  FOREKEY_RETURN_IF_ERROR(folder.Write(kApplied, AppliedText(bundle, now)));
  return applied;
}

}  // namespace forekey
