// SPDX-License-Identifier: Apache-2.0
// `forekey trust import-mds F --root F`: verifies a FIDO metadata BLOB and remembers that it did.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_COMMAND_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_COMMAND_H_

#include <ostream>

#include "CLI/CLI.hpp"

namespace forekey {

// Exit status as for `forekey verify` (verify_command.h): 0 imported, 1 refused, 2 could not be
// run. It is written to *exit_status, which must outlive the parse, as `out` and `err` must.
void AddTrustCommand(CLI::App& app, std::ostream& out, std::ostream& err, int* exit_status);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_COMMAND_H_
