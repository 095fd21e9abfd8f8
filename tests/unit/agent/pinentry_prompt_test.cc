// SPDX-License-Identifier: Apache-2.0
// The agent's side of Assuan, against programs that answer as pinentry does, and as it must not.
#include "src/agent/pinentry_prompt.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/file.h"
#include "src/base/printable.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PinentryPromptTest : public ::testing::Test {
 protected:
  PinentryPromptTest() {
    folder_ = ::testing::TempDir() + "/pinentry.XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~PinentryPromptTest() override { std::filesystem::remove_all(folder_); }

  // Greets, writes down what it is told, and answers `at_getpin` to GETPIN.
  std::unique_ptr<Prompt> Answering(const std::string& at_getpin) {
    return Program(
        absl::StrCat("echo 'OK Pleased to meet you'\n"
                     "while IFS= read -r line; do\n"
                     "  printf '%s\\n' \"$line\" >>",
                     folder_,
                     "/heard\n"
                     "  case $line in\n"
                     "    GETPIN) ",
                     at_getpin,
                     " ;;\n"
                     "    *) echo OK ;;\n"
                     "  esac\n"
                     "done\n"));
  }
  std::unique_ptr<Prompt> Program(const std::string& script) {
    const std::string path = folder_ + "/pinentry";
    std::ofstream(path) << "#!/bin/sh\n" << script;
    EXPECT_EQ(chmod(path.c_str(), 0700), 0);
    prompters_.push_back(NewPinentryPrompter(path));
    return prompters_.back()->For(context_);
  }
  std::string Heard() { return ReadFile(folder_ + "/heard").value_or(""); }
  static std::string TextOf(const absl::StatusOr<Secret>& secret) {
    return secret.ok() ? std::string(secret->view()) : secret.status().ToString();
  }

  std::string folder_;
  PromptContext context_{"gate.example", "to open a session", "/usr/bin/orders (process 4711)",
                         nullptr};
  std::vector<std::unique_ptr<Prompter>> prompters_;
};

TEST_F(PinentryPromptTest, ReturnsThePinUnescapedAndTellsTheTriesThatAreLeft) {
  auto prompt = Answering("echo 'D 12%2534%0A'; echo OK");
  EXPECT_EQ(TextOf(prompt->AskPin("a card\nSETPROMPT evil", 3)), "12%34\n");
  EXPECT_THAT(Heard(), HasSubstr("3 tries are left"));
  EXPECT_THAT(Heard(), HasSubstr("SETPROMPT PIN:"));
  EXPECT_THAT(Heard(), HasSubstr("a card\\x0aSETPROMPT evil"))
      << "what a token calls itself is no command";
}

// As gpg-agent does it: the question appears where the program's person sits.
TEST_F(PinentryPromptTest, AsksAtTheDisplayOrTheTerminalOfTheProgram) {
  const std::string seen = folder_ + "/seen";
  const std::string script = absl::StrCat(
      "echo \"display $DISPLAY wayland $WAYLAND_DISPLAY auth $XAUTHORITY tty $GPG_TTY "
      "term $TERM\" >",
      seen, "\necho 'OK hello'\nwhile IFS= read -r line; do printf '%s\\n' \"$line\" >>", seen,
      "\ncase $line in GETPIN) echo 'D 1'; echo OK ;; *) echo OK ;; esac\ndone\n");
  setenv("DISPLAY", ":99", 1);
  context_.place = {.display = ":7", .xauthority = "/home/ada/.Xauthority"};
  EXPECT_EQ(TextOf(Program(script)->AskPin("a card", -1)), "1");
  EXPECT_THAT(ReadFile(seen).value_or(""),
              HasSubstr("display :7 wayland  auth /home/ada/.Xauthority tty  term \n"));
  context_.place = {.tty = "/dev/pts/7", .term = "xterm"};
  EXPECT_EQ(TextOf(Program(script)->AskPin("a card", -1)), "1");
  const std::string at_terminal = ReadFile(seen).value_or("");
  EXPECT_THAT(at_terminal, HasSubstr("display  wayland  auth  tty /dev/pts/7 term xterm\n"));
  EXPECT_THAT(at_terminal, HasSubstr("OPTION ttyname=/dev/pts/7\n"));
  EXPECT_THAT(at_terminal, HasSubstr("OPTION ttytype=xterm\n"));
  // A daemon has none: where the agent is.
  context_.place = {};
  EXPECT_EQ(TextOf(Program(script)->AskPin("a card", -1)), "1");
  EXPECT_THAT(ReadFile(seen).value_or(""), HasSubstr("display :99 "));
  unsetenv("DISPLAY");
}

