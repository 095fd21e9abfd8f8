// SPDX-License-Identifier: Apache-2.0
// `forekey-sim run`: another command, with tokens in software around it.
#ifndef FOREKEY_SIMULATORS_RUN_RUN_COMMAND_H_
#define FOREKEY_SIMULATORS_RUN_RUN_COMMAND_H_

namespace CLI {
class App;
}

namespace forekey {

// Adds the subcommand; when it is chosen, it starts the tokens, runs the command, takes away
// everything that either left, and sets *exit_code: the command's own, or 128 and the number of the
// signal that ended it; 125 where the tokens could not be started, 126 where the command could not,
// 127 where there is no such command.
void AddRunCommand(CLI::App& app, int* exit_code);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_RUN_RUN_COMMAND_H_
