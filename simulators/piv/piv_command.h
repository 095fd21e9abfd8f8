// SPDX-License-Identifier: Apache-2.0
// The subcommand `forekey-sim piv`.
#ifndef FOREKEY_SIMULATORS_PIV_PIV_COMMAND_H_
#define FOREKEY_SIMULATORS_PIV_PIV_COMMAND_H_

namespace CLI {
class App;
}

namespace forekey {

void AddPivCommand(CLI::App& app, int* exit_code);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_PIV_PIV_COMMAND_H_
