// SPDX-License-Identifier: Apache-2.0
// The commands of `forekey` that talk to the agent: devices, enroll, login, logout, status, whoami,
// prefix, forget. --json everywhere.
//
// Exit status: 0 done, 1 refused by the gate, the agent or the device, 2 could not be run (usage,
// no agent, no gate reached).
#ifndef FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMANDS_H_
#define FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMANDS_H_

#include <ostream>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "forekey/v1/agent.pb.h"
#include "src/cli/terminal/dialogue.h"

namespace forekey {

// For `forekey trust for-device`: what the device proves its hardware by, from the agent.
absl::StatusOr<v1::GetHardwareCertificatesResponse> GetHardwareCertificates(
    const std::string& uri, const std::string& socket);

// All of them outlive the app's parsing. Running a command sets *exit_status.
void AddClientCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status,
                       const Dialogue& dialogue = Dialogue::OfProcess());

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMANDS_H_
