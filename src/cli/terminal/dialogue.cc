// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/dialogue.h"

#include <unistd.h>

#include <iostream>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace forekey {

Dialogue Dialogue::OfProcess() {
  return {std::cin, std::cerr, isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1};
}

absl::StatusOr<size_t> Dialogue::Choose(absl::string_view question,
                                        const std::vector<std::string>& lines) const {
  constexpr int kTries = 3;
  for (size_t i = 0; i < lines.size(); ++i) out << i + 1 << ") " << lines[i] << "\n";
  for (int tries = 0; tries < kTries; ++tries) {
    out << question << " [1-" << lines.size() << "] " << std::flush;
    std::string answer;
    if (!std::getline(in, answer)) break;
    size_t number = 0;
    if (absl::SimpleAtoi(answer, &number) && number >= 1 && number <= lines.size()) {
      return number - 1;
    }
    if (absl::StripAsciiWhitespace(answer).empty()) break;
  }
  return absl::CancelledError("none was chosen");
}

bool Dialogue::Confirm(absl::string_view question, bool otherwise) const {
  out << question << (otherwise ? " [Y/n] " : " [y/N] ") << std::flush;
  std::string answer;
  if (!std::getline(in, answer)) return false;
  const std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(answer));
  return word.empty() ? otherwise : word == "y" || word == "yes";
}

void Dialogue::AwaitEnter(absl::string_view question) const {
  out << question << std::flush;
  std::string answer;
  std::getline(in, answer);
}

}  // namespace forekey
