// SPDX-License-Identifier: Apache-2.0
// The agent's side of Assuan, against programs that answer as pinentry does, and as it must not.
#include "src/agent/pinentry_prompt.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/agent/assuan.h"
#include "src/agent/person_memory.h"
#include "src/base/file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A terminal that nobody reads from.
class Terminal {
 public:
  Terminal() {
    char name[64];
    EXPECT_EQ(openpty(&ours_, &theirs_, name, nullptr, nullptr), 0);
    name_ = name;
  }
  ~Terminal() { Vanish(); }
  const std::string& name() const { return name_; }
  void Vanish() {
    for (int* end : {&ours_, &theirs_}) {
      if (*end >= 0) close(std::exchange(*end, -1));
    }
  }

 private:
  int ours_ = -1, theirs_ = -1;
  std::string name_;
};

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
      "term $TERM bus $DBUS_SESSION_BUS_ADDRESS session $XDG_SESSION_TYPE\" >",
      seen, "\necho 'OK hello'\nwhile IFS= read -r line; do printf '%s\\n' \"$line\" >>", seen,
      "\ncase $line in GETPIN) echo 'D 1'; echo OK ;; *) echo OK ;; esac\ndone\n");
  const auto asked_at = [&](PromptPlace place) {
    context_.place = std::move(place);
    EXPECT_EQ(TextOf(Program(script)->AskPin("a card", -1)), "1");
    return ReadFile(seen).value_or("");
  };
  setenv("DISPLAY", ":99", 1);
  setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/bus", 1);
  setenv("XDG_SESSION_TYPE", "wayland", 1);  // of the agent's desktop, on which Qt would ask
  EXPECT_THAT(asked_at({.display = ":7", .xauthority = "/home/ada/.Xauthority"}),
              HasSubstr("display :7 wayland  auth /home/ada/.Xauthority tty  term  "
                        "bus unix:path=/run/bus session \n"));
  // Without it Qt would look for X alone, and crash.
  EXPECT_THAT(asked_at({.wayland_display = "wayland-1"}),
              HasSubstr("display  wayland wayland-1 auth  tty  term  "
                        "bus unix:path=/run/bus session wayland\n"));
  Terminal terminal;
  const std::string at_terminal = asked_at({.tty = terminal.name(), .term = "xterm"});
  EXPECT_THAT(at_terminal, HasSubstr(absl::StrCat("display  wayland  auth  tty ", terminal.name(),
                                                  " term xterm bus  session \n")))
      << "the desktop of that bus is another place";
  EXPECT_THAT(at_terminal, HasSubstr(absl::StrCat("OPTION ttyname=", terminal.name(), "\n")));
  EXPECT_THAT(at_terminal, HasSubstr("OPTION ttytype=xterm\n"));
  EXPECT_THAT(at_terminal, HasSubstr("OPTION lc-ctype=C.UTF-8\n"));
  // A daemon has none, and the window of what was started with nohup is gone: where the agent is.
  EXPECT_THAT(asked_at({}), HasSubstr("display :99 "));
  terminal.Vanish();
  const std::string without = asked_at({.tty = terminal.name(), .term = "xterm"});
  EXPECT_THAT(without, HasSubstr("display :99 "));
  EXPECT_THAT(without, Not(HasSubstr("ttyname")));
  for (const char* name : {"DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_SESSION_TYPE"}) {
    unsetenv(name);
  }
}

TEST_F(PinentryPromptTest, TheSystemsIsForWhoHasAPlaceAlone) {
  for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY"}) unsetenv(name);
  const auto prompter = NewPinentryPrompter(std::string(kAnyPinentry));
  EXPECT_EQ(prompter->For(context_), nullptr) << "nobody can be asked, and drivers are to know it";
  Terminal terminal;
  context_.place = {.tty = terminal.name()};
  EXPECT_NE(prompter->For(context_), nullptr);
  terminal.Vanish();
  EXPECT_EQ(prompter->For(context_), nullptr) << "the window was closed";
}

TEST_F(PinentryPromptTest, AKindOfTerminalThatItDoesNotKnowIsTakenForAUsualOne) {
  Terminal terminal;
  context_.place = {.tty = terminal.name(), .term = "brand-new"};
  const std::string unknown =
      "echo 'S ERROR curses.curses_init 83886381 '; echo 'ERR 83886381 Screen or window too small'";
  auto prompt = Answering(absl::StrCat("if grep -q vt100 ", folder_,
                                       "/heard; then echo 'D 1'; echo OK; else ", unknown, "; fi"));
  EXPECT_EQ(TextOf(prompt->AskPin("a card", -1)), "1");
  // One that it does not know either is the end of it.
  const absl::Status status = Answering(unknown)->AskPin("a card", -1).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kPinRequired) << status;
}

