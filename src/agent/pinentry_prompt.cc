// SPDX-License-Identifier: Apache-2.0
#include "src/agent/pinentry_prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "openssl/crypto.h"
#include "spdlog/spdlog.h"
#include "src/base/deadline.h"
#include "src/base/printable.h"
#include "src/base/status.h"

extern char** environ;

namespace forekey {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr absl::Duration kEndingTime = absl::Seconds(2);
constexpr absl::Duration kEndingPoll = absl::Milliseconds(5);
constexpr absl::Duration kCancelPoll = absl::Milliseconds(50);
constexpr size_t kMaxLine = 2048;  // of pinentry's; Assuan allows 1000 bytes
constexpr size_t kMaxOwnLine = 1000;
// Of the parts of a description, escaped: together less than a line.
constexpr size_t kMaxPart = 200;
constexpr size_t kMaxSecretName = 300;
constexpr size_t kMaxProgram = 250;
constexpr absl::string_view kCancelCode = "83886179";  // GPG_ERR_SOURCE_PINENTRY, GPG_ERR_CANCELED

absl::Status NoAnswer(absl::string_view what) {
  return DeviceFailure(DeviceError::kPinRequired,
                       absl::StrCat("nobody could be asked: pinentry ", what));
}

// One running pinentry: a socket pair is its standard input and output. Ended with the object.
class Pinentry {
 public:
  static absl::StatusOr<std::unique_ptr<Pinentry>> Start(const std::string& program,
                                                         std::vector<std::string> environment,
                                                         std::function<bool()> cancelled) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return NoAnswer("socketpair");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    // Libraries open devices without O_CLOEXEC.
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    // The agent blocks and ignores signals that a pinentry must have: it is ended by one.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::string name = program;
    char* argv[] = {name.data(), nullptr};
    std::vector<char*> variables;
    for (std::string& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, program.c_str(), &actions, &attributes, argv, variables.data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    std::unique_ptr<Pinentry> pinentry(
        new Pinentry(ends[0], error == 0 ? pid : -1, std::move(cancelled)));
    if (error != 0) return NoAnswer(absl::StrCat(program, ": ", strerror(error)));
    return pinentry;
  }
  ~Pinentry() {
    close(fd_);
    OPENSSL_cleanse(buffer_.data(), buffer_.size());
    if (pid_ < 0) return;
    // It may have a terminal to put in order first.
    kill(pid_, SIGTERM);
    for (Deadline until = Deadline::In(kEndingTime); !until.Passed(); absl::SleepFor(kEndingPoll)) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) return;
    }
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  absl::Status Send(absl::string_view line) {
    if (line.size() > kMaxOwnLine) return NoAnswer("takes no lines as long as this one");
    const std::string text = absl::StrCat(line, "\n");
    const ssize_t n = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    return n == static_cast<ssize_t>(text.size()) ? absl::OkStatus() : NoAnswer("has ended");
  }

  // Up to OK or ERR; the data lines in between are unescaped into the result.
  absl::StatusOr<Secret> Answer() {
    Secret data;
    while (true) {
      FOREKEY_ASSIGN_OR_RETURN(const Secret line, ReadLine());
      const absl::string_view text = line.view();
      if (text == "OK" || absl::StartsWith(text, "OK ")) return data;
      if (absl::StartsWith(text, "D ")) {
        FOREKEY_ASSIGN_OR_RETURN(std::string part, AssuanUnescape(text.substr(2)));
        data = Secret(std::move(part));
      } else if (absl::StartsWith(text, "ERR ")) {
        const absl::string_view code = text.substr(4, text.find(' ', 4) - 4);
        if (code == kCancelCode) return DeviceFailure(DeviceError::kCancelled, "none was given");
        return NoAnswer(absl::StrCat("says: ", text));
      }
    }
  }

 private:
  Pinentry(int fd, pid_t pid, std::function<bool()> cancelled)
      : fd_(fd), pid_(pid), cancelled_(std::move(cancelled)) {
    buffer_.reserve(kMaxLine);
  }

