// SPDX-License-Identifier: Apache-2.0
// A program's command line in other forms than --help: its manual page, and what shells complete.
// All are written from the same CLI::App as --help, so that none can say something else.
#ifndef FOREKEY_SRC_CLI_TERMINAL_COMMAND_PAGES_H_
#define FOREKEY_SRC_CLI_TERMINAL_COMMAND_PAGES_H_

#include <ostream>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// The page in roff, as man(7) has it: the program, and each of its commands with its options.
// Without a date, so that the same program always has the same page.
std::string ManualPage(const CLI::App& app);

// The script for "bash", "zsh" or "fish". It completes commands, options and the values of options
// that have few; for other values, file names. InvalidArgument for other shells.
absl::StatusOr<std::string> Completions(const CLI::App& app, absl::string_view shell);

// Adds the option --page (manual, bash, zsh or fish), which --help does not show: it is for who
// makes packages. Call it when all commands have been added. The program ends with it.
void AddPages(CLI::App& app, std::ostream& out);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_COMMAND_PAGES_H_
