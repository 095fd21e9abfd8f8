// SPDX-License-Identifier: Apache-2.0
// `forekey trust import-mds F --root F`: verifies a FIDO metadata BLOB and remembers that it did.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_COMMAND_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_COMMAND_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "src/wire/firmware_list.h"

namespace forekey {

// What a token proves its hardware by.
struct DeviceHardware {
  std::string uri;
  std::string kind;                       // "tpm", "fido2", "piv"
  std::vector<std::string> certificates;  // DER, the token's own first
  TokenFirmware says{};                   // of its firmware, by its own word alone
};
// Of the device with that URI (empty: the only one), by the agent on `socket` (empty: the default).
using ReadHardware = std::function<absl::StatusOr<DeviceHardware>(const std::string& uri,
                                                                  const std::string& socket)>;

// `hardware`: for `forekey trust for-device`; null: there is no such command. Exit status as for
// `forekey verify` (verify_command.h): 0 imported, 1 refused, 2 could not be run. It is written to
// *exit_status, which must outlive the parse, as `out` and `err` must.
void AddTrustCommand(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status,
                     const ReadHardware& hardware = nullptr);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_COMMAND_H_
