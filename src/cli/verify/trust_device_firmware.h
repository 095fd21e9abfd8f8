// SPDX-License-Identifier: Apache-2.0
// What is known of a token's firmware, for `forekey trust for-device`: by the token's own word,
// which nothing vouches for. A gate goes by the attestation of an enrolment alone.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_DEVICE_FIRMWARE_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_DEVICE_FIRMWARE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/cli/verify/trust_command.h"

namespace forekey {

struct DeviceFirmware {
  std::string version;             // empty: the token does not say
  std::vector<std::string> notes;  // known weaknesses, and what the list says
  bool refused = false;            // by the list, if the attestation says the same

  nlohmann::json ToJson() const;
};

// `trust`: a folder that `forekey trust` fills, or one of its folders of a kind. A TPM's model is
// that of its EK certificate, as a gate has it: what it calls itself by TPM2_GetCapability is
// written otherwise. Errors: a list that is there and can't be read.
absl::StatusOr<DeviceFirmware> JudgeDeviceFirmware(const DeviceHardware& hardware,
                                                   const std::string& trust);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_DEVICE_FIRMWARE_H_
