// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/command_pages.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "src/base/version.h"
#include "src/cli/terminal/command_tree.h"

namespace forekey {
namespace {

// Text of ours as roff's text: nothing in it is a request or an escape.
std::string Roff(absl::string_view text) {
  std::string escaped = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  std::vector<std::string> lines = absl::StrSplit(escaped, '\n');
  for (std::string& line : lines) {
    if (!line.empty() && (line[0] == '.' || line[0] == '\'')) line.insert(0, "\\&");
  }
  return absl::StrJoin(lines, "\n");
}

std::string Bold(absl::string_view text) { return absl::StrCat("\\fB", Roff(text), "\\fR"); }
std::string Italic(absl::string_view text) { return absl::StrCat("\\fI", Roff(text), "\\fR"); }

// A paragraph that breaks its lines as it was written where it was indented: examples and tables.
std::string Verbatim(absl::string_view text) {
  return absl::StrCat(".nf\n", Roff(absl::StripAsciiWhitespace(text)), "\n.fi\n");
}

std::string OptionEntry(const CommandOption& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) names.push_back(Bold(name));
  std::string entry = absl::StrCat(".TP\n", absl::StrJoin(names, ", "));
  if (option.names.empty()) {
    absl::StrAppend(&entry, Italic(option.place));
  } else if (!option.value.empty()) {
    absl::StrAppend(&entry, " ", Italic(option.value));
  }
  absl::StrAppend(&entry, "\n", Roff(option.description));
  if (!option.values.empty()) {
    absl::StrAppend(&entry, " One of: ", Roff(absl::StrJoin(option.values, ", ")), ".");
  }
  if (option.repeated) absl::StrAppend(&entry, " May be given several times.");
  if (!option.default_value.empty()) {
    absl::StrAppend(&entry, " Default: ", Roff(option.default_value), ".");
  }
  return absl::StrCat(entry, "\n");
}

std::string Options(const Command& command) {
  std::string entries;
  for (const CommandOption& option : command.options) {
    absl::StrAppend(&entries, OptionEntry(option));
  }
  return entries;
}

// A value in the shell's single quotes.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::vector<std::string> Words(const Command& command) {
  std::vector<std::string> words;
  for (const Command& below : command.commands) words.push_back(below.words.back());
  for (const CommandOption& option : command.options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
  }
  return words;
}

// "_forekey_gate", for the functions of a script.
std::string FunctionOf(const Command& program) {
  return absl::StrCat("_", absl::StrReplaceAll(program.words.front(), {{"-", "_"}}));
}

// ' trust'|' trust import-mds', for a case of bash or zsh; empty without commands.
std::string Paths(const std::vector<const Command*>& all) {
  std::vector<std::string> paths;
  for (const Command* command : all) {
    if (command->words.size() > 1) paths.push_back(Quoted(command->Path()));
  }
  return absl::StrJoin(paths, "|");
}

// What stands behind an option that takes a value: for each "path:option", the values, or none.
struct ValuesOf {
  std::string pattern;
  std::vector<std::string> values;
};
std::vector<ValuesOf> AllValues(const std::vector<const Command*>& all) {
  std::vector<ValuesOf> values;
  for (const Command* command : all) {
    for (const CommandOption& option : command->options) {
      if (option.value.empty() || option.names.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) {
        patterns.push_back(Quoted(absl::StrCat(command->Path(), ":", name)));
      }
      values.push_back({absl::StrJoin(patterns, "|"), option.values});
    }
  }
  return values;
}

