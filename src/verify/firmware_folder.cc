// SPDX-License-Identifier: Apache-2.0
#include "src/verify/firmware_folder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

constexpr size_t kMaxAppliedBundle = 64 << 20;

std::string Below(const std::string& directory, absl::string_view name) {
  return absl::StrCat(directory, "/", name);
}

bool Has(const nlohmann::json& list) {
  return list.is_array() && std::find(list.begin(), list.end(), kFirmwareListFile) != list.end();
}

}  // namespace

absl::StatusOr<FirmwareList> ReadFirmwareList(const std::string& path) {
  FOREKEY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFirmwareList));
  absl::StatusOr<FirmwareList> list = FirmwareList::Parse(text);
  if (list.ok()) return list;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", list.status().message()));
}

absl::StatusOr<std::optional<FirmwareList>> ReadFirmwareFolder(const std::string& directory) {
  absl::StatusOr<FirmwareList> list = ReadFirmwareList(Below(directory, kFirmwareListFile));
  if (list.ok()) return std::optional<FirmwareList>(*std::move(list));
  if (!absl::IsNotFound(list.status())) return list.status();
  FOREKEY_ASSIGN_OR_RETURN(const bool due, BundleHasFirmwareList(directory));
  if (!due) return std::optional<FirmwareList>();
  return absl::FailedPreconditionError(
      absl::StrCat(Below(directory, kFirmwareListFile),
                   " is gone, and the bundle that was applied has it: apply the bundle again"));
}

absl::StatusOr<bool> BundleHasFirmwareList(const std::string& directory) {
  const std::string path = Below(directory, kAppliedBundleFile);
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxAppliedBundle);
  if (absl::IsNotFound(text.status())) return false;
  FOREKEY_RETURN_IF_ERROR(text.status());
  const nlohmann::json json = ParseBoundedJson(*text);
  if (!json.is_object() || !json.contains("files") || !json["files"].is_array()) {
    return absl::DataLossError(
        absl::StrCat(path, " is damaged: whether its bundle has a list of firmware can't be told"));
  }
  for (const char* under_way : {kComingFiles, kGoingFiles}) {
    if (json.contains(under_way) && Has(json[under_way])) return false;
  }
  return Has(json["files"]);
}

}  // namespace forekey