  absl::StatusOr<Secret> ReadLine() {
    const Deadline until = Deadline::In(kPatience);
    while (true) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        Secret line = Secret::CopyOf(absl::string_view(buffer_).substr(0, end));
        OPENSSL_cleanse(buffer_.data(), end);
        buffer_.erase(0, end + 1);
        return line;
      }
      if (buffer_.size() >= kMaxLine) return NoAnswer("talks too much");
      pollfd ready = {fd_, POLLIN, 0};
      if (cancelled_ && cancelled_()) {
        return DeviceFailure(DeviceError::kCancelled, "nobody waits for the answer any more");
      }
      const Deadline look = std::min(until, Deadline::In(kCancelPoll));
      if (until.Passed()) return NoAnswer("had no answer in two minutes");
      if (poll(&ready, 1, look.LeftMillis()) < 0 && errno != EINTR) return NoAnswer("poll");
      if ((ready.revents & (POLLIN | POLLHUP)) == 0) continue;
      char part[512];
      const ssize_t n = read(fd_, part, std::min(sizeof part, kMaxLine - buffer_.size()));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return NoAnswer("ended without an answer");
      buffer_.append(part, static_cast<size_t>(n));
      OPENSSL_cleanse(part, sizeof part);
    }
  }

  const int fd_;
  const pid_t pid_;
  const std::function<bool()> cancelled_;
  std::string buffer_;
};

// The agent's own, but for where a question appears: that is the program's, where it has a place.
std::vector<std::string> EnvironmentAt(const PromptPlace& place) {
  constexpr absl::string_view kOfThePlace[] = {
      "DISPLAY=", "WAYLAND_DISPLAY=", "XAUTHORITY=", "GPG_TTY=", "TERM="};
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const absl::string_view text(*variable);
    const bool other = !place.empty() && std::any_of(std::begin(kOfThePlace), std::end(kOfThePlace),
                                                     [text](absl::string_view name) {
                                                       return absl::StartsWith(text, name);
                                                     });
    if (!other) environment.emplace_back(text);
  }
  const auto add = [&environment](absl::string_view name, const std::string& value) {
    if (!value.empty()) environment.push_back(absl::StrCat(name, value));
  };
  add("DISPLAY=", place.display);
  add("WAYLAND_DISPLAY=", place.wayland_display);
  add("XAUTHORITY=", place.xauthority);
  add("GPG_TTY=", place.tty);
  add("TERM=", place.term);
  return environment;
}

