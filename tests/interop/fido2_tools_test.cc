// SPDX-License-Identifier: Apache-2.0
// Debian's fido2-tools against the simulated security key behind a pseudo-terminal.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/fido2/fido2_simulator.h"
#include "simulators/process.h"
#include "src/base/file.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Fido2ToolsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/forekey-fido-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    fido2sim::SimulatorOptions options;
    options.config.auto_touch = true;
    options.pty = true;
    auto started = fido2sim::Fido2Simulator::Start(std::move(options));
    ASSERT_TRUE(started.ok()) << started.status();
    token_ = *std::move(started);
    device_ = token_->pty_path();
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) { return absl::StrCat(folder_, "/", name); }
  // Runs it on a terminal of its own, where it asks for PINs: each question gets `pin`.
  std::string OnTerminal(const std::vector<std::string>& argv, const std::string& pin,
                         int* exit_status) {
    int master = -1;
    std::vector<char*> arguments;
    for (const std::string& word : argv) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const pid_t child = forkpty(&master, nullptr, nullptr, nullptr);
    if (child == 0) {
      alarm(60);
      execvp(arguments[0], arguments.data());
      _exit(127);
    }
    std::string output;
    size_t answered = 0;
    char buffer[512];
    for (ssize_t got; (got = read(master, buffer, sizeof buffer)) > 0;) {
      output.append(buffer, static_cast<size_t>(got));
      // A prompt ends without a new line.
      if (output.find(": ", answered) != std::string::npos &&
          output.substr(output.size() - 2) == ": ") {
        answered = output.size();
        const std::string line = pin + "\n";
        EXPECT_EQ(write(master, line.data(), line.size()), static_cast<ssize_t>(line.size()));
      }
    }
    close(master);
    int status = 0;
    waitpid(child, &status, 0);
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return output;
  }

  std::string folder_, device_;
  std::unique_ptr<fido2sim::Fido2Simulator> token_;
};

TEST_F(Fido2ToolsTest, TokenInformation) {
  auto output = RunTool({.argv = {"fido2-token", "-I", device_}});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_THAT(*output, AllOf(HasSubstr("FIDO_2_1"), HasSubstr("U2F_V2"),
                             HasSubstr("pin protocols: 2, 1"), HasSubstr("noclientPin"),
                             HasSubstr("es256 (public-key)"), HasSubstr("rs256 (public-key)")));
}

TEST_F(Fido2ToolsTest, RegistersAssertsAndVerifies) {
  const std::string hash = absl::Base64Escape(std::string(32, 'h'));
  for (const std::string type : {"es256", "eddsa", "rs256"}) {
    ASSERT_TRUE(WriteFileAtomically(Path("in"),
                                    absl::StrCat(hash, "\ngate.example\nuser\n",
                                                 absl::Base64Escape(std::string(16, 'u')), "\n"))
                    .ok());
    auto made = RunTool(
        {.argv = {"fido2-cred", "-M", "-i", Path("in"), "-o", Path("cred"), device_, type}});
    ASSERT_TRUE(made.ok()) << made.status();
    auto verified =
        RunTool({.argv = {"fido2-cred", "-V", "-i", Path("cred"), "-o", Path("key"), type}});
    ASSERT_TRUE(verified.ok()) << verified.status();
    auto key = ReadFile(Path("key"));
    ASSERT_TRUE(key.ok());
    const size_t line = key->find('\n');
    ASSERT_TRUE(WriteFileAtomically(Path("pub"), key->substr(line + 1)).ok());
    ASSERT_TRUE(WriteFileAtomically(
                    Path("ask"), absl::StrCat(hash, "\ngate.example\n", key->substr(0, line), "\n"))
                    .ok());
    auto asserted = RunTool({.argv = {"fido2-assert", "-G", "-i", Path("ask"), "-o",
                                      Path("assertion"), device_, type}});
    ASSERT_TRUE(asserted.ok()) << asserted.status();
    auto good =
        RunTool({.argv = {"fido2-assert", "-V", "-p", "-i", Path("assertion"), Path("pub"), type}});
    EXPECT_TRUE(good.ok()) << type << good.status();
    // Another key's signature is refused by the same tool, so that the check above checks.
    token_->Misbehave({fido2sim::Misbehaviour::kOtherKeysSignature});
    asserted = RunTool(
        {.argv = {"fido2-assert", "-G", "-i", Path("ask"), "-o", Path("forged"), device_, type}});
    ASSERT_TRUE(asserted.ok()) << asserted.status();
    EXPECT_FALSE(
        RunTool({.argv = {"fido2-assert", "-V", "-p", "-i", Path("forged"), Path("pub"), type}})
            .ok());
    token_->Misbehave({});
  }
}

TEST_F(Fido2ToolsTest, SetsThePinAndListsWhatIsOnTheToken) {
  int status = -1;
  std::string output = OnTerminal({"fido2-token", "-S", device_}, "1234", &status);
  ASSERT_EQ(status, 0) << output;
  auto info = RunTool({.argv = {"fido2-token", "-I", device_}});
  ASSERT_TRUE(info.ok());
  EXPECT_THAT(*info, HasSubstr(", clientPin"));
  ASSERT_TRUE(WriteFileAtomically(
                  Path("in"),
                  absl::StrCat(absl::Base64Escape(std::string(32, 'h')), "\ngate.example\nuser\n",
                               absl::Base64Escape(std::string(16, 'u')), "\n"))
                  .ok());
  output =
      OnTerminal({"fido2-cred", "-M", "-r", "-v", "-i", Path("in"), "-o", Path("cred"), device_},
                 "1234", &status);
  ASSERT_EQ(status, 0) << output;
  output = OnTerminal({"fido2-token", "-L", "-r", device_}, "1234", &status);
  ASSERT_EQ(status, 0) << output;
  EXPECT_THAT(output, HasSubstr("gate.example"));
  output = OnTerminal({"fido2-token", "-L", "-r", device_}, "9999", &status);
  EXPECT_NE(status, 0);
  EXPECT_THAT(output, HasSubstr("FIDO_ERR_PIN_INVALID"));
}

}  // namespace
}  // namespace forekey
