// SPDX-License-Identifier: Apache-2.0
// The user's command for ID tokens: what it gets, what is taken from it, and how it ends.
#include "src/agent/token_command.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "src/agent/gate_account.h"
#include "src/base/file.h"
#include "tests/support/id_provider.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kNonce[] = "nonce-of-this-opening";

class TokenCommandTest : public ::testing::Test {
 protected:
  TokenCommandTest() {
    std::string name = ::testing::TempDir() + "forekey-command-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~TokenCommandTest() override { std::filesystem::remove_all(root_); }

  std::string Token(const Json& changes = Json::object()) {
    Json claims = HonestClaims("https://idp.test", "gate-client", "ada", kNonce, absl::Now());
    claims.update(changes);
    return MakeJwt(IdpKey::New("k", "ES256"), claims);
  }
  // Runs a script by the shell; "$1" is a file with an honest token.
  absl::StatusOr<Secret> Run(const std::string& script, const std::string& token,
                             CallControl call = {}) {
    EXPECT_TRUE(WriteFileAtomically(root_ + "/token", token, 0600).ok());
    command_.argv = {"/bin/sh", "-c", script, "sh", root_ + "/token"};
    command_.issuer = "https://idp.test";
    command_.client_id = "gate-client";
    return command_.Run("gate.test", kNonce, call, [this](absl::string_view line) {
      said_.emplace_back(line);
      if (on_said_) on_said_();
    });
  }
  std::string Lines(const std::string& file) {
    auto content = ReadFile(root_ + "/" + file);
    return content.ok() ? *content : content.status().ToString();
  }
  // Waits until the script has written its process number.
  pid_t PidIn(const std::string& file) {
    pid_t pid = 0;
    while (pid == 0) {
      std::ifstream stream(root_ + "/" + file);
      stream >> pid;
      if (!stream || stream.peek() != '\n') pid = 0;
    }
    return pid;
  }

  std::vector<std::string> said_;
  std::function<void()> on_said_;
  std::string root_;
  TokenCommand command_;
};

TEST_F(TokenCommandTest, WhatItTellsThePersonIsHeardWhileItWaitsAndTheTokenNever) {
  // It goes on only when its line was heard: with an end, and without.
  on_said_ = [this] {
    EXPECT_TRUE(WriteFileAtomically(absl::StrCat(root_, "/heard", said_.size()), "", 0600).ok());
  };
  const std::string token = Token();
  const auto got = Run(R"(dir=$(dirname "$1"); echo "open https://idp.test/device" >&2
                          until [ -e "$dir/heard1" ]; do :; done
                          printf "waiting" >&2
                          until [ -e "$dir/heard2" ]; do :; done
                          cat "$1"; printf "one\ntwo" >&2)",
                       token);
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->view(), token);
  EXPECT_THAT(said_,
              ::testing::ElementsAre("open https://idp.test/device", "waiting", "one", "two"));
  for (const std::string& line : said_) EXPECT_THAT(line, ::testing::Not(HasSubstr("eyJ")));
}

