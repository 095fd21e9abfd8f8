// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/finding.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "src/base/printable.h"
#include "src/cli/terminal/plural.h"

namespace forekey {
namespace {

using Level = Finding::Level;

const char* LevelName(Level level) {
  return level == Level::kGood ? "good" : level == Level::kNote ? "note" : "bad";
}

const char* ColourOf(Level level) {
  return level == Level::kGood ? "\033[32m" : level == Level::kNote ? "\033[33m" : "\033[31m";
}

// Lines stay lines; what else a terminal would obey is shown, not sent.
void PrintIndented(const char* label, const std::string& text, std::ostream& out) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    out << "      " << label << Shown(line) << "\n";
  }
}

long CountOf(const std::vector<Finding>& findings, Level level) {
  return std::count_if(findings.begin(), findings.end(),
                       [level](const Finding& one) { return one.level == level; });
}

}  // namespace

int ExitStatusOf(const std::vector<Finding>& findings) {
  return CountOf(findings, Level::kBad) == 0 ? 0 : 1;
}

void PrintFindings(const std::vector<Finding>& findings, bool colours, std::ostream& out) {
  for (const Finding& one : findings) {
    out << (colours ? ColourOf(one.level) : "") << LevelName(one.level)
        << (colours ? "\033[0m" : "") << "  " << Shown(one.seen) << "\n";
    PrintIndented("why:  ", one.why, out);
    PrintIndented("mend: ", one.mend, out);
  }
  const long bad = CountOf(findings, Level::kBad);
  out << (bad == 0 ? std::string("all is well") : Plural(bad, "thing") + " to mend") << " ("
      << Plural(CountOf(findings, Level::kNote), "note") << ", " << Plural(findings.size(), "check")
      << ")\n";
}

void PrintFindingsAsJson(const std::vector<Finding>& findings, std::ostream& out) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& one : findings) {
    list.push_back({{"level", LevelName(one.level)},
                    {"id", one.id},
                    {"seen", one.seen},
                    {"why", one.why},
                    {"mend", one.mend}});
  }
  // In ASCII: what a token or a gate says must not reach a terminal.
  out << nlohmann::json{{"healthy", ExitStatusOf(findings) == 0}, {"findings", list}}.dump(
             2, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace)
      << "\n";
}

bool MayColour(const std::ostream& out) {
  const char* no = getenv("NO_COLOR");
  return &out == &std::cout && (no == nullptr || no[0] == '\0') && isatty(STDOUT_FILENO) == 1;
}

}  // namespace forekey
