// SPDX-License-Identifier: Apache-2.0
// "1 credential", "2 credentials", "0 subjects".
#ifndef FOREKEY_SRC_CLI_TERMINAL_PLURAL_H_
#define FOREKEY_SRC_CLI_TERMINAL_PLURAL_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace forekey {

// Of nouns whose plural takes an s.
inline std::string Plural(uint64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_PLURAL_H_
