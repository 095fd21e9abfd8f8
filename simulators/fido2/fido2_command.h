// SPDX-License-Identifier: Apache-2.0
// `forekey-sim fido2`.
#ifndef FOREKEY_SIMULATORS_FIDO2_FIDO2_COMMAND_H_
#define FOREKEY_SIMULATORS_FIDO2_FIDO2_COMMAND_H_

namespace CLI {
class App;
}

namespace forekey {

// Adds the subcommand; when it is chosen, it serves until SIGTERM or SIGINT, then sets *exit_code:
// 0 ended when told to, 1 could not start.
void AddFido2Command(CLI::App& app, int* exit_code);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_FIDO2_FIDO2_COMMAND_H_
