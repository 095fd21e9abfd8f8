// SPDX-License-Identifier: Apache-2.0
// Passwords from people: never an argument, which every process of the machine could read.
#ifndef FOREKEY_SRC_CLI_TERMINAL_READ_PASSWORD_H_
#define FOREKEY_SRC_CLI_TERMINAL_READ_PASSWORD_H_

#include <string>

#include "absl/status/statusor.h"
#include "src/base/secret.h"

namespace forekey {

// On the terminal, without echo; with `twice`, asked for again and compared.
absl::StatusOr<Secret> AskPassword(const std::string& question, bool twice);
// The same, twice, where the standard input is a terminal; else its first line.
absl::StatusOr<Secret> ReadNewPassword();

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_READ_PASSWORD_H_
