// SPDX-License-Identifier: Apache-2.0
// forekey-sim: hardware tokens in software, for anybody's tests. One subcommand a kind of token.
#include <iostream>
#include <string>

#include "CLI/CLI.hpp"
#include "simulators/fido2/fido2_command.h"
#include "simulators/piv/piv_command.h"
#include "simulators/run/run_command.h"
#include "simulators/tpm/tpm_command.h"
#include "src/base/version.h"
#include "src/cli/terminal/command_pages.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Hardware tokens in software, for tests. Never trust their certificates in production.",
      "forekey-sim");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("forekey-sim ") + forekey::kForekeyVersion);
  int exit_code = 0;
  forekey::AddTpmCommand(app, &exit_code);
  forekey::AddFido2Command(app, &exit_code);
  forekey::AddPivCommand(app, &exit_code);
  forekey::AddRunCommand(app, &exit_code);
  forekey::AddPages(app, std::cout);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}
