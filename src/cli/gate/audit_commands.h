// SPDX-License-Identifier: Apache-2.0
// `forekey-gate audit verify` and `audit show`: read an audit log's files, beside a running gate or
// without one; change nothing. Exit status of verify: 0 whole, 1 something was found, 2 could not
// be read.
#ifndef FOREKEY_SRC_CLI_GATE_AUDIT_COMMANDS_H_
#define FOREKEY_SRC_CLI_GATE_AUDIT_COMMANDS_H_

#include <ostream>

#include "CLI/CLI.hpp"

namespace forekey {

// All must outlive `app`.
void AddAuditCommands(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_AUDIT_COMMANDS_H_
