// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/firmware_source.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status.h"
#include "src/gate/token/trust_folder.h"
#include "src/verify/firmware_folder.h"

namespace forekey {

FirmwareSource::FirmwareSource(std::string key, std::string named, absl::string_view trust)
    : key_(std::move(key)), named_(std::move(named)) {
  if (trust.empty() || !named_.empty()) return;
  while (trust.size() > 1 && absl::ConsumeSuffix(&trust, "/")) {
  }
  folder_ = std::filesystem::path(std::string(trust)).parent_path().string();
  if (folder_.empty()) folder_ = ".";
}

std::vector<std::string> FirmwareSource::paths() const {
  if (!named_.empty()) return {named_};
  if (folder_.empty()) return {};
  return {absl::StrCat(folder_, "/", kFirmwareListFile),
          absl::StrCat(folder_, "/", kAppliedBundleFile)};
}

absl::StatusOr<FirmwareList> FirmwareSource::Read() const {
  if (!named_.empty()) {
    absl::StatusOr<FirmwareList> list = ReadFirmwareList(named_);
    if (!list.ok()) return StatusNaming(key_, list.status());
    return list;
  }
  if (folder_.empty()) return FirmwareList();
  const bool of_bundle = BundleHasFirmwareList(folder_).value_or(false);
  absl::StatusOr<std::optional<FirmwareList>> list = ReadFirmwareFolder(folder_);
  if (!list.ok()) {
    before_->of_bundle = before_->of_bundle || of_bundle;
    return StatusNaming(key_, list.status());
  }
  if (!list->has_value() && before_->had_list && !before_->of_bundle) {
    return absl::FailedPreconditionError(
        absl::StrCat(key_, ": ", folder_, "/", kFirmwareListFile,
                     " is gone: put one there without a line where that is meant"));
  }
  *before_ = {list->has_value(), of_bundle};
  return list->has_value() ? **std::move(list) : FirmwareList();
}

std::string FirmwareSource::Describe(const FirmwareList& list) {
  return list.empty() ? "no list of firmware"
                      : absl::StrCat(list.entries().size(), " lines on firmware");
}

}  // namespace forekey
