// SPDX-License-Identifier: Apache-2.0
// kill -9 of the agent, at whatever moment: what it had acknowledged is still there when it comes
// back, and nothing that was half done is in its way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "examples/demo/deployment.h"
#include "tests/end2end/gated_world.h"

namespace forekey::testing {
namespace {

using demo::Deployment;
using demo::Process;

class AgentKillTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world_ = Must(Deployment::Create({.binaries = FOREKEY_BIN}), "deployment");
    Must(world_->StartTpm(), "TPM");
    Must(world_->StartGate(), "gate");
    Must(world_->StartAgent(), "agent");
  }

  // Runs a command, kills the agent while it is at work (or just after), and starts it again. True
  // when the command had reported success.
  bool KilledDuring(std::vector<std::string> arguments, absl::Duration after) {
    arguments.insert(arguments.begin(), absl::StrCat(FOREKEY_BIN, "/forekey"));
    auto command =
        Must(Process::Start({.arguments = arguments,
                             .environment = {"FOREKEY_AGENT_SOCKET=" + world_->agent_socket()},
                             .error_file = ""}),
             "command");
    const auto ended = command->Wait(after);  // a deadline that passes is what is wanted
    world_->agent()->Signal(SIGKILL);
    EXPECT_TRUE(world_->agent()->Wait().ok());
    const auto result = ended.ok() ? ended : command->Wait();
    EXPECT_TRUE(result.ok()) << result.status();
    world_->StopAgent();
    FlushTpm();
    Must(world_->StartAgent(), "agent, again");
    return result.ok() && result->exit_status == 0;
  }

  // The kernel's resource manager (/dev/tpmrm0) forgets what a dead program had loaded. Here is
  // none: what the driver's error says is done by hand.
  void FlushTpm() {
    const std::string tcti = world_->tpm_uri().substr(std::string("tpm:").size());
    for (const char* what : {"-t", "-l"}) {
      const auto flushed =
          demo::Run({"/usr/bin/tpm2_flushcontext", what}, {"TPM2TOOLS_TCTI=" + tcti});
      ASSERT_TRUE(flushed.ok()) << flushed.status();
      ASSERT_EQ(flushed->exit_status, 0) << flushed->errors;
    }
  }

  std::vector<std::string> Enrol(const std::string& label) {
    const std::string invite = Must(world_->Invite("alice", ""), "invite");
    return {"enroll", invite, "--device", world_->tpm_uri(), "--label", label};
  }

  std::unique_ptr<Deployment> world_;
};

TEST_F(AgentKillTest, AnAcknowledgedEnrolmentOutlivesItAndAnInterruptedOneIsDoneAgain) {
  bool enrolled = false;
  for (int round = 0; round < 8; ++round) {
    enrolled |= KilledDuring(Enrol(absl::StrCat("round ", round)), absl::Milliseconds(25 * round));
    const auto status = world_->Forekey({"status"});
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_TRUE(status->at("problems").empty()) << status->dump();
    if (enrolled) {
      const auto who = world_->Forekey({"whoami"});
      EXPECT_TRUE(who.ok()) << "an acknowledged enrolment was lost in round " << round << ": "
                            << who.status();
    }
  }
  const auto at_last = world_->Forekey(Enrol("at last"));
  ASSERT_TRUE(at_last.ok()) << at_last.status();
  EXPECT_TRUE(world_->Forekey({"whoami"}).ok());
}

TEST_F(AgentKillTest, SessionsAreOpenedAgainAfterIt) {
  ASSERT_TRUE(world_->Forekey(Enrol("laptop")).ok());
  for (int round = 0; round < 6; ++round) {
    KilledDuring({"login", "--fresh"}, absl::Milliseconds(10 * round));
    const auto who = world_->Forekey({"whoami"});
    ASSERT_TRUE(who.ok()) << who.status();
    EXPECT_EQ(who->at("subject"), "alice");
  }
}

}  // namespace
}  // namespace forekey::testing
