// SPDX-License-Identifier: Apache-2.0
// forekey: the user's and the administrator's tool. This file only lists commands.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "src/base/version.h"
#include "src/cli/client/client_commands.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/verify_command.h"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  int exit_status = forekey::kExitOk;
  CLI::App app("Forekey: hardware keys in front of gRPC services.", "forekey");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("forekey ") + forekey::kForekeyVersion);
  forekey::AddClientCommands(app, std::cout, std::cerr, &exit_status);
  forekey::AddVerifyCommand(app, words, std::cout, std::cerr, &exit_status);
  forekey::AddTrustCommand(app, std::cout, std::cerr, &exit_status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help is no failure; anything else is a command line that can't be run.
    return app.exit(error) == 0 ? forekey::kExitOk : forekey::kExitNotRun;
  } catch (const std::exception& error) {
    std::cerr << "forekey: " << error.what() << "\n";
    return forekey::kExitNotRun;
  }
  return exit_status;
}
