// SPDX-License-Identifier: Apache-2.0
// Text that others chose, on its way to a terminal or a log.
#ifndef FOREKEY_SRC_BASE_PRINTABLE_H_
#define FOREKEY_SRC_BASE_PRINTABLE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

// True for UTF-8 of which a terminal shows each character, from left to right as its letters run:
// no control character (those of U+0080 to U+009F included: some terminals take U+009B for ESC [),
// no line or paragraph separator, and nothing that turns the direction or has no width.
bool IsPrintable(absl::string_view utf8);

// `text` in printable ASCII: every other byte as \xNN, and cut after `max` bytes of it.
std::string Printable(absl::string_view text, size_t max);

// `text` itself where it IsPrintable(), else Printable().
std::string Shown(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_PRINTABLE_H_
