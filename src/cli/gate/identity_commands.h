// SPDX-License-Identifier: Apache-2.0
// `forekey-gate identity`: the gate's identity on its way to another replica.
#ifndef FOREKEY_SRC_CLI_GATE_IDENTITY_COMMANDS_H_
#define FOREKEY_SRC_CLI_GATE_IDENTITY_COMMANDS_H_

#include "src/cli/gate/gate_terminal.h"

namespace forekey {

// identity export --to FILE, identity import --from FILE, identity record.
void AddIdentityCommands(CLI::App& app, const GateTerminal& terminal);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_IDENTITY_COMMANDS_H_