TEST_F(PinentryPromptTest, TheSystemsIsForWhoHasAPlaceAlone) {
  for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY"}) unsetenv(name);
  const auto prompter = NewPinentryPrompter(std::string(kAnyPinentry));
  EXPECT_EQ(prompter->For(context_), nullptr) << "nobody can be asked, and drivers are to know it";
  context_.place = {.tty = "/dev/pts/7"};
  EXPECT_NE(prompter->For(context_), nullptr);
}

TEST_F(PinentryPromptTest, AsksForOtherSecretsByTheirName) {
  auto prompt = Answering("echo 'D open sesame'; echo OK");
  EXPECT_EQ(TextOf(prompt->AskSecret("the password of ada at gate.example")), "open sesame");
  EXPECT_THAT(Heard(), HasSubstr("SETDESC Enter the password of ada at gate.example"));
  EXPECT_THAT(Heard(), Not(HasSubstr("SETPROMPT PIN")));
}

// An empty PIN would be sent to the token, and cost one of its tries.
TEST_F(PinentryPromptTest, AnEmptyAnswerIsNoAnswer) {
  const absl::Status status = Answering("echo OK")->AskPin("a card", -1).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kCancelled) << status;
  EXPECT_THAT(Heard(), Not(HasSubstr("tries")));
}

TEST_F(PinentryPromptTest, NamesTokenGatePurposeAndProgram) {
  EXPECT_EQ(TextOf(Answering("echo 'D 1234'; echo OK")->AskPin("YubiKey 5 (serial 77)", 8)),
            "1234");
  EXPECT_THAT(Heard(), HasSubstr("YubiKey 5 (serial 77)"));
  EXPECT_THAT(Heard(), HasSubstr("to open a session at gate.example"));
  EXPECT_THAT(Heard(), HasSubstr("/usr/bin/orders (process 4711)"));
}

// Assuan's lines have at most 1000 bytes: a pinentry may refuse a longer one, or cut it anywhere.
TEST_F(PinentryPromptTest, LongNamesAreShortenedSoThatAPersonCanStillReadThem) {
  context_.gate = std::string(200, 'g') + ".example";
  context_.purpose = "to sign a call of /" + std::string(900, '%') + "/Delete";
  context_.program = "/home/" + std::string(3000, 'x') + "/bin/orders (process 4711)";
  EXPECT_EQ(TextOf(Answering("echo 'D 1234'; echo OK")->AskPin(std::string(900, '\x01'), 3)),
            "1234");
  for (absl::string_view part : {"3 tries are left", "to sign a call of /", "/Delete at ",
                                 ".example, for /home/", "/bin/orders (process 4711)"}) {
    EXPECT_THAT(Heard(), HasSubstr(std::string(part)));
  }
  for (absl::string_view line : absl::StrSplit(Heard(), '\n')) {
    EXPECT_LE(line.size(), 1000u);
    EXPECT_TRUE(AssuanUnescape(line).ok()) << line;
  }
}

// The dialog stays open for as long as somebody waits, not for two minutes.
TEST_F(PinentryPromptTest, AQuestionThatNobodyWaitsForAnyMoreEnds) {
  context_.cancelled = [this] { return Heard().find("GETPIN") != std::string::npos; };
  const absl::Status status = Answering("read -r never")->AskPin("a card", 3).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kCancelled) << status;
}