std::string Bash(const Command& program) {
  const std::vector<const Command*> all = AllOf(program);
  const std::string function = FunctionOf(program), paths = Paths(all);
  std::string script =
      absl::StrCat("# bash completion for ", program.words.front(), "\n", function,
                   "() {\n  local current=${COMP_WORDS[COMP_CWORD]} path= words= i\n");
  if (!paths.empty()) {
    absl::StrAppend(&script, "  for ((i = 1; i < COMP_CWORD; i++)); do\n",
                    "    case \"$path ${COMP_WORDS[i]}\" in\n      ", paths,
                    ") path=\"$path ${COMP_WORDS[i]}\" ;;\n    esac\n  done\n");
  }
  absl::StrAppend(&script, "  COMPREPLY=()\n  case \"$path:${COMP_WORDS[COMP_CWORD-1]}\" in\n");
  for (const ValuesOf& option : AllValues(all)) {
    absl::StrAppend(&script, "    ", option.pattern, ") ");
    if (!option.values.empty()) {
      absl::StrAppend(&script, "COMPREPLY=($(compgen -W ",
                      Quoted(absl::StrJoin(option.values, " ")), " -- \"$current\")); ");
    }
    absl::StrAppend(&script, "return ;;\n");
  }
  absl::StrAppend(&script, "  esac\n  case \"$path\" in\n");
  for (const Command* command : all) {
    absl::StrAppend(&script, "    ", Quoted(command->Path()),
                    ") words=", Quoted(absl::StrJoin(Words(*command), " ")), " ;;\n");
  }
  absl::StrAppend(&script, "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n",
                  "complete -o default -F ", function, " ", program.words.front(), "\n");
  return script;
}

// "name:what it is", as zsh's _describe takes it.
std::string Described(absl::string_view name, const std::string& description) {
  return Quoted(absl::StrCat(absl::StrReplaceAll(name, {{":", "\\:"}}), ":",
                             absl::StrReplaceAll(FirstLine(description), {{":", "\\:"}})));
}

std::string Zsh(const Command& program) {
  const std::vector<const Command*> all = AllOf(program);
  const std::string function = FunctionOf(program), paths = Paths(all);
  std::string script = absl::StrCat("#compdef ", program.words.front(), "\n", function,
                                    "() {\n  local path_= i\n  local -a commands_ options_\n");
  if (!paths.empty()) {
    absl::StrAppend(&script, "  for ((i = 2; i < CURRENT; i++)); do\n",
                    "    case \"$path_ ${words[i]}\" in\n      (", paths,
                    ") path_=\"$path_ ${words[i]}\" ;;\n    esac\n  done\n");
  }
  absl::StrAppend(&script, "  case \"$path_:${words[CURRENT-1]}\" in\n");
  for (const ValuesOf& option : AllValues(all)) {
    absl::StrAppend(&script, "    (", option.pattern, ") ");
    if (option.values.empty()) {
      absl::StrAppend(&script, "_files");
    } else {
      absl::StrAppend(&script, "compadd -- ", absl::StrJoin(option.values, " "));
    }
    absl::StrAppend(&script, "; return ;;\n");
  }
  absl::StrAppend(&script, "  esac\n  case \"$path_\" in\n");
  for (const Command* command : all) {
    std::vector<std::string> commands, options;
    for (const Command& below : command->commands) {
      commands.push_back(Described(below.words.back(), below.description));
    }
    for (const CommandOption& option : command->options) {
      for (const std::string& name : option.names) {
        options.push_back(Described(name, option.description));
      }
    }
    absl::StrAppend(&script, "    (", Quoted(command->Path()), ") commands_=(",
                    absl::StrJoin(commands, " "), ") options_=(", absl::StrJoin(options, " "),
                    ") ;;\n");
  }
  absl::StrAppend(&script,
                  "  esac\n  (( $#commands_ )) && _describe -t commands command commands_\n"
                  "  [[ $PREFIX == -* ]] && _describe -o -t options option options_\n"
                  "  (( $#commands_ )) || _files\n}\n",
                  function, " \"$@\"\n");
  return script;
}

