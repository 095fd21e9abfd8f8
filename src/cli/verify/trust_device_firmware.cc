// SPDX-License-Identifier: Apache-2.0
#include "src/cli/verify/trust_device_firmware.h"

#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/verify/firmware_folder.h"
#include "src/verify/tpm_quirks.h"
#include "src/wire/weak_firmware.h"

namespace forekey {
namespace {

absl::StatusOr<std::optional<FirmwareList>> ListFor(const std::string& trust) {
  FOREKEY_ASSIGN_OR_RETURN(std::optional<FirmwareList> list, ReadFirmwareFolder(trust));
  if (list.has_value()) return list;
  const std::filesystem::path above =
      (std::filesystem::path(trust) / "x").lexically_normal().parent_path().parent_path();
  return ReadFirmwareFolder(above.empty() ? "." : above.string());
}

// Where its certificate does not tell the model, a gate takes it for any.
TokenFirmware AsGatesKnowIt(const DeviceHardware& hardware) {
  TokenFirmware known = hardware.says;
  if (known.kind != v1::TOKEN_KIND_TPM) return known;
  known.model.clear();
  if (hardware.certificates.empty()) return known;
  const auto certificate = Certificate::ParseDer(hardware.certificates.front());
  if (!certificate.ok()) return known;
  const auto attributes = ReadTpmAttributes(*certificate);
  if (!attributes.ok()) return known;
  known.model = attributes->model;
  if (!attributes->manufacturer.empty()) known.maker = TpmMakerOf(attributes->manufacturer);
  return known;
}

std::string NoteOf(const FirmwareFinding& found, TokenKind kind) {
  const std::string line = absl::StrCat("the list of firmware says \"", found.entry->line, "\": ");
  switch (found.problem) {
    case FirmwareFinding::Problem::kWeak:
      return absl::StrCat(line, "gates that have it refuse this token; ", FirmwareAdvice(kind));
    case FirmwareFinding::Problem::kTooOld:
      return absl::StrCat(line, "this firmware is too old for gates that have it; ",
                          FirmwareAdvice(kind));
    case FirmwareFinding::Problem::kUnknown:
      break;
  }
  return absl::StrCat(line, "an enrolment must prove the version");
}

}  // namespace

nlohmann::json DeviceFirmware::ToJson() const {
  return {{"says", version}, {"notes", notes}, {"refused", refused}};
}

absl::StatusOr<DeviceFirmware> JudgeDeviceFirmware(const DeviceHardware& hardware,
                                                   const std::string& trust) {
  const TokenFirmware& says = hardware.says;
  DeviceFirmware judged;
  if (says.version) judged.version = FirmwareText(says.kind, *says.version);
  for (const WeakFirmware& known : WeaknessesOf(says)) {
    judged.notes.push_back(
        absl::StrCat(known.id, ": ", known.why, "; ", FirmwareAdvice(says.kind)));
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::optional<FirmwareList> list, ListFor(trust));
  if (!list) return judged;
  const std::optional<FirmwareFinding> found = list->Find(AsGatesKnowIt(hardware));
  if (!found) return judged;
  judged.notes.push_back(NoteOf(*found, says.kind));
  // What is weak with some keys alone leaves a choice.
  judged.refused = found->problem != FirmwareFinding::Problem::kUnknown &&
                   found->entry->keys == TokenFirmware::Keys::kUnknown;
  return judged;
}

}  // namespace forekey
