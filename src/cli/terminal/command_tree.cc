// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/command_tree.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace forekey {
namespace {

CommandOption ReadOption(const CLI::Option& option) {
  CommandOption read;
  for (const std::string& name : option.get_snames()) read.names.push_back(absl::StrCat("-", name));
  for (const std::string& name : option.get_lnames()) {
    read.names.push_back(absl::StrCat("--", name));
  }
  // "TEXT:{debug,info}", as CLI11 writes a type and the check on it.
  const std::string type = option.get_type_name();
  const size_t open = type.find('{');
  if (option.get_items_expected_max() > 0) {
    read.value = type.substr(0, type.find(':'));
    if (read.value.empty()) read.value = "VALUE";
    if (open != std::string::npos && type.back() == '}') {
      read.values = absl::StrSplit(type.substr(open + 1, type.size() - open - 2), ',');
    }
  }
  if (read.names.empty()) read.place = option.get_name(true);
  read.default_value = option.get_default_str();
  read.description = option.get_description();
  read.required = option.get_required();
  read.repeated = option.get_items_expected_max() > 1;
  return read;
}

Command Read(const CLI::App& app, std::vector<std::string> words) {
  words.push_back(app.get_name());
  Command read;
  read.description = app.get_description();
  read.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) read.options.push_back(ReadOption(*option));
  }
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!below->get_group().empty()) read.commands.push_back(Read(*below, words));
  }
  read.words = std::move(words);
  return read;
}

void Collect(const Command& command, std::vector<const Command*>* all) {
  all->push_back(&command);
  for (const Command& below : command.commands) Collect(below, all);
}

}  // namespace

std::string Command::Path() const {
  std::string path;
  for (size_t i = 1; i < words.size(); ++i) absl::StrAppend(&path, " ", words[i]);
  return path;
}

std::string Command::Usage() const {
  std::string usage = absl::StrCat(absl::StrJoin(words, " "), " [OPTIONS]");
  for (const CommandOption& option : options) {
    if (!option.names.empty()) continue;
    absl::StrAppend(&usage, " ", option.required ? "" : "[", option.place,
                    option.repeated ? "..." : "", option.required ? "" : "]");
  }
  if (!commands.empty()) absl::StrAppend(&usage, " COMMAND");
  return usage;
}

Command ReadCommand(const CLI::App& app) { return Read(app, {}); }

std::vector<const Command*> AllOf(const Command& command) {
  std::vector<const Command*> all;
  Collect(command, &all);
  return all;
}

std::string FirstLine(const std::string& description) {
  const absl::string_view text = absl::StripLeadingAsciiWhitespace(description);
  return std::string(absl::StripSuffix(text.substr(0, text.find('\n')), "."));
}

}  // namespace forekey
