// SPDX-License-Identifier: Apache-2.0
// Questions to whoever sits at the terminal.
#ifndef FOREKEY_SRC_CLI_TERMINAL_DIALOGUE_H_
#define FOREKEY_SRC_CLI_TERMINAL_DIALOGUE_H_

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct Dialogue {
  std::istream& in;
  std::ostream& out;
  bool person = false;  // somebody is there to answer; else nothing is asked

  // Somebody, where standard input and standard error are terminals.
  static Dialogue OfProcess();

  // Shows the numbered lines and gives the index of the one that was chosen. Cancelled where none
  // was.
  absl::StatusOr<size_t> Choose(absl::string_view question,
                                const std::vector<std::string>& lines) const;
  // "QUESTION [Y/n] ": an empty line is yes, or `otherwise`; the end of the input is no.
  bool Confirm(absl::string_view question, bool otherwise = true) const;
  // Leaves what was said in sight, in a window that closes with the program.
  void AwaitEnter(absl::string_view question) const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_DIALOGUE_H_