TEST_F(TokenCommandTest, AFloodOfWordsIsHeardInPieces) {
  ASSERT_THAT(
      Run(R"(i=0; while [ $i -lt 100 ]; do printf %0100d 0 >&2; i=$((i+1)); done; cat "$1")",
          Token()),
      IsOk());
  size_t heard = 0;
  for (const std::string& line : said_) {
    EXPECT_LT(line.size(), 4096u);
    heard += line.size();
  }
  EXPECT_EQ(heard, 10'000u);
}

TEST_F(TokenCommandTest, GivesTheTokenWithoutTheWhiteSpaceAroundIt) {
  const std::string token = Token();
  auto got = Run("printf '\\n  '; cat \"$1\"; printf '\\r\\n\\n'", token);
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(got->view(), token);
}

TEST_F(TokenCommandTest, TheCommandInheritsNothingThatTheAgentHasOpen) {
  const int open_here = open("/dev/null", O_RDONLY);  // as libraries do, without O_CLOEXEC
  ASSERT_THAT(Run("ls /proc/$$/fd > \"$1.fds\"; cat \"$1\"", Token()), IsOk());
  EXPECT_THAT(Lines("token.fds"),
              ::testing::Not(HasSubstr("\n" + std::to_string(open_here) + "\n")));
  close(open_here);
}

TEST_F(TokenCommandTest, TellsTheCommandWhatToAskForAndNothingIsLeftOverInTheEnvironment) {
  setenv("FOREKEY_OIDC_NONCE", "stale", 1);
  setenv("FOREKEY_OIDC_SUBJECT", "stale", 1);
  ASSERT_THAT(Run("env | grep ^FOREKEY_ | sort > \"$1.env\"; cat \"$1\"", Token()), IsOk());
  unsetenv("FOREKEY_OIDC_NONCE");
  unsetenv("FOREKEY_OIDC_SUBJECT");
  EXPECT_EQ(Lines("token.env"),
            "FOREKEY_GATE=gate.test\nFOREKEY_OIDC_CLIENT_ID=gate-client\n"
            "FOREKEY_OIDC_ISSUER=https://idp.test\nFOREKEY_OIDC_NONCE=nonce-of-this-opening\n");
}

TEST_F(TokenCommandTest, NoShellReadsTheArguments) {
  ASSERT_TRUE(WriteFileAtomically(root_ + "/token", Token(), 0600).ok());
  command_.argv = {"cat", root_ + "/token", "$(touch " + root_ + "/pwned)",
                   "; touch " + root_ + "/pwned"};
  command_.issuer = "https://idp.test; touch " + root_ + "/pwned";
  EXPECT_FALSE(command_.Run("gate.test", kNonce, CallControl()).ok()) << "cat finds no such files";
  EXPECT_FALSE(std::filesystem::exists(root_ + "/pwned"));
}

TEST_F(TokenCommandTest, ShowsWhatTheCommandSaidWhenItFails) {
  const auto failed = Run("echo half a token; echo 'please log in first' >&2; exit 7", "");
  EXPECT_THAT(failed, HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("status 7: please log in first"));
  EXPECT_THAT(std::string(failed.status().message()), ::testing::Not(HasSubstr("half a token")));
  EXPECT_THAT(std::string(Run("kill -TERM $$", "").status().message()),
              HasSubstr("ended by signal 15"));
  // As much as is of use.
  EXPECT_LT(Run("yes complaint | head -c 1000000 >&2; exit 1", "").status().message().size(),
            2200u);
  command_.argv = {root_ + "/nothing-here"};
  EXPECT_THAT(std::string(command_.Run("g", kNonce, CallControl()).status().message()),
              HasSubstr("nothing-here can't be run"));
}

TEST_F(TokenCommandTest, RefusesOutputThatIsNoToken) {
  for (const char* script :
       {"true", "echo hello", "echo a.b.c", "cat \"$1\" \"$1\"", "cat \"$1\"; echo x"}) {
    const auto got = Run(script, Token());
    EXPECT_THAT(got, HasCode(absl::StatusCode::kFailedPrecondition)) << script;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr("wrote no ID token")) << script;
    EXPECT_THAT(std::string(got.status().message()), ::testing::Not(HasSubstr("eyJ"))) << script;
  }
  EXPECT_THAT(std::string(Run("yes | head -c 20000", "").status().message()),
              HasSubstr("more than a token has"));
}

