// SPDX-License-Identifier: Apache-2.0
#include "src/agent/prompt_place.h"

#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace forekey {
namespace {

constexpr size_t kMostEnvironment = 256 * 1024;
constexpr size_t kMostValue = 256;
constexpr absl::string_view kDumb = "dumb";
constexpr absl::string_view kUtf8 = "C.UTF-8";

bool IsUsable(absl::string_view value) {
  return !value.empty() && value.size() <= kMostValue &&
         std::none_of(value.begin(), value.end(),
                      [](unsigned char c) { return absl::ascii_iscntrl(c); });
}

std::string ReadSome(const std::string& path) {
  std::string content;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return content;
  char part[4096];
  ssize_t n;
  while (content.size() < kMostEnvironment && (n = read(fd, part, sizeof(part))) > 0) {
    content.append(part, static_cast<size_t>(n));
  }
  close(fd);
  return content;
}

// Standard error alone: a program of a script has the terminal as its input, and nobody to look.
std::string TerminalOf(pid_t pid) {
  char path[PATH_MAX];
  const ssize_t length =
      readlink(absl::StrCat("/proc/", pid, "/fd/", STDERR_FILENO).c_str(), path, sizeof(path));
  const absl::string_view name(path, length < 0 ? 0 : static_cast<size_t>(length));
  const bool terminal =
      absl::StartsWith(name, "/dev/pts/") ||
      (absl::StartsWith(name, "/dev/tty") && name.size() > sizeof("/dev/tty") - 1);
  return terminal ? std::string(name) : "";
}

}  // namespace

PromptPlace PlaceFrom(absl::string_view environment, absl::string_view tty) {
  PromptPlace place;
  std::string all, characters, language;
  if (IsUsable(tty)) place.tty = std::string(tty);
  const std::pair<absl::string_view, std::string*> wanted[] = {
      {"DISPLAY=", &place.display},
      {"WAYLAND_DISPLAY=", &place.wayland_display},
      {"XAUTHORITY=", &place.xauthority},
      {"TERM=", &place.term},
      {"LC_ALL=", &all},
      {"LC_CTYPE=", &characters},
      {"LANG=", &language}};
  for (absl::string_view entry : absl::StrSplit(environment, '\0')) {
    for (const auto& [name, value] : wanted) {
      if (!absl::StartsWith(entry, name)) continue;
      const absl::string_view text = entry.substr(name.size());
      if (value->empty() && IsUsable(text)) *value = std::string(text);
    }
  }
  place.characters = !all.empty() ? all : !characters.empty() ? characters : language;
  if (place.term == kDumb) place.tty.clear();
  if (place.tty.empty()) place.term.clear();
  if (place.display.empty()) place.xauthority.clear();
  return place;
}

PromptPlace PlaceOf(pid_t pid) {
  if (pid <= 0) return {};
  return PlaceFrom(ReadSome(absl::StrCat("/proc/", pid, "/environ")), TerminalOf(pid));
}

bool IsTerminal(const std::string& tty) {
  struct stat seen;
  return stat(tty.c_str(), &seen) == 0 && S_ISCHR(seen.st_mode) &&
         access(tty.c_str(), R_OK | W_OK) == 0;
}

PromptPlace StillThere(PromptPlace place) {
  if (!place.tty.empty() && !IsTerminal(place.tty)) {
    place.tty.clear();
    place.term.clear();
  }
  return place;
}

std::string CharactersAt(const PromptPlace& place) {
  if (place.characters.empty() || place.characters == "C" || place.characters == "POSIX") {
    return std::string(kUtf8);
  }
  const locale_t known = newlocale(LC_CTYPE_MASK, place.characters.c_str(), nullptr);
  if (known == nullptr) return std::string(kUtf8);
  freelocale(known);
  return place.characters;
}

}  // namespace forekey
