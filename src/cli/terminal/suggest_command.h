// SPDX-License-Identifier: Apache-2.0
// "did you mean": for a command line whose command is not known.
#ifndef FOREKEY_SRC_CLI_TERMINAL_SUGGEST_COMMAND_H_
#define FOREKEY_SRC_CLI_TERMINAL_SUGGEST_COMMAND_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "src/cli/terminal/did_you_mean.h"

namespace forekey {

// `words`: the command line without the program's name. "statsu is no command: did you mean
// status?"; empty where each command in it is known, or none is like the one that is not.
inline std::string SuggestCommand(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* level = &app;
  for (const std::string& word : words) {
    if (word.empty() || word[0] == '-') return "";
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* command : level->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(command->get_name());
      if (command->get_name() == word) next = command;
    }
    if (names.empty()) return "";
    if (next == nullptr) {
      const std::string meant = DidYouMean(word, names);
      return meant.empty() ? "" : absl::StrCat(word, " is no command", meant);
    }
    level = next;
  }
  return "";
}

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_SUGGEST_COMMAND_H_
