// SPDX-License-Identifier: Apache-2.0
// Runs one command of forekey-gate in the test's own process, as forekey_gate_main.cc does.
#ifndef FOREKEY_TESTS_END2END_GATE_COMMAND_H_
#define FOREKEY_TESTS_END2END_GATE_COMMAND_H_

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "src/cli/gate/gate_commands.h"

namespace forekey::testing {

struct CommandResult {
  int exit_status = -1;
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, false); }
};

inline CommandResult RunGate(std::vector<std::string> words) {
  CommandResult result;
  std::ostringstream out, err;
  CLI::App app("", "forekey-gate");
  app.require_subcommand(1);
  AddGateCommands(app, out, err, &result.exit_status);
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    result.exit_status = error.get_exit_code() == 0 ? 0 : 2;
    err << error.what();
  }
  result.out = out.str();
  result.err = err.str();
  return result;
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_GATE_COMMAND_H_
