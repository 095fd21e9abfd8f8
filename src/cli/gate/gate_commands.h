// SPDX-License-Identifier: Apache-2.0
// The commands of `forekey-gate`: running a gate, and administrating one.
//
// Exit status: 0 done; 1 refused or failed (no such credential, a config with errors); 2 could not
// be run (a wrong command line, a gate that can't be reached or started).
#ifndef FOREKEY_SRC_CLI_GATE_GATE_COMMANDS_H_
#define FOREKEY_SRC_CLI_GATE_GATE_COMMANDS_H_

#include <ostream>

#include "CLI/CLI.hpp"

namespace forekey {

// Adds every command to `app`. Running one writes to `out` (with --json: one JSON value) and `err`,
// and sets `exit_status`. All must outlive `app`.
void AddGateCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_COMMANDS_H_
