// SPDX-License-Identifier: Apache-2.0
// Runs `forekey` over every directory in piv, tpm and webauthn here, and compares verdict, reason
// and exit status with its attack.json. The law: forged, malformed and misused evidence is refused
// for the reason that is its own, and honest evidence is not.
//
// attack.json: "attack" (what is tried), "command" ("verify attestation" where it is not there),
// "flags" (relative to the directory), "verdict", "reason", "exit_status", "proves": members that
// "proved" must have, and "before": a run that goes before and must succeed.
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace forekey {
namespace {

struct Attack {
  std::filesystem::path directory;
  nlohmann::json expected;
};

std::vector<Attack> Attacks() {
  std::vector<Attack> attacks;
  for (const char* kind : {"piv", "tpm", "webauthn"}) {
    const std::string folder = std::string(FOREKEY_SOURCE) + "/tests/attacks/" + kind;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream file(entry.path() / "attack.json");
      attacks.push_back({entry.path(), nlohmann::json::parse(file)});
    }
  }
  std::sort(attacks.begin(), attacks.end(),
            [](const Attack& a, const Attack& b) { return a.directory < b.directory; });
  return attacks;
}

std::string Quoted(const std::string& word) { return "'" + word + "'"; }

// What a command remembers must not reach the next one, or the user's own.
std::string StateDirectory() {
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / ("forekey-attacks-" + std::to_string(getpid()));
  std::filesystem::remove_all(path);
  return path.string();
}

// `run`: an object with "command" and "flags".
std::string CommandLine(const nlohmann::json& run) {
  std::string line = Quoted(std::string(FOREKEY_BIN) + "/forekey") + " " +
                     run.value("command", "verify attestation") + " --json";
  for (const auto& flag : run.at("flags")) line += " " + Quoted(flag.get<std::string>());
  return line;
}

class OfflineAttackTest : public ::testing::TestWithParam<Attack> {};

TEST_P(OfflineAttackTest, IsAnsweredForItsOwnReason) {
  const nlohmann::json& expected = GetParam().expected;
  std::string command = "cd " + Quoted(GetParam().directory.string()) +
                        " && export FOREKEY_STATE_DIR=" + Quoted(StateDirectory()) + " && ";
  if (expected.contains("before")) command += CommandLine(expected["before"]) + " >&2 && ";
  command += CommandLine(expected);
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  while (size_t size = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, size);
  const int status = pclose(pipe);
  ASSERT_TRUE(WIFEXITED(status)) << command;
  EXPECT_EQ(WEXITSTATUS(status), expected.at("exit_status")) << command << "\n" << output;

  if (expected.at("exit_status") == 2) return;  // it could not be run: there is no verdict
  const nlohmann::json answer = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(answer.is_object()) << output;
  EXPECT_EQ(answer.at("verdict"), expected.at("verdict")) << output;
  EXPECT_EQ(answer.at("reason"), expected.at("reason")) << output;
  EXPECT_EQ(answer.at("detail").get<std::string>().empty(), answer.at("verdict") == "valid");
  if (expected.contains("proves")) {
    for (const auto& [name, value] : expected.at("proves").items()) {
      EXPECT_EQ(answer.at("proved").value(name, nlohmann::json()), value) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Attacks, OfflineAttackTest, ::testing::ValuesIn(Attacks()),
                         [](const ::testing::TestParamInfo<Attack>& info) {
                           const std::filesystem::path& path = info.param.directory;
                           std::string name = path.parent_path().filename().string() + "_" +
                                              path.filename().string();
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
                           return name;
                         });

// The data is there: an empty list would pass for the wrong reason.
TEST(OfflineAttacksTest, ThereAreAttacks) { EXPECT_GE(Attacks().size(), 100u); }

}  // namespace
}  // namespace forekey
