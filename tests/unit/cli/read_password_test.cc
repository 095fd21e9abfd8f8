// SPDX-License-Identifier: Apache-2.0
// A terminal must echo again however the question for a password ends.
#include "src/cli/terminal/read_password.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <string>

namespace forekey {
namespace {

// What the program at the other end wrote, up to that text.
std::string ReadUntil(int terminal, const std::string& text) {
  std::string seen;
  char part[256];
  while (seen.find(text) == std::string::npos) {
    const ssize_t n = read(terminal, part, sizeof(part));
    if (n <= 0) break;
    seen.append(part, static_cast<size_t>(n));
  }
  return seen;
}

TEST(ReadPasswordTest, InterruptedAtAPasswordTheTerminalEchoesAgainAndTheProgramEnds) {
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGINT, SIG_DFL);
    (void)AskPassword("Password: ", /*twice=*/false);
    _exit(7);  // where it came back: not ended by the signal
  }
  EXPECT_NE(ReadUntil(terminal, "Password: ").find("Password: "), std::string::npos);
  termios now = {};
  // The question stands there a moment before the echo goes, which discards what was typed.
  do {
    ASSERT_EQ(tcgetattr(terminal, &now), 0);
  } while ((now.c_lflag & ECHO) != 0);
  ASSERT_EQ(write(terminal, "sec\x03", 4), 4);
  int status = 0;
  // The child waits for its output to be taken.
  while (waitpid(child, &status, WNOHANG) == 0) {
    pollfd ready = {terminal, POLLIN, 0};
    char part[64];
    if (poll(&ready, 1, 10) == 1 && (ready.revents & POLLIN) != 0) {
      (void)!read(terminal, part, sizeof(part));
    }
  }
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  ASSERT_EQ(tcgetattr(terminal, &now), 0);
  EXPECT_NE(now.c_lflag & ECHO, 0u) << "the person types blindly from now on";
  close(terminal);
}

}  // namespace
}  // namespace forekey
