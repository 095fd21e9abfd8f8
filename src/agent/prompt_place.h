// SPDX-License-Identifier: Apache-2.0
// Where the person behind a program sits: its display or its terminal, for a pinentry to ask there.
#ifndef FOREKEY_SRC_AGENT_PROMPT_PLACE_H_
#define FOREKEY_SRC_AGENT_PROMPT_PLACE_H_

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

// Empty where there is none, or it is not known.
struct PromptPlace {
  std::string display;          // DISPLAY
  std::string wayland_display;  // WAYLAND_DISPLAY
  std::string xauthority;       // XAUTHORITY
  std::string tty;              // "/dev/pts/3"
  std::string term;             // TERM, where there is a tty

  bool has_display() const { return !display.empty() || !wayland_display.empty(); }
  bool empty() const { return !has_display() && tty.empty(); }
};

// Of a running process of this user's, from its environment as it was when it began, and its
// standard error. Empty where the kernel does not tell. The process may write its environment as it
// likes, and could start a pinentry by itself as well: it decides where a question appears, and
// nothing else.
PromptPlace PlaceOf(pid_t pid);

// The same from the content of /proc/PID/environ; `tty`: its terminal, or empty. Values that
// are long or have control characters are passed over.
PromptPlace PlaceFrom(absl::string_view environment, absl::string_view tty);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PROMPT_PLACE_H_