TEST_F(TokenCommandTest, RefusesTokensThatAreMeantForOthers) {
  EXPECT_THAT(Run("cat \"$1\"", Token({{"iss", "https://other.test"}})),
              RefusedWith(Reason::kIdTokenIssuer));
  EXPECT_THAT(Run("cat \"$1\"", Token({{"aud", "payroll"}})),
              RefusedWith(Reason::kIdTokenAudience));
  EXPECT_THAT(Run("cat \"$1\"", Token({{"aud", {"gate-client", "payroll"}}})),
              RefusedWith(Reason::kIdTokenAudience));
  EXPECT_THAT(Run("cat \"$1\"", Token({{"nonce", "another"}})), RefusedWith(Reason::kIdTokenNonce));
  EXPECT_THAT(Run("cat \"$1\"", Token({{"aud", {"gate-client"}}})), IsOk());
}

TEST_F(TokenCommandTest, EndsACommandThatTakesTooLong) {
  command_.timeout = absl::Milliseconds(200);
  const auto got = Run("sleep 1000", "");
  EXPECT_THAT(got, HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("took too long"));
}

TEST_F(TokenCommandTest, ACallerThatGoesAwayEndsTheCommandWithAllThatItStarted) {
  CallControl call;
  call.cancelled = [this] { return std::filesystem::exists(root_ + "/token.begun"); };
  EXPECT_THAT(Run("sleep 1000 & echo $! > \"$1.pid\"; touch \"$1.begun\"; wait", "", call),
              HasCode(absl::StatusCode::kCancelled));
  // Killed; init reaps it in its own time.
  const pid_t child = PidIn("token.pid");
  while (kill(child, 0) == 0) {
    auto state = ReadFile(absl::StrCat("/proc/", child, "/stat"));
    if (!state.ok() || state->find(") Z") != std::string::npos) break;
  }
}

TEST_F(TokenCommandTest, WhatIsLeftInTheBackgroundIsNotWaitedFor) {
  EXPECT_THAT(Run("cat \"$1\"; sleep 1000 >/dev/null &", Token()), IsOk());
}

TEST_F(TokenCommandTest, TheCommandHasNoInputAndItsSignalsAsUsual) {
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &before);  // as in the agent's program
  EXPECT_THAT(Run("test -z \"$(cat)\" && cat \"$1\"", Token()), IsOk());
  EXPECT_THAT(std::string(Run("kill -TERM $$; sleep 1000", "").status().message()),
              HasSubstr("signal 15"));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(TokenCommandFileTest, ReadsEveryMember) {
  const auto command = TokenCommand::Parse(
      R"({"command":["helper","--for","gate"],"issuer":"https://idp.test","client_id":"c","timeout_s":9})");
  ASSERT_THAT(command, IsOk());
  EXPECT_THAT(command->argv, ::testing::ElementsAre("helper", "--for", "gate"));
  EXPECT_EQ(command->issuer, "https://idp.test");
  EXPECT_EQ(command->client_id, "c");
  EXPECT_EQ(command->timeout, absl::Seconds(9));
}

TEST(TokenCommandFileTest, NamesWhatIsWrong) {
  const Json good = {{"command", {"helper"}}, {"issuer", "i"}, {"client_id", "c"}};
  EXPECT_THAT(TokenCommand::Parse(good.dump()), IsOk());
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, Json>>{{"command", "helper --shell"},
                                                 {"command", Json::array()},
                                                 {"command", {7}},
                                                 {"command", {""}},
                                                 {"command", {std::string("a\0b", 3)}},
                                                 {"issuer", ""},
                                                 {"issuer", 7},
                                                 {"client_id", nullptr},
                                                 {"timeout_s", 0},
                                                 {"timeout_s", 601},
                                                 {"timeout_s", "9"},
                                                 {"timeout_s", 1.5},
                                                 {"comand", "x"}}) {
    Json bad = good;
    bad[name] = value;
    EXPECT_THAT(TokenCommand::Parse(bad.dump()), IsError(absl::StatusCode::kInvalidArgument, name))
        << name << "=" << value;
  }
  for (const char* text : {"", "{}", "[]", "helper", "{\"command\":[\"a\"],\"command\":[\"b\"]}"}) {
    EXPECT_THAT(TokenCommand::Parse(text), HasCode(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace forekey::testing
