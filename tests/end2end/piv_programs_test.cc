// SPDX-License-Identifier: Apache-2.0
// A smartcard from end to end, with the real programs: forekey-gate, a gated server, forekey-agent,
// forekey, and the simulated card behind a pcscd of its own.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "examples/demo/deployment.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/file.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;

class PivProgramsTest : public ::testing::Test {
 protected:
  // `config`: more of [attestation.piv].
  void Start(const std::string& config = "") {
    auto world = demo::Deployment::Create({.binaries = FOREKEY_BIN, .extra_config = ""});
    ASSERT_TRUE(world.ok()) << world.status();
    world_ = *std::move(world);
    for (absl::Status status :
         {world_->StartPiv(), world_->StartGate(config), world_->StartCardAgent()}) {
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  absl::StatusOr<nlohmann::json> WithPin(std::vector<std::string> arguments,
                                         const std::string& pin = "123456") {
    const std::string file = world_->directory() + "/pin";
    EXPECT_TRUE(WriteFileAtomically(file, pin, 0600).ok());
    arguments.insert(arguments.end(), {"--key-password-file", file});
    return world_->ForekeyCard(std::move(arguments));
  }
  absl::StatusOr<nlohmann::json> Enroll(std::vector<std::string> options = {}) {
    auto invite = world_->Invite("bob", "");
    EXPECT_TRUE(invite.ok()) << invite.status();
    std::vector<std::string> arguments = {"enroll", invite.value_or(""), "--device",
                                          world_->piv_uri()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return WithPin(std::move(arguments));
  }
  // Of the refusal whose reference the message names.
  std::string ReasonIn(const absl::Status& status) {
    const std::string message(status.message());
    const size_t at = message.find("reference ");
    if (at == std::string::npos) return message;
    auto reason = world_->ReasonOf(message.substr(at + 10, 16));
    return reason.ok() ? *reason : message;
  }
  std::string Factors() {
    auto who = world_->ForekeyCard({"whoami"});
    if (!who.ok()) return std::string(who.status().message());
    std::vector<std::string> names;
    for (const nlohmann::json& factor : (*who)["factors"])
      names.push_back(factor.value("name", ""));
    std::sort(names.begin(), names.end());
    return absl::StrJoin(names, " ");
  }

  std::unique_ptr<demo::Deployment> world_;
};

TEST_F(PivProgramsTest, EnrolsOpensSessionsAndIsRefusedForWhatItIs) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto devices = world_->ForekeyCard({"devices"});
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_THAT(devices->dump(), HasSubstr(world_->piv_uri()));

  // A slot that other programs sign with is refused before a key is made in it.
  EXPECT_EQ(ReasonIn(Enroll({"--slot", "9a"}).status()), "piv-shared-key");

  auto enrolled = Enroll();
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  auto login = WithPin({"login"});
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(Factors(), "piv piv+pin piv+touch");
  EXPECT_TRUE(world_->ForekeyCard({"prefix", "--method", "/forekey.example.Echo/Say"}).ok());
  EXPECT_TRUE(
      world_->ForekeyCard({"prefix", "--device", "--method", "/forekey.example.Echo/Say"}).ok());

  // What is in the slot now stays there.
  auto occupied = Enroll({"--slot", "82"});
  EXPECT_THAT(occupied.status().message(), HasSubstr("--overwrite"));
  // A wrong PIN: sent once, then forgotten.
  auto wrong = WithPin({"login", "--fresh"}, "999999");
  EXPECT_THAT(wrong.status().message(), HasSubstr("tries left: 2"));
  EXPECT_TRUE(WithPin({"login", "--fresh"}).ok());
  // Pulled, put back, pcscd restarted.
  ASSERT_TRUE(world_->TellCard("remove").ok());
  EXPECT_FALSE(WithPin({"login", "--fresh"}).ok());
  ASSERT_TRUE(world_->TellCard("insert").ok());
  ASSERT_TRUE(world_->TellCard("restart-pcscd").ok());
  auto back = WithPin({"login", "--fresh"});
  EXPECT_TRUE(back.ok()) << back.status();
  // Revoked: the card's key opens nothing any more.
  ASSERT_TRUE(
      world_->ForekeyGate({"revoke", enrolled->value("credential_id", ""), "--note", "test"}).ok());
  EXPECT_EQ(ReasonIn(WithPin({"login", "--fresh"}).status()), "credential-revoked");
}

TEST_F(PivProgramsTest, EnrolsAKeyOfEachAlgorithmAndOpensSessionsWithIt) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (const char* algorithm : {"eccp384", "rsa2048", "rsa3072", "rsa4096", "ed25519", "eccp256"}) {
    auto enrolled = Enroll({"--algorithm", algorithm, "--label", algorithm});
    ASSERT_TRUE(enrolled.ok()) << algorithm << ": " << ReasonIn(enrolled.status());
    auto login = WithPin({"login", "--fresh", "--with", algorithm});
    ASSERT_TRUE(login.ok()) << algorithm << ": " << ReasonIn(login.status());
    EXPECT_EQ(Factors(), "piv piv+pin piv+touch") << algorithm;
    EXPECT_TRUE(
        world_->ForekeyCard({"prefix", "--device", "--method", "/forekey.example.Echo/Say"}).ok())
        << algorithm;
  }
  EXPECT_FALSE(Enroll({"--algorithm", "rsa1024"}).ok());
}

TEST_F(PivProgramsTest, ClaimsNoMoreThanTheCardsPolicySays) {
  ASSERT_NO_FATAL_FAILURE(Start());
  auto enrolled = Enroll({"--pin-policy", "once", "--touch-policy", "cached"});
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  ASSERT_TRUE(WithPin({"login"}).ok());
  EXPECT_EQ(Factors(), "piv");
}

TEST_F(PivProgramsTest, APolicyThatTheGateAsksForIsEnforced) {
  ASSERT_NO_FATAL_FAILURE(Start("require_touch = \"always\"\n"));
  EXPECT_EQ(ReasonIn(Enroll({"--touch-policy", "never"}).status()), "piv-policy");
  auto enrolled = Enroll();
  EXPECT_TRUE(enrolled.ok()) << enrolled.status();
}

TEST_F(PivProgramsTest, SharedSlotsWhereTheyAreAllowedEarnThatAlone) {
  ASSERT_NO_FATAL_FAILURE(Start("allow_shared = true\n"));
  auto enrolled = Enroll({"--slot", "9a"});
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  // The same key, now as one that is there already: it goes all the way, and is known.
  EXPECT_EQ(ReasonIn(Enroll({"--slot", "9a", "--existing"}).status()), "credential-exists");
  ASSERT_TRUE(WithPin({"login"}).ok());
  EXPECT_EQ(Factors(), "piv-shared");
}

}  // namespace
}  // namespace forekey
