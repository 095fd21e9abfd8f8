// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_bundle_view.h"

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "src/base/printable.h"
#include "src/verify/firmware_folder.h"

namespace forekey {
namespace {

using Json = nlohmann::json;

void Print(const Json& json, std::ostream& out) {
  out << json.dump(2, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) << "\n";
}

std::vector<std::string> FirmwareLines(const TrustBundle& bundle) {
  std::vector<std::string> lines;
  const auto text = bundle.files.find(kFirmwareListFile);
  if (text == bundle.files.end()) return lines;
  const absl::StatusOr<FirmwareList> list = FirmwareList::Parse(text->second);
  if (!list.ok()) return lines;  // such a bundle is none
  for (const FirmwareEntry& entry : list->entries()) lines.push_back(entry.line);
  return lines;
}

}  // namespace

void PrintTrustBundle(const VerifiedTrustBundle& verified, bool json, std::ostream& out) {
  const TrustBundle& bundle = verified.bundle();
  if (json) {
    Json names = Json::array();
    for (const auto& [name, content] : bundle.files) names.push_back(name);
    Print({{"number", bundle.number},
           {"name", bundle.name},
           {"made", bundle.made},
           {"sha256", verified.sha256()},
           {"files", names},
           {"firmware", FirmwareLines(bundle)}},
          out);
    return;
  }
  out << "good: number " << bundle.number << " of " << Shown(bundle.name) << ", made "
      << Shown(bundle.made) << ", " << bundle.files.size() << " files\n";
  for (const auto& [name, content] : bundle.files) out << "  " << name << "\n";
  for (const std::string& line : FirmwareLines(bundle)) out << "  firmware: " << line << "\n";
}

void PrintTrustBundleChanges(const VerifiedTrustBundle& verified, const TrustBundleChanges& changes,
                             bool json, std::ostream& out) {
  const uint64_t number = verified.bundle().number;
  if (json) {
    Print({{"number", number},
           {"number_before", changes.number_before},
           {"added", changes.added},
           {"changed", changes.changed},
           {"removed", changes.removed},
           {"firmware_added", changes.firmware_added},
           {"firmware_removed", changes.firmware_removed},
           {"loses_firmware_list", changes.loses_firmware_list}},
          out);
    return;
  }
  out << "number " << number;
  if (changes.number_before == 0) {
    out << "; none was applied before\n";
  } else {
    out << "; applied is number " << changes.number_before << "\n";
  }
  for (const std::string& name : changes.removed) out << "- " << name << "\n";
  for (const std::string& name : changes.changed) out << "~ " << name << "\n";
  for (const std::string& name : changes.added) out << "+ " << name << "\n";
  PrintFirmwareChanges(changes, out);
  if (changes.IsNothing()) out << "no file changes\n";
}

void PrintFirmwareChanges(const TrustBundleChanges& changes, std::ostream& out) {
  for (const std::string& line : changes.firmware_removed) out << "- firmware: " << line << "\n";
  for (const std::string& line : changes.firmware_added) out << "+ firmware: " << line << "\n";
}

void WarnOfDoubtfulFirmware(const TrustBundle& bundle, std::ostream& err) {
  const auto text = bundle.files.find(kFirmwareListFile);
  if (text == bundle.files.end()) return;
  const absl::StatusOr<FirmwareList> list = FirmwareList::Parse(text->second);
  if (!list.ok()) return;  // such a bundle is none
  for (const std::string& doubt : list->Doubts()) {
    err << "forekey trust bundle: warning: " << Shown(doubt) << "\n";
  }
}

void WarnOfLostFirmwareList(const TrustBundleChanges& changes, std::ostream& err) {
  if (!changes.loses_firmware_list) return;
  err << "forekey trust bundle: warning: this bundle has no list of firmware, and the one before "
         "it has: gates ask for no version any more\n";
}

}  // namespace forekey
