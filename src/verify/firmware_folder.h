// SPDX-License-Identifier: Apache-2.0
// The list of firmware in a folder that `forekey trust` fills, beside its tpm, fido2 and piv.
#ifndef FOREKEY_SRC_VERIFY_FIRMWARE_FOLDER_H_
#define FOREKEY_SRC_VERIFY_FIRMWARE_FOLDER_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "src/wire/firmware_list.h"

namespace forekey {

inline constexpr char kFirmwareListFile[] = "firmware.list";
// Says which files the bundle that was applied last has (src/cli/verify/trust_bundle.h).
inline constexpr char kAppliedBundleFile[] = "bundle.json";
// Its members that say, while an apply is under way, which of these may not have come yet, and
// which may be gone.
inline constexpr char kComingFiles[] = "coming", kGoingFiles[] = "going";

absl::StatusOr<FirmwareList> ReadFirmwareList(const std::string& path);

// The list of `directory`; nullopt where there is none. FailedPrecondition where the bundle that
// was applied there has one and it is gone: that is an accident. DataLoss where nothing can be told
// of that bundle.
absl::StatusOr<std::optional<FirmwareList>> ReadFirmwareFolder(const std::string& directory);

// Whether the bundle that was applied in `directory` has a list; false where none was applied, and
// for one that an apply which did not finish was to bring or to take away.
absl::StatusOr<bool> BundleHasFirmwareList(const std::string& directory);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_FIRMWARE_FOLDER_H_
