// SPDX-License-Identifier: Apache-2.0
#include "src/agent/pinentry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hw/device_key.h"
#include "openssl/crypto.h"
#include "src/agent/assuan.h"
#include "src/agent/child_program.h"
#include "src/agent/prompt_place.h"
#include "src/base/deadline.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr absl::Duration kEndingTime = absl::Seconds(2);
constexpr absl::Duration kEndingPoll = absl::Milliseconds(5);
constexpr absl::Duration kCancelPoll = absl::Milliseconds(50);
constexpr size_t kMaxLine = 2048;  // of pinentry's; Assuan allows 1000 bytes
constexpr size_t kMaxOwnLine = 1000;

// Of libgpg-error: GPG_ERR_SOURCE_PINENTRY (5 << 24) and the error.
constexpr absl::string_view kCancelCode = "83886179";      // GPG_ERR_CANCELED
constexpr absl::string_view kTooSmallCode = "83886381";    // GPG_ERR_WINDOW_TOO_SMALL
constexpr absl::string_view kNoTerminalCode = "83918950";  // GPG_ERR_ENOTTY
// Where it failed, as its status lines say it: initscr() and newterm() do not tell a terminal that
// they do not know from one that is too small.
constexpr absl::string_view kStatusOfCurses = "S ERROR ";
constexpr absl::string_view kBeginningOfCurses = ".curses_init ";

absl::StatusOr<pid_t> Spawn(const std::string& program, std::vector<std::string> environment,
                            int its_end) {
  pid_t pid = -1;
  const int error = StartChild({.arguments = {program},
                                .environment = std::move(environment),
                                .in = its_end,
                                .out = its_end},
                               &pid);
  if (error == 0) return pid;
  return NoAnswer(absl::StrCat(
      "can't be started as '", program, "': ", strerror(error),
      error == ENOENT ? " (install pinentry-curses for terminals, pinentry-gnome3 or pinentry-qt "
                        "for desktops)"
                      : ""));
}

}  // namespace

absl::Status NoAnswer(absl::string_view what) {
  return DeviceFailure(DeviceError::kPinRequired,
                       absl::StrCat("nobody could be asked: pinentry ", what));
}

absl::StatusOr<std::unique_ptr<Pinentry>> Pinentry::Start(Options options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return NoAnswer("socketpair");
  const absl::StatusOr<pid_t> pid = Spawn(options.program, std::move(options.environment), ends[1]);
  close(ends[1]);
  std::unique_ptr<Pinentry> pinentry(new Pinentry(ends[0], pid.value_or(-1), std::move(options)));
  if (!pid.ok()) return pid.status();
  return pinentry;
}

Pinentry::Pinentry(int fd, pid_t pid, Options options)
    : fd_(fd), pid_(pid), options_(std::move(options)) {
  buffer_.reserve(kMaxLine);
}

Pinentry::~Pinentry() {
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

absl::StatusOr<Secret> Pinentry::Do(absl::string_view line) {
  FOREKEY_RETURN_IF_ERROR(Send(line));
  return Answer();
}

absl::Status Pinentry::Send(absl::string_view line) {
  if (line.size() > kMaxOwnLine) return NoAnswer("takes no lines as long as this one");
  const std::string text = absl::StrCat(line, "\n");
  const ssize_t n = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
  return n == static_cast<ssize_t>(text.size()) ? absl::OkStatus() : NoAnswer("has ended");
}

// Up to OK or ERR; the data lines in between are unescaped into the result.
absl::StatusOr<Secret> Pinentry::Answer() {
  Secret data;
  terminal_unknown_ = false;
  while (true) {
    FOREKEY_ASSIGN_OR_RETURN(const Secret line, ReadLine());
    const absl::string_view text = line.view();
    if (text == "OK" || absl::StartsWith(text, "OK ")) return data;
    if (absl::StartsWith(text, "D ")) {
      FOREKEY_ASSIGN_OR_RETURN(std::string part, AssuanUnescape(text.substr(2)));
      data = Secret(std::move(part));
    } else if (absl::StartsWith(text, kStatusOfCurses)) {
      terminal_unknown_ = absl::StrContains(text, kBeginningOfCurses);
    } else if (absl::StartsWith(text, "ERR ")) {
      return Refusal(text);
    }
  }
}

absl::Status Pinentry::Refusal(absl::string_view error) const {
  const absl::string_view code = error.substr(4, error.find(' ', 4) - 4);
  if (code == kCancelCode) return DeviceFailure(DeviceError::kCancelled, "none was given");
  absl::string_view advice;
  if (code == kNoTerminalCode) {
    advice =
        " (it asks on terminals alone, and there is none: for desktops install pinentry-gnome3 or "
        "pinentry-qt)";
  } else if (code == kTooSmallCode && !terminal_unknown_) {
    advice = " (make the terminal's window larger)";
  }
  return NoAnswer(absl::StrCat("says: ", error, advice));
}

absl::StatusOr<Secret> Pinentry::ReadLine() {
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
    if (options_.cancelled && options_.cancelled()) {
      return DeviceFailure(DeviceError::kCancelled, "nobody waits for the answer any more");
    }
    // Curses reads on from a terminal that has gone, as fast as it can.
    if (!options_.tty.empty() && !IsTerminal(options_.tty)) {
      return NoAnswer(absl::StrCat("has lost its terminal, ", options_.tty));
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

}  // namespace forekey