std::string FishOption(const std::string& begin, const CommandOption& option) {
  std::string line = begin;
  for (const std::string& name : option.names) {
    const bool is_long = name.size() > 2;
    absl::StrAppend(&line, is_long ? " -l " : " -s ", name.substr(is_long ? 2 : 1));
  }
  if (!option.values.empty()) {
    absl::StrAppend(&line, " -x -a ", Quoted(absl::StrJoin(option.values, " ")));
  } else if (!option.value.empty()) {
    absl::StrAppend(&line, " -r");
  }
  return absl::StrCat(line, " -d ", Quoted(FirstLine(option.description)), "\n");
}

std::string Fish(const Command& program) {
  const std::vector<const Command*> all = AllOf(program);
  const std::string at = absl::StrCat("_", FunctionOf(program), "_at");
  std::string script = absl::StrCat(
      "# fish completion for ", program.words.front(), "\nfunction ", at, "\n  set -l path ''\n",
      "  for word in (commandline -opc)[2..-1]\n", "    switch \"$path $word\"\n");
  for (const Command* command : all) {
    if (command->words.size() == 1) continue;
    absl::StrAppend(&script, "      case ", Quoted(command->Path()),
                    "\n        set path \"$path $word\"\n");
  }
  absl::StrAppend(&script, "    end\n  end\n  test \"$path\" = \"$argv[1]\"\nend\n");
  for (const Command* command : all) {
    // The condition is a string within a string: paths have nothing in them to escape.
    const std::string begin = absl::StrCat("complete -c ", program.words.front(), " -n \"", at,
                                           " '", command->Path(), "'\"");
    for (const Command& below : command->commands) {
      absl::StrAppend(&script, begin, " -f -a ", below.words.back(), " -d ",
                      Quoted(FirstLine(below.description)), "\n");
    }
    for (const CommandOption& option : command->options) {
      if (!option.names.empty()) absl::StrAppend(&script, FishOption(begin, option));
    }
  }
  return script;
}

}  // namespace

std::string ManualPage(const CLI::App& app) {
  const Command program = ReadCommand(app);
  const std::string& name = program.words.front();
  std::string page = absl::StrCat(".TH ", Roff(absl::AsciiStrToUpper(name)), " 1 \"\" \"Forekey ",
                                  kForekeyVersion, "\" \"Forekey\"\n.SH NAME\n", Roff(name),
                                  " \\- ", Roff(FirstLine(program.description)), "\n.SH SYNOPSIS\n",
                                  Bold(program.Usage()), "\n.SH DESCRIPTION\n",
                                  Roff(program.description), "\n.SH OPTIONS\n", Options(program));
  const std::vector<const Command*> all = AllOf(program);
  if (all.size() > 1) absl::StrAppend(&page, ".SH COMMANDS\n");
  for (const Command* command : all) {
    if (command == &program) continue;
    absl::StrAppend(&page, ".SS ", Roff(command->Usage()), "\n", Roff(command->description), "\n",
                    Options(*command));
    if (!command->footer.empty()) absl::StrAppend(&page, ".PP\n", Verbatim(command->footer));
  }
  if (!program.footer.empty()) absl::StrAppend(&page, ".SH NOTES\n", Verbatim(program.footer));
  return page;
}

absl::StatusOr<std::string> Completions(const CLI::App& app, absl::string_view shell) {
  const Command program = ReadCommand(app);
  if (shell == "bash") return Bash(program);
  if (shell == "zsh") return Zsh(program);
  if (shell == "fish") return Fish(program);
  return absl::InvalidArgumentError(
      absl::StrCat("no completions for ", shell, ": bash, zsh or fish"));
}

void AddPages(CLI::App& app, std::ostream& out) {
  app.add_option_function<std::string>("--page",
                                       [&app, &out](const std::string& form) {
                                         if (form == "manual") {
                                           out << ManualPage(app);
                                         } else {
                                           out << Completions(app, form).value_or("");
                                         }
                                         throw CLI::Success();
                                       })
      ->check(CLI::IsMember({"manual", "bash", "zsh", "fish"}))
      ->group("");
}

}  // namespace forekey
