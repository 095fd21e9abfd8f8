// SPDX-License-Identifier: Apache-2.0
// `forekey-sim piv`, as somebody's CI uses it.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "simulators/process.h"
#include "src/base/file.h"

namespace forekey {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string LineFrom(int fd) {
  std::string line;
  char c;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

class PivProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/forekey-pivprog-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override {
    End();
    std::filesystem::remove_all(folder_);
  }
  nlohmann::json Start(std::vector<std::string> more = {}) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    UniqueFd reader(ends[0]), writer(ends[1]);
    SpawnOptions options;
    options.argv = {FOREKEY_BIN "/forekey-sim", "piv", "--json", "--control", folder_ + "/control"};
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.output_path = absl::StrCat("/proc/self/fd/", writer.get());
    auto child = ChildProcess::Spawn(options);
    EXPECT_TRUE(child.ok()) << child.status();
    writer.reset();
    sim_ = *std::move(child);
    auto json = nlohmann::json::parse(LineFrom(reader.get()), nullptr, false);
    EXPECT_TRUE(json.is_object());
    return json;
  }
  int End() {
    if (sim_.pid() < 0) return -1;
    kill(sim_.pid(), SIGTERM);
    auto exit_status = sim_.Wait(absl::Seconds(60));
    sim_.Kill();
    return exit_status.value_or(-1);
  }
  std::string Request(const std::string& request) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ + "/control").copy(address.sun_path, sizeof address.sun_path - 1);
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return "no connection";
    const std::string line = request + "\n";
    EXPECT_EQ(write(fd.get(), line.data(), line.size()), static_cast<ssize_t>(line.size()));
    return LineFrom(fd.get());
  }
  absl::StatusOr<std::string> Yubico(const nlohmann::json& sim,
                                     std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "yubico-piv-tool");
    return RunTool({.argv = std::move(arguments),
                    .environment = {"PCSCLITE_CSOCK_NAME=" + sim["socket"].get<std::string>()}});
  }

  std::string folder_;
  ChildProcess sim_;
};

TEST_F(PivProgramTest, ServesTheSameCardAgainAndEndsCleanly) {
  const std::vector<std::string> options = {"--state",     folder_ + "/card",
                                            "--trust-out", folder_ + "/trust",
                                            "--socket",    folder_ + "/pcscd.sock",
                                            "--serial",    "4711",
                                            "--firmware",  "5.7.4",
                                            "--pin",       "246810"};
  for (const char* pin : {"246810", "135790"}) {
    auto sim = Start(options);
    EXPECT_EQ(sim["uri"], "piv:serial=4711");
    // The same card writes the same files again: a root and two intermediates.
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ + "/trust"), {}), 3);
    auto status = Yubico(sim, {"-a", "status"});
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_THAT(*status, HasSubstr("4711"));
    EXPECT_TRUE(Yubico(sim, {"-a", "verify-pin", "-P", pin}).ok());
    if (std::string(pin) == "246810") {
      EXPECT_TRUE(Yubico(sim, {"-a", "change-pin", "-P", pin, "-N", "135790"}).ok());
    }
    EXPECT_EQ(End(), 0);
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/pcscd.sock"));
  }
}

TEST_F(PivProgramTest, TakesRequests) {
  auto sim = Start();
  EXPECT_THAT(Request("status"), HasSubstr("\"present\":true"));
  EXPECT_EQ(Request("misbehave wrong-status-words=6f00"), "ok");
  EXPECT_EQ(Request("behave"), "ok");
  EXPECT_EQ(Request("remove"), "ok");
  EXPECT_THAT(Request("status"), HasSubstr("\"present\":false"));
  EXPECT_EQ(Request("insert"), "ok");
  EXPECT_EQ(Request("unplug"), "ok");
  EXPECT_FALSE(Yubico(sim, {"-a", "version"}).ok());
  EXPECT_EQ(Request("plug-in"), "ok");
  EXPECT_TRUE(Yubico(sim, {"-a", "version"}).ok());
  EXPECT_EQ(Request("restart-pcscd"), "ok");
  EXPECT_TRUE(Yubico(sim, {"-a", "version"}).ok());
  EXPECT_EQ(Request("auto-touch off"), "ok");
  EXPECT_THAT(Request("touch"), StartsWith("error "));
  EXPECT_EQ(Request("reset"), "ok");
  for (const char* bad :
       {"", "hello", "remove 1", "misbehave", "misbehave sloppy", "auto-touch maybe"}) {
    EXPECT_THAT(Request(bad), StartsWith("error ")) << bad;
  }
}

TEST_F(PivProgramTest, MisbehavesFromTheStartAndSaysWhatIsWrong) {
  auto sim = Start({"--misbehave", "pin-blocked", "--plain"});
  EXPECT_THAT(Request("status"), HasSubstr("\"pin_tries\":0"));
  EXPECT_EQ(End(), 0);
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"--misbehave", "sloppy"},
                                              {"--firmware", "5.4"},
                                              {"--pin", "1"},
                                              {"--management-key-algorithm", "des"},
                                              {"--key-algorithm", "eccp384"},
                                              {"--plain", "--key-algorithm", "rsa1024"}}) {
    std::vector<std::string> argv = {FOREKEY_BIN "/forekey-sim", "piv"};
    argv.insert(argv.end(), bad.begin(), bad.end());
    EXPECT_THAT(std::string(RunTool({.argv = argv}).status().message()), HasSubstr("exited with 1"))
        << bad[1];
  }
}

}  // namespace
}  // namespace forekey
