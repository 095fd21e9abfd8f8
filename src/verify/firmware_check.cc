// SPDX-License-Identifier: Apache-2.0
#include "src/verify/firmware_check.h"

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/wire/weak_firmware.h"

namespace forekey {
namespace {

std::string UnprovedAdvice(TokenKind kind) {
  switch (kind) {
    case v1::TOKEN_KIND_TPM:
      return "enrol it by an agent of this version, whose AK is in the endorsement hierarchy: in "
             "what other AKs sign, the TPM hides the version";
    case v1::TOKEN_KIND_FIDO2:
      return "the certificate of such models tells no version: take the line out, or refuse the "
             "model (weak all)";
    default:
      return "enrol another token";
  }
}

}  // namespace

absl::Status CheckFirmware(const FirmwareList* list, const TokenFirmware& token) {
  if (list == nullptr) return absl::OkStatus();
  const std::optional<FirmwareFinding> found = list->Find(token);
  if (!found) return absl::OkStatus();
  const std::string line = absl::StrCat("the list of firmware says \"", found->entry->line, "\"");
  const std::string version = token.version
                                  ? absl::StrCat("it is ", FirmwareText(token.kind, *token.version))
                                  : "its version is not proved";
  switch (found->problem) {
    case FirmwareFinding::Problem::kWeak:
      return Refuse(Reason::kFirmwareWeak,
                    absl::StrCat(version, ", and ", line, ": ", FirmwareAdvice(token.kind)));
    case FirmwareFinding::Problem::kTooOld:
      return Refuse(
          Reason::kFirmwareTooOld,
          absl::StrCat(
              version, ", and ", line,
              token.least_of_metadata && found->entry->rule == FirmwareEntry::Rule::kLeastOfMetadata
                  ? absl::StrCat(" (", FirmwareText(token.kind, *token.least_of_metadata), ")")
                  : "",
              ": ", FirmwareAdvice(token.kind)));
    case FirmwareFinding::Problem::kUnknown:
      break;
  }
  if (token.version) {
    return Refuse(Reason::kFirmwareUnproved,
                  absl::StrCat(line,
                               ", and the metadata says no version of this model: import "
                               "metadata that has it, or name the version in the list"));
  }
  return Refuse(Reason::kFirmwareUnproved,
                absl::StrCat(version, ", and ", line, ": ", UnprovedAdvice(token.kind)));
}

absl::Status RefuseUnprovedModel(const FirmwareEntry& entry) {
  return Refuse(
      Reason::kFirmwareUnproved,
      absl::StrCat("its certificate names no model, as U2F's may, and is by a root of the "
                   "model of which the list of firmware says \"",
                   entry.line, "\": enrol it by FIDO2, or take the line out"));
}

}  // namespace forekey
