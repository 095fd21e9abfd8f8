// SPDX-License-Identifier: Apache-2.0
// `forekey-sim tpm`.
#ifndef FOREKEY_SIMULATORS_TPM_TPM_COMMAND_H_
#define FOREKEY_SIMULATORS_TPM_TPM_COMMAND_H_

namespace CLI {
class App;
}

namespace forekey {

// Adds the subcommand; when it is chosen, it serves until SIGTERM or SIGINT, then sets *exit_code:
// 0 ended when told to, 1 could not start or did not end cleanly.
void AddTpmCommand(CLI::App& app, int* exit_code);

}  // namespace forekey

#endif  // FOREKEY_SIMULATORS_TPM_TPM_COMMAND_H_
