// SPDX-License-Identifier: Apache-2.0
// The commands of `forekey` that talk to the agent: devices, enroll, login, logout, status, whoami,
// prefix, forget. --json everywhere.
//
// Exit status: 0 done, 1 refused by the gate, the agent or the device, 2 could not be run (usage,
// no agent, no gate reached).
#ifndef FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMANDS_H_
#define FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMANDS_H_

#include <ostream>

#include "CLI/CLI.hpp"

namespace forekey {

// All four outlive the app's parsing. Running a command sets *exit_status.
void AddClientCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_CLIENT_CLIENT_COMMANDS_H_