TEST_F(PinentryPromptTest, WhoCancelsGivesUpAndAllElseIsNobodyToAsk) {
  EXPECT_EQ(DeviceErrorOf(Answering("echo 'ERR 83886179 Operation cancelled <Pinentry>'")
                              ->AskPin("a card", -1)
                              .status()),
            DeviceError::kCancelled);
  const struct {
    std::string script;
    const char* says;
  } bad[] = {
      {"echo 'OK hello'; echo 'ERR 83886142 Timeout <Pinentry>'; cat >/dev/null", "Timeout"},
      {"exit 3", "ended without an answer"},
      {"head -c 5000 /dev/zero | tr '\\0' x; cat >/dev/null", "talks too much"},
      {"echo 'OK hello'; echo 'D 1%2'; echo OK; cat >/dev/null", "percent sign"},
  };
  for (const auto& [script, says] : bad) {
    const absl::Status status = Program(script)->AskPin("a card", -1).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(says)) << script;
    EXPECT_FALSE(status.ok());
  }
  const absl::Status missing =
      NewPinentryPrompter(folder_ + "/none")->For(context_)->AskPin("a card", -1).status();
  EXPECT_EQ(DeviceErrorOf(missing), DeviceError::kPinRequired);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("No such file"));
  EXPECT_EQ(NewPinentryPrompter(""), nullptr);
}

// The agent's threads block SIGTERM, which a pinentry must not inherit; nor what the agent has
// open.
TEST_F(PinentryPromptTest, WhatAnswersNoMoreIsEndedAndInheritsNothing) {
  sigset_t terminate, before;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &terminate, &before), 0);
  const int open_here = open("/dev/null", O_RDONLY);  // as libraries do, without O_CLOEXEC
  const std::string fds = folder_ + "/fds";
  const absl::Status status = Program(absl::StrCat("ls /proc/$$/fd > ", fds,
                                                   "\n"
                                                   "head -c 5000 /dev/zero | tr '\\0' x\n"
                                                   "exec sleep 600\n"))
                                  ->AskPin("a card", -1)
                                  .status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("talks too much"));
  EXPECT_THAT(ReadFile(fds).value_or(""), Not(HasSubstr(absl::StrCat("\n", open_here, "\n"))));
  close(open_here);
  EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
}

TEST_F(PinentryPromptTest, OneThatDoesNotWantToEndIsKilled) {
  const absl::Status status = Program(
                                  "trap '' TERM\n"
                                  "head -c 5000 /dev/zero | tr '\\0' x\n"
                                  "exec sleep 600\n")  // it ignores what the shell ignored
                                  ->AskPin("a card", -1)
                                  .status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("talks too much"));
}

TEST(AssuanTest, EscapesWhatMayNotStandInALineAndRefusesHalfAnEscape) {
  EXPECT_EQ(AssuanEscape("100%\r\n\x01"), "100%25%0D%0A%01");
  EXPECT_EQ(AssuanUnescape("100%25%0d%0A").value(), "100%\r\n");
  for (const char* bad : {"%", "%2", "x%2", "%zz", "%2x"})
    EXPECT_FALSE(AssuanUnescape(bad).ok()) << bad;
}

TEST(AssuanTest, ShortensInTheMiddleAndKeepsCharactersWhole) {
  EXPECT_EQ(AssuanFitted("short", 20), "short");
  EXPECT_EQ(AssuanFitted("01234567890123456789x", 20), "01234...90123456789x");
  const std::string wide = absl::StrCat(std::string(40, '%'), "\xc3\xa4\xe2\x82\xac", "%%%");
  for (size_t most = 20; most < 140; ++most) {
    const std::string fitted = AssuanFitted(wide, most);
    EXPECT_LE(AssuanEscape(fitted).size(), most);
    EXPECT_TRUE(IsPrintable(fitted)) << fitted;
  }
}

}  // namespace
}  // namespace forekey
