// SPDX-License-Identifier: Apache-2.0
// PINs and passwords through a pinentry program, and notices that a token waits for a touch.
#ifndef FOREKEY_SRC_AGENT_PINENTRY_PROMPT_H_
#define FOREKEY_SRC_AGENT_PINENTRY_PROMPT_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "src/agent/prompter.h"

namespace forekey {

// `program`: a path, or a name to look for in PATH; empty: null, so that drivers know that there is
// nobody; kAnyPinentry: the system's, for programs that have a display or a terminal
// (PromptContext::place, else the agent's own DISPLAY, WAYLAND_DISPLAY or GPG_TTY), and nobody for
// others. The program is started for each question, one at a time at each display and terminal,
// asks there, and has two minutes. Cancelled by the person: kCancelled. Missing, crashed, garbled,
// or its terminal has gone: kPinRequired with what happened. Nobody waits for it any more
// (PromptContext::cancelled): it is ended, and kCancelled. Touches go to the log.
inline constexpr absl::string_view kAnyPinentry = "auto";
std::unique_ptr<Prompter> NewPinentryPrompter(const std::string& program);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PINENTRY_PROMPT_H_
