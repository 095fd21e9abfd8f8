// SPDX-License-Identifier: Apache-2.0
// What a `doctor` found: what was seen, why it matters, and the command that mends it.
#ifndef FOREKEY_SRC_CLI_TERMINAL_FINDING_H_
#define FOREKEY_SRC_CLI_TERMINAL_FINDING_H_

#include <ostream>
#include <string>
#include <vector>

namespace forekey {

struct Finding {
  enum class Level {
    kGood,  // was looked at, and is as it should be
    kNote,  // works, and is worth knowing
    kBad,   // something a person wants does not work, or soon will not
  };
  Level level = Level::kGood;
  std::string id;  // "tpm-no-access": what programs and docs know it by
  std::string seen;
  std::string why;   // empty for what is good
  std::string mend;  // a command, or what to do; empty for what is good
};

// The exit status of a doctor: 0 where nothing is bad, else 1.
int ExitStatusOf(const std::vector<Finding>& findings);

// For people: a mark, what was seen, and below it why and how to mend it. Colours on a terminal
// alone, and not where NO_COLOR is set (https://no-color.org).
void PrintFindings(const std::vector<Finding>& findings, bool colours, std::ostream& out);
// {"healthy", "findings": [{"level", "id", "seen", "why", "mend"}]}
void PrintFindingsAsJson(const std::vector<Finding>& findings, std::ostream& out);

// Whether what is written to `out` may have colours: it is the standard output, a terminal, and
// NO_COLOR is not set.
bool MayColour(const std::ostream& out);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_FINDING_H_
