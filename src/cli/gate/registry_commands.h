// SPDX-License-Identifier: Apache-2.0
// `forekey-gate registry`: what is done with registries as a whole, while no gate runs.
#ifndef FOREKEY_SRC_CLI_GATE_REGISTRY_COMMANDS_H_
#define FOREKEY_SRC_CLI_GATE_REGISTRY_COMMANDS_H_

#include "src/cli/gate/gate_terminal.h"

namespace forekey {

// registry copy --from A --to B, each a SQLite file or a postgresql:// URL;
// registry prepare --database URL [--role NAME].
void AddRegistryCommands(CLI::App& app, const GateTerminal& terminal);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_REGISTRY_COMMANDS_H_
