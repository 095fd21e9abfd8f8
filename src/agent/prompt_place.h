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
  std::string characters;       // LC_ALL, LC_CTYPE or LANG, the first that is set

  bool has_display() const { return !display.empty() || !wayland_display.empty(); }
  bool empty() const { return !has_display() && tty.empty(); }
};

// Of a running process of this user's, from its environment as it was when it began, and its
// standard error. Empty where the kernel does not tell. The process may write its environment as it
// likes, and could start a pinentry by itself as well: it decides where a question appears, and
// nothing else.
PromptPlace PlaceOf(pid_t pid);

// The same from the content of /proc/PID/environ; `tty`: its terminal, or empty. Values that
// are long or have control characters are passed over, and a terminal that has no cursor to move
// (TERM=dumb) is none to ask at.
PromptPlace PlaceFrom(absl::string_view environment, absl::string_view tty);

// Whether there is a terminal of that name that this user may open.
bool IsTerminal(const std::string& tty);
// `place` without its terminal, where that has gone.
PromptPlace StillThere(PromptPlace place);

// For setlocale(): the place's locale where this machine has it and it says more than "C", else
// UTF-8's, which terminals and desktops have today.
std::string CharactersAt(const PromptPlace& place);

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_PROMPT_PLACE_H_
