// SPDX-License-Identifier: Apache-2.0
// What a program's commands and options are, read from its CLI::App.
#ifndef FOREKEY_SRC_CLI_TERMINAL_COMMAND_TREE_H_
#define FOREKEY_SRC_CLI_TERMINAL_COMMAND_TREE_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace forekey {

struct CommandOption {
  std::vector<std::string> names;   // with their dashes; empty: it is told by its place
  std::string place;                // "INVITE"; of one without names
  std::string value;                // "TEXT"; empty: it takes none
  std::vector<std::string> values;  // all that it may be, where these are few
  std::string default_value;
  std::string description;
  bool required = false;
  bool repeated = false;
};

struct Command {
  std::vector<std::string> words;  // "forekey", "trust", "import-mds"
  std::string description, footer;
  std::vector<CommandOption> options;  // what is hidden is left out
  std::vector<Command> commands;

  // The words behind the program's name: "", " trust", " trust import-mds".
  std::string Path() const;
  // "forekey trust import-mds [OPTIONS] FILE"
  std::string Usage() const;
};

Command ReadCommand(const CLI::App& app);
// The command, and all below it, each before those below it. Points into `command`.
std::vector<const Command*> AllOf(const Command& command);
// The first line of a description, without its full stop.
std::string FirstLine(const std::string& description);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_COMMAND_TREE_H_