// Curses would read on from it for two minutes, as fast as it can.
TEST_F(PinentryPromptTest, AQuestionEndsWithItsTerminal) {
  Terminal terminal;
  context_.place = {.tty = terminal.name(), .term = "xterm"};
  context_.cancelled = [this, &terminal] {
    if (Heard().find("GETPIN") != std::string::npos) terminal.Vanish();
    return false;
  };
  const absl::Status status = Answering("read -r never")->AskPin("a card", 3).status();
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kPinRequired) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("has lost its terminal, /dev/pts/"));
}

// What is typed for one token must not reach the other.
TEST_F(PinentryPromptTest, OnePersonIsAskedOneThingAtATime) {
  const std::string running = folder_ + "/running";
  // `mkdir` fails where another question is open.
  const std::string path = folder_ + "/one-at-a-time";
  std::ofstream(path) << "#!/bin/sh\nmkdir " << running << " || exit 1\ntrap 'exit 0' TERM\n"
                      << "trap 'rmdir " << running << "' EXIT\necho 'OK hello'\n"
                      << "while IFS= read -r line; do\n"
                      << "case $line in GETPIN) echo 'D 1'; echo OK ;; *) echo OK ;; esac\ndone\n";
  ASSERT_EQ(chmod(path.c_str(), 0700), 0);
  const auto prompter = NewPinentryPrompter(path);
  Terminal terminal;
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    PromptContext context = context_;
    context.place = {.tty = terminal.name(), .term = "xterm"};
    if (i % 2 == 0) context.place.display = ":7";  // the terminal is the same one
    callers.emplace_back([&prompter, context] {
      EXPECT_EQ(TextOf(prompter->For(context)->AskPin("a card", -1)), "1");
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(PinentryPromptTest, WhoWaitedForTheirTurnAsksWhetherTheyStillMay) {
  Terminal terminal;
  context_.place = {.tty = terminal.name(), .term = "xterm"};
  (void)Answering(absl::StrCat("while [ ! -e ", folder_, "/go ]; do sleep 0.02; done; ",
                               "echo 'ERR 83886179 Operation cancelled'"));
  FakeClock clock;
  PersonMemory memory(&clock);
  NoticeBoard board;
  const auto prompter = ConsideratePrompter(std::move(prompters_.back()), &memory, &board);
  std::thread first([&] { EXPECT_FALSE(prompter->For(context_)->AskPin("a card", -1).ok()); });
  while (Heard().find("GETPIN") == std::string::npos) std::this_thread::yield();
  PromptContext waiting = context_;
  waiting.cancelled = [this] {
    std::ofstream(folder_ + "/go") << "it waits for its turn";
    return false;
  };
  const absl::Status second = prompter->For(waiting)->AskPin("another card", -1).status();
  first.join();
  EXPECT_THAT(std::string(second.message()), HasSubstr("a moment ago"));
  EXPECT_EQ(Heard().find("GETPIN"), Heard().rfind("GETPIN")) << "one question";
}

TEST_F(PinentryPromptTest, AtAnotherPlaceNobodyWaits) {
  Terminal one, other;
  context_.place = {.tty = one.name(), .term = "xterm"};
  bool asked_there = false;
  context_.cancelled = [this, &other, &asked_there] {
    if (asked_there || !std::filesystem::exists(folder_ + "/pinentry.first")) return asked_there;
    PromptContext there = context_;
    there.place.tty = other.name();
    there.cancelled = nullptr;
    EXPECT_FALSE(prompters_.back()->For(there)->AskPin("a card", -1).ok());
    return asked_there = true;
  };
  EXPECT_EQ(
      DeviceErrorOf(Answering("if [ -e $0.first ]; then exit 3; fi; touch $0.first; read -r x")
                        ->AskPin("a card", -1)
                        .status()),
      DeviceError::kCancelled);
  EXPECT_TRUE(asked_there);
}

TEST_F(PinentryPromptTest, WhoGaveUpWaitsForNoTurn) {
  Terminal terminal;
  context_.place = {.tty = terminal.name(), .term = "xterm"};
  absl::Status waited;
  context_.cancelled = [this, &waited] {
    if (!waited.ok() || Heard().find("GETPIN") == std::string::npos) return !waited.ok();
    PromptContext second = context_;
    second.cancelled = [] { return true; };
    waited = prompters_.back()->For(second)->AskPin("a card", -1).status();
    return true;
  };
  EXPECT_FALSE(Answering("read -r never")->AskPin("a card", -1).ok());
  EXPECT_EQ(DeviceErrorOf(waited), DeviceError::kCancelled) << waited;
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
      {"echo 'OK hello'; echo 'ERR 83918950 Inappropriate ioctl for device'; cat >/dev/null",
       "for desktops install pinentry-gnome3"},
      {"echo 'OK hello'; echo 'ERR 83886381 Screen or window too small'; cat >/dev/null",
       "make the terminal's window larger"},
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
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr("No such file or directory (install pinentry-curses for terminals"));
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

}  // namespace
}  // namespace forekey
