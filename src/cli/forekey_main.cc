// SPDX-License-Identifier: Apache-2.0
// forekey: the user's and the administrator's tool. This file only lists commands.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "src/base/version.h"
#include "src/cli/client/client_commands.h"
#include "src/cli/client/hide_invites.h"
#include "src/cli/terminal/command_pages.h"
#include "src/cli/terminal/suggest_command.h"
#include "src/cli/verify/trust_command.h"
#include "src/cli/verify/verify_command.h"
#include "src/wire/token_kind.h"

namespace {

absl::StatusOr<forekey::DeviceHardware> HardwareByAgent(const std::string& uri,
                                                        const std::string& socket) {
  const auto shown = forekey::GetHardwareCertificates(uri, socket);
  if (!shown.ok()) return shown.status();
  forekey::DeviceHardware hardware{shown->device_uri(),
                                   std::string(forekey::TokenKindName(shown->kind())),
                                   {shown->certificates().begin(), shown->certificates().end()}};
  hardware.says.kind = shown->kind();
  hardware.says.maker = shown->device().maker();
  hardware.says.model = shown->device().model();
  hardware.says.version = forekey::FirmwareFromText(shown->kind(), shown->device().firmware());
  return hardware;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  int exit_status = forekey::kExitOk;
  CLI::App app("Forekey: hardware keys in front of gRPC services.", "forekey");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("forekey ") + forekey::kForekeyVersion);
  forekey::AddClientCommands(app, std::cout, std::cerr, &exit_status);
  forekey::AddVerifyCommand(app, words, std::cout, std::cerr, &exit_status);
  forekey::AddTrustCommand(app, std::cout, std::cerr, &exit_status, HardwareByAgent);
  forekey::AddPages(app, std::cout);
  try {
    forekey::HideInvites(argc, argv);
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& error) {
    // Help is no failure; anything else is a command line that can't be run.
    if (app.exit(error) == 0) return forekey::kExitOk;
    if (const std::string meant = forekey::SuggestCommand(app, words); !meant.empty()) {
      std::cerr << "forekey: " << meant << "\n";
    }
    return forekey::kExitNotRun;
  } catch (const std::exception& error) {
    std::cerr << "forekey: " << error.what() << "\n";
    return forekey::kExitNotRun;
  }
  return exit_status;
}
