// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/read_password.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMaxPassword = 1024;
// The signal that came while a password was asked for, and what it wakes: it may be another thread
// that takes it.
volatile sig_atomic_t taken = 0;
volatile sig_atomic_t wake = -1;

void NoteSignal(int signal) {
  const int error = errno;
  taken = signal;
  const uint64_t one = 1;
  (void)!write(wake, &one, sizeof(one));
  errno = error;
}

void WriteAll(int fd, const std::string& text) {
  if (write(fd, text.data(), text.size()) < 0) return;  // the question is only a courtesy
}

// `woken`: readable when a signal came; -1: none is waited for.
absl::StatusOr<Secret> ReadLine(int fd, int woken = -1) {
  std::string line;
  absl::Cleanup wipe = [&line] { Wipe(line); };
  line.reserve(kMaxPassword + 1);  // grown nowhere, so that no copy is left behind
  char c;
  while (line.size() <= kMaxPassword) {
    pollfd ready[] = {{fd, POLLIN, 0}, {woken, POLLIN, 0}};
    if (woken >= 0 && poll(ready, 2, -1) < 0 && errno != EINTR) {
      return absl::ErrnoToStatus(errno, "poll the terminal");
    }
    if (taken != 0) return absl::CancelledError("interrupted");
    if (woken >= 0 && ready[0].revents == 0) continue;
    ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "read from the terminal");
    if (n == 0 || c == '\n') return Secret::CopyOf(line);
    line.push_back(c);
  }
  return absl::InvalidArgumentError("the password is longer than 1024 bytes");
}

// While it lives, the terminal does not echo. ^C and the like end the program only after the
// terminal was put in order: the person would not see what they type afterwards.
class SilentTerminal {
 public:
  static absl::StatusOr<std::unique_ptr<SilentTerminal>> New(int terminal) {
    std::unique_ptr<SilentTerminal> silent(new SilentTerminal(terminal));
    if (tcgetattr(terminal, &silent->before_) != 0) return absl::ErrnoToStatus(errno, "tcgetattr");
    termios mute = silent->before_;
    mute.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent->woken_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (silent->woken_ < 0) return absl::ErrnoToStatus(errno, "eventfd");
    wake = silent->woken_;
    for (size_t i = 0; i < kSignals.size(); ++i) {
      struct sigaction note = {};
      note.sa_handler = NoteSignal;
      sigaction(kSignals[i], &note, &silent->handlers_[i]);
    }
    if (tcsetattr(terminal, TCSAFLUSH, &mute) != 0) return absl::ErrnoToStatus(errno, "tcsetattr");
    return silent;
  }
  ~SilentTerminal() {
    if (woken_ < 0) return;
    tcsetattr(terminal_, TCSAFLUSH, &before_);
    WriteAll(terminal_, "\n");
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &handlers_[i], nullptr);
    const int signal = taken;
    taken = 0;
    wake = -1;
    close(woken_);
    if (signal != 0) raise(signal);
  }
  int woken() const { return woken_; }

 private:
  explicit SilentTerminal(int terminal) : terminal_(terminal) {}
  static constexpr std::array<int, 5> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

  const int terminal_;
  int woken_ = -1;
  termios before_ = {};
  std::array<struct sigaction, kSignals.size()> handlers_ = {};
};

absl::StatusOr<Secret> AskOnce(int terminal, const std::string& question) {
  WriteAll(terminal, question);
  FOREKEY_ASSIGN_OR_RETURN(const auto silent, SilentTerminal::New(terminal));
  return ReadLine(terminal, silent->woken());
}

}  // namespace

absl::StatusOr<Secret> AskPassword(const std::string& question, bool twice) {
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (terminal < 0) {
    return absl::FailedPreconditionError("there is no terminal to ask for the password on");
  }
  absl::Cleanup close_terminal = [terminal] { close(terminal); };
  FOREKEY_ASSIGN_OR_RETURN(Secret password, AskOnce(terminal, question));
  if (password.empty()) return absl::InvalidArgumentError("the password is empty");
  if (twice) {
    FOREKEY_ASSIGN_OR_RETURN(Secret again, AskOnce(terminal, "Once more: "));
    if (!ConstantTimeEqual(password.view(), again.view())) {
      return absl::InvalidArgumentError("the two passwords differ");
    }
  }
  return password;
}

absl::StatusOr<Secret> ReadNewPassword() {
  if (isatty(STDIN_FILENO)) return AskPassword("New password: ", /*twice=*/true);
  return ReadLine(STDIN_FILENO);
}

}  // namespace forekey
