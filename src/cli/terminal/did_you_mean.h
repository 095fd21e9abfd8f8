// SPDX-License-Identifier: Apache-2.0
// What a person most likely meant by a word that is not known.
#ifndef FOREKEY_SRC_CLI_TERMINAL_DID_YOU_MEAN_H_
#define FOREKEY_SRC_CLI_TERMINAL_DID_YOU_MEAN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace forekey {

// Of `known`, the one that takes the fewest changed, added, left out or exchanged letters, where
// that is at most a third of the word; empty where there is none.
std::string Closest(absl::string_view word, const std::vector<std::string>& known);

// ": did you mean NAME?", or empty: to be put behind an error.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_DID_YOU_MEAN_H_