// Where the agent itself was started.
PromptPlace OwnPlace() {
  const auto of = [](const char* name) {
    const char* value = getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  PromptPlace place{of("DISPLAY"), of("WAYLAND_DISPLAY"), of("XAUTHORITY"), of("GPG_TTY"),
                    of("TERM")};
  if (place.tty.empty()) place.term.clear();
  return place;
}

class PinentryPrompt final : public Prompt {
 public:
  PinentryPrompt(std::string program, PromptContext context)
      : program_(std::move(program)), context_(std::move(context)) {}

  absl::StatusOr<Secret> AskPin(absl::string_view device, int tries_left) override {
    std::string what = absl::StrCat("The PIN of ", Part(device, kMaxPart));
    if (tries_left >= 0) absl::StrAppend(&what, " (", tries_left, " tries are left)");
    return Ask(what, "PIN:");
  }
  absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
    return Ask(absl::StrCat("Enter ", Part(whose, kMaxSecretName)), "Password:");
  }
  void ShowTouch(absl::string_view device) override {
    spdlog::info("touch {} now, {}", Shown(device), Why());
  }
  void HideTouch() override {}

 private:
  static std::string Part(absl::string_view text, size_t most) {
    return AssuanFitted(Shown(text), most);
  }
  // "to open a session at gate.example, for /usr/bin/orders (process 4711)"
  std::string Why() const {
    return absl::StrCat(Part(context_.purpose, kMaxPart), " at ", Part(context_.gate, kMaxPart),
                        context_.program.empty() ? "" : ", for ",
                        Part(context_.program, kMaxProgram));
  }

  absl::StatusOr<Secret> Ask(absl::string_view what, absl::string_view prompt) {
    FOREKEY_ASSIGN_OR_RETURN(
        std::unique_ptr<Pinentry> pinentry,
        Pinentry::Start(program_, EnvironmentAt(context_.place), context_.cancelled));
    FOREKEY_RETURN_IF_ERROR(pinentry->Answer().status());  // its greeting
    const std::string description = absl::StrCat(what, "\n", Why());
    std::vector<std::string> lines;
    const PromptPlace place = context_.place.empty() ? OwnPlace() : context_.place;
    for (const auto& [option, value] :
         {std::pair("OPTION ttytype=", place.term), std::pair("OPTION ttyname=", place.tty)}) {
      if (value.empty()) continue;
      std::string line = absl::StrCat(option, AssuanEscape(value));
      if (line.size() <= kMaxOwnLine) lines.push_back(std::move(line));
    }
    lines.push_back(absl::StrCat("SETDESC ", AssuanEscape(description)));
    lines.push_back(absl::StrCat("SETPROMPT ", prompt));
    lines.push_back("SETTIMEOUT 110");
    for (const std::string& line : lines) {
      FOREKEY_RETURN_IF_ERROR(pinentry->Send(line));
      FOREKEY_RETURN_IF_ERROR(pinentry->Answer().status());
    }
    FOREKEY_RETURN_IF_ERROR(pinentry->Send("GETPIN"));
    FOREKEY_ASSIGN_OR_RETURN(Secret answer, pinentry->Answer());
    // An empty answer would cost one of the token's tries.
    if (answer.empty()) return DeviceFailure(DeviceError::kCancelled, "an empty answer was given");
    return answer;
  }

  const std::string program_;
  const PromptContext context_;
};

class PinentryPrompter final : public Prompter {
 public:
  explicit PinentryPrompter(std::string program) : program_(std::move(program)) {}
  std::unique_ptr<Prompt> For(PromptContext context) override {
    if (program_ != kAnyPinentry) {
      return std::make_unique<PinentryPrompt>(program_, std::move(context));
    }
    // The system's asks where it can, and nobody is there where it could not.
    if (context.place.empty() && OwnPlace().empty()) return nullptr;
    return std::make_unique<PinentryPrompt>("pinentry", std::move(context));
  }

 private:
  const std::string program_;
};

}  // namespace

std::unique_ptr<Prompter> NewPinentryPrompter(const std::string& program) {
  return program.empty() ? nullptr : std::make_unique<PinentryPrompter>(program);
}

std::string AssuanEscape(absl::string_view text) {
  std::string escaped;
  for (unsigned char c : text) {
    if (c == '%' || absl::ascii_iscntrl(c)) {
      absl::StrAppendFormat(&escaped, "%%%02X", c);
    } else {
      escaped.push_back(static_cast<char>(c));
    }
  }
  return escaped;
}

std::string AssuanFitted(absl::string_view text, size_t most) {
  if (AssuanEscape(text).size() <= most) return std::string(text);
  constexpr absl::string_view kGap = "...";
  const auto inner = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  size_t left = most - kGap.size();
  // A third for the beginning: as many whole characters as fit.
  size_t head = 0;
  for (size_t next = 0; next < text.size(); head = next) {
    do ++next;
    while (next < text.size() && inner(text[next]));
    if (AssuanEscape(text.substr(0, next)).size() > left / 3) break;
  }
  left -= AssuanEscape(text.substr(0, head)).size();
  size_t tail = text.size();
  for (size_t next = tail; next > head; tail = next) {
    do --next;
    while (next > head && inner(text[next]));
    if (AssuanEscape(text.substr(next)).size() > left) break;
  }
  return absl::StrCat(text.substr(0, head), kGap, text.substr(tail));
}

absl::StatusOr<std::string> AssuanUnescape(absl::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      return absl::InvalidArgumentError("a percent sign without two hex digits");
    }
    plain += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return plain;
}

}  // namespace forekey
