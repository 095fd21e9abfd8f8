// SPDX-License-Identifier: Apache-2.0
// How text stands in a line of Assuan, the protocol of GnuPG's programs.
#ifndef FOREKEY_SRC_AGENT_ASSUAN_H_
#define FOREKEY_SRC_AGENT_ASSUAN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// Assuan's escapes: what may not stand in a command line (percent, CR, LF), and back.
// InvalidArgument for a percent sign without two hex digits.
std::string AssuanEscape(absl::string_view text);
// `text`, or its beginning and its end with "..." in between, so that AssuanEscape() makes at most
// `most` bytes (20 or more) of it. Characters of UTF-8 stay whole. What people look for in a path
// or a method stands at its end.
std::string AssuanFitted(absl::string_view text, size_t most);
absl::StatusOr<std::string> AssuanUnescape(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_ASSUAN_H_
