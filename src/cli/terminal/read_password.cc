#include "src/cli/terminal/read_password.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMaxPassword = 1024;

void WriteAll(int fd, const std::string& text) {
  if (write(fd, text.data(), text.size()) < 0) return;  // the question is only a courtesy
}

absl::StatusOr<Secret> ReadLine(int fd) {
  std::string line;
  absl::Cleanup wipe = [&line] { Wipe(line); };
  line.reserve(kMaxPassword + 1);  // grown nowhere, so that no copy is left behind
  char c;
  while (line.size() <= kMaxPassword) {
    ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "read from the terminal");
    if (n == 0 || c == '\n') return Secret::CopyOf(line);
    line.push_back(c);
  }
  return absl::InvalidArgumentError("the password is longer than 1024 bytes");
}

absl::StatusOr<Secret> AskOnce(int terminal, const std::string& question) {
  termios before;
  if (tcgetattr(terminal, &before) != 0) return absl::ErrnoToStatus(errno, "tcgetattr");
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  WriteAll(terminal, question);
  if (tcsetattr(terminal, TCSAFLUSH, &silent) != 0) return absl::ErrnoToStatus(errno, "tcsetattr");
  absl::Cleanup restore = [&] {
    tcsetattr(terminal, TCSAFLUSH, &before);
    WriteAll(terminal, "\n");
  };
  return ReadLine(terminal);
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
