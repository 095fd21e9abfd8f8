// SPDX-License-Identifier: Apache-2.0
// PINs and passwords through a pinentry program (Assuan on its standard input and output), and
// notices that a token waits for a touch.
#ifndef FOREKEY_SRC_AGENT_PINENTRY_PROMPT_H_
#define FOREKEY_SRC_AGENT_PINENTRY_PROMPT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/agent/prompter.h"

namespace forekey {

// `program`: a path, or a name to look for in PATH; empty: null, so that drivers know that there is
// nobody; kAnyPinentry: the system's, for programs that have a display or a terminal
// (PromptContext::place, else the agent's own DISPLAY, WAYLAND_DISPLAY or GPG_TTY), and nobody for
// others. The program is started for each question, asks there, and has two minutes. Cancelled by
// the person: kCancelled. Missing, crashed, garbled: kPinRequired with what happened. Nobody waits
// for it any more (PromptContext::cancelled): it is ended, and kCancelled. Touches go to the log.
inline constexpr absl::string_view kAnyPinentry = "auto";
std::unique_ptr<Prompter> NewPinentryPrompter(const std::string& program);

// Assuan's escapes: what may not stand in a command line (percent, CR, LF), and back.
// InvalidArgument for a percent sign without two hex digits.
std::string AssuanEscape(absl::string_view text);
// `text`, or its beginning and its end with "..." in between, so that AssuanEscape() makes at most
// `most` bytes (20 or more) of it. Characters of UTF-8 stay whole. What people look for in a path
// or a method stands at its end.
std::string AssuanFitted(absl::string_view text, size_t most);
absl::StatusOr<std::string> AssuanUnescape(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PINENTRY_PROMPT_H_
