// SPDX-License-Identifier: Apache-2.0
// forekey-gate: runs and administrates a gate. This file only lists commands.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "src/base/version.h"
#include "src/cli/gate/gate_commands.h"
#include "src/cli/terminal/command_pages.h"
#include "src/cli/terminal/suggest_command.h"

int main(int argc, char** argv) {
  int exit_status = 0;
  CLI::App app(
      "Forekey's gate: runs one, and administrates one.\n"
      "Exit status: 0 done, 1 refused or failed, 2 could not be run.",
      "forekey-gate");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("forekey-gate ") + forekey::kForekeyVersion);
  forekey::AddGateCommands(app, std::cout, std::cerr, &exit_status);
  forekey::AddPages(app, std::cout);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) == 0) return 0;
    const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
    if (const std::string meant = forekey::SuggestCommand(app, words); !meant.empty()) {
      std::cerr << "forekey-gate: " << meant << "\n";
    }
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "forekey-gate: " << error.what() << "\n";
    return 2;
  }
  return exit_status;
}
