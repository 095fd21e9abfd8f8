// SPDX-License-Identifier: Apache-2.0
// The program forekey-sim, as somebody's CI uses it.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "simulators/process.h"
#include "src/base/file.h"

namespace forekey {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

// Reads a line, waiting for it.
std::string ReadLine(int fd) {
  std::string line;
  char c;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

class SimProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/forekey-simtest-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override {
    sim_.Kill();
    fs::remove_all(folder_);
  }

  // Starts it with --json and waits for its line.
  nlohmann::json Start(std::vector<std::string> more = {}) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    UniqueFd reader(ends[0]), writer(ends[1]);
    SpawnOptions options;
    options.argv = {FOREKEY_BIN "/forekey-sim", "tpm", "--json"};
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.output_path = absl::StrCat("/proc/self/fd/", writer.get());
    auto child = ChildProcess::Spawn(options);
    EXPECT_TRUE(child.ok()) << child.status();
    writer.reset();
    sim_ = *std::move(child);
    const std::string line = ReadLine(reader.get());
    auto json = nlohmann::json::parse(line, nullptr, false);
    EXPECT_TRUE(json.is_object()) << line;
    return json;
  }

  std::string Request(const nlohmann::json& sim, const std::string& request) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    sim["requests"].get<std::string>().copy(address.sun_path, sizeof address.sun_path - 1);
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return "no connection";
    const std::string line = request + "\n";
    EXPECT_EQ(write(fd.get(), line.data(), line.size()), static_cast<ssize_t>(line.size()));
    return ReadLine(fd.get());
  }

  absl::StatusOr<std::string> Tool(const nlohmann::json& sim, std::vector<std::string> argv) {
    return RunTool(
        {.argv = std::move(argv),
         .environment = {"TPM2TOOLS_TCTI=" + sim["tcti"].get<std::string>(), "TSS2_LOG=all+none"}});
  }

  // Processes whose command line names our folder.
  int ProcessesOf(const std::string& folder) {
    int count = 0;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      auto line = ReadFile(entry.path().string() + "/cmdline");
      count += line.ok() && absl::StrContains(*line, folder) && absl::StrContains(*line, "swtpm");
    }
    return count;
  }

  std::string folder_;
  ChildProcess sim_;
};

TEST_F(SimProgramTest, ServesTheSameTpmAgainAndEndsCleanly) {
  const std::vector<std::string> options = {"--state", folder_ + "/tpm", "--trust-out",
                                            folder_ + "/trust"};
  std::string names[2];
  for (std::string& name : names) {
    auto sim = Start(options);
    EXPECT_THAT(sim["uri"].get<std::string>(), StartsWith("tpm:swtpm:path=" + folder_));
    EXPECT_FALSE(fs::is_empty(folder_ + "/trust"));
    auto output = Tool(sim, {"tpm2_readpublic", "-c", "0x81010001"});
    ASSERT_TRUE(output.ok()) << output.status();
    name = output->substr(0, output->find('\n'));
    kill(sim_.pid(), SIGTERM);
    auto exit_status = sim_.Wait(absl::Seconds(20));
    ASSERT_TRUE(exit_status.ok()) << exit_status.status();
    EXPECT_EQ(*exit_status, 0);
    EXPECT_EQ(ProcessesOf(folder_), 0);
    EXPECT_FALSE(fs::exists(folder_ + "/tpm/tpm.sock"));
  }
  EXPECT_EQ(names[0], names[1]);
}

TEST_F(SimProgramTest, ATemporaryTpmIsRemovedAtTheEnd) {
  auto sim = Start();
  const std::string state = sim["state"].get<std::string>();
  EXPECT_TRUE(fs::exists(state));
  kill(sim_.pid(), SIGINT);
  auto exit_status = sim_.Wait(absl::Seconds(20));
  ASSERT_TRUE(exit_status.ok());
  EXPECT_EQ(*exit_status, 0);
  EXPECT_FALSE(fs::exists(state));
}

TEST_F(SimProgramTest, SwtpmEndsWhenTheSimulatorIsKilled) {
  Start({"--state", folder_ + "/tpm"});
  ASSERT_EQ(ProcessesOf(folder_ + "/tpm/swtpm"), 1);
  // swtpm writes its log until it ends; the log's lock-free sign of its end is the lock on its
  // state.
  kill(sim_.pid(), SIGKILL);
  ASSERT_TRUE(sim_.Wait(absl::Seconds(20)).ok());
  UniqueFd lock(open((folder_ + "/tpm/swtpm/.lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(static_cast<bool>(lock));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  EXPECT_EQ(fcntl(lock.get(), F_SETLKW, &whole), 0);  // waits for swtpm's own lock to go
}

TEST_F(SimProgramTest, OneServerAState) {
  Start({"--state", folder_ + "/tpm"});
  auto second = RunTool({.argv = {FOREKEY_BIN "/forekey-sim", "tpm", "--state", folder_ + "/tpm"}});
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("served already"));
}

TEST_F(SimProgramTest, TakesRequestsAtRunTime) {
  auto sim = Start({"--state", folder_ + "/tpm"});
  EXPECT_EQ(Request(sim, "fail 0x101 1000"), "ok");
  EXPECT_FALSE(Tool(sim, {"tpm2_getrandom", "4"}).ok());
  EXPECT_EQ(Request(sim, "behave"), "ok");
  EXPECT_TRUE(Tool(sim, {"tpm2_getrandom", "4"}).ok());
  EXPECT_EQ(Request(sim, "busy 2"), "ok");
  EXPECT_EQ(Request(sim, "latency 1"), "ok");
  EXPECT_EQ(Request(sim, "vanish"), "ok");
  EXPECT_FALSE(Tool(sim, {"tpm2_getrandom", "4"}).ok());
  EXPECT_THAT(Request(sim, "status"), HasSubstr("\"present\":false"));
  EXPECT_EQ(Request(sim, "return"), "ok");
  EXPECT_TRUE(Tool(sim, {"tpm2_getrandom", "4"}).ok());
  EXPECT_EQ(Request(sim, "lockout on"), "ok");
  EXPECT_EQ(Request(sim, "lockout off"), "ok");
  EXPECT_THAT(Request(sim, "status"), HasSubstr("\"transient_objects\":0"));
  for (const char* bad : {"", "latency", "latency x", "busy -1", "fail 1", "flip 1", "vanish 1 2",
                          "lockout", "hello"}) {
    EXPECT_THAT(Request(sim, bad), StartsWith("error ")) << bad;
  }
}

TEST_F(SimProgramTest, MisbehavesFromTheStartWhenToldTo) {
  auto sim = Start({"--state", folder_ + "/tpm", "--vanish-after", "0", "--no-ek-certificate"});
  EXPECT_FALSE(Tool(sim, {"tpm2_getrandom", "4"}).ok());
  EXPECT_EQ(Request(sim, "return"), "ok");
  auto indices = Tool(sim, {"tpm2_getcap", "handles-nv-index"});
  ASSERT_TRUE(indices.ok());
  EXPECT_THAT(*indices, testing::Not(HasSubstr("0x1C0000")));
}

TEST_F(SimProgramTest, SaysWhatIsWrong) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/file", "x").ok());
  auto result =
      RunTool({.argv = {FOREKEY_BIN "/forekey-sim", "tpm", "--state", folder_ + "/file"}});
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("exited with 1"));
  result = RunTool({.argv = {FOREKEY_BIN "/forekey-sim", "tpm", "--help"}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result, testing::AllOf(HasSubstr("Example:"), HasSubstr("Exit status:")));
}

}  // namespace
}  // namespace forekey
