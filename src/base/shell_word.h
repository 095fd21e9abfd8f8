// SPDX-License-Identifier: Apache-2.0
// Commands that people are told to run: what others chose stays one word there.
#ifndef FOREKEY_SRC_BASE_SHELL_WORD_H_
#define FOREKEY_SRC_BASE_SHELL_WORD_H_

#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

// The word as a POSIX shell takes it for one, whatever is in it: as it is where no character means
// anything to a shell, else in single quotes.
std::string ShellWord(absl::string_view word);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_SHELL_WORD_H_
