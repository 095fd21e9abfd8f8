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

absl::StatusOr<FirmwareList> ReadFirmwareList(const std::string& path);

// The list of `directory`; nullopt where there is none. FailedPrecondition where the bundle that
// was applied there has one and it is gone: that is an accident, or an apply that did not finish.
// DataLoss where nothing can be told of that bundle.
absl::StatusOr<std::optional<FirmwareList>> ReadFirmwareFolder(const std::string& directory);

// Whether a bundle was applied in `directory`, whose word it then is that there is no list.
bool HasAppliedBundle(const std::string& directory);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_FIRMWARE_FOLDER_H_
