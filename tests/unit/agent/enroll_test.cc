// SPDX-License-Identifier: Apache-2.0
// Enrolment by the agent: an acknowledged credential is never lost, a pinned gate never re-pinned.
#include "src/base/file.h"
#include "src/base/reason.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using testing::FakeGate;
using ::testing::HasSubstr;

using AgentEnrollTest = AgentFixture;

TEST_F(AgentEnrollTest, ARefusedEnrolmentLeavesNothing) {
  ASSERT_TRUE(Start().ok());
  FakeGate::Faults faults;
  faults.finish_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "refused");
  gate_.Misbehave(faults);
  auto enrolled = Enroll(gate_);
  EXPECT_TRUE(absl::IsPermissionDenied(enrolled.status())) << enrolled.status();
  // Not from the gate, which does not say why.
  EXPECT_THAT(std::string(enrolled.status().message()), HasSubstr("a fake shows no certificate"));
  EXPECT_FALSE(std::filesystem::exists(state_ + "/gates/gate.test"));
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
}

TEST_F(AgentEnrollTest, WhoClosedThePromptAndEnrolsAgainIsAsked) {
  class Closing : public Prompt {
   public:
    absl::StatusOr<Secret> AskPin(absl::string_view, int) override {
      ++asked;
      return absl::CancelledError("closed");
    }
    void ShowTouch(absl::string_view) override {}
    void HideTouch() override {}
    int asked = 0;
  };
  const auto closing = std::make_shared<Closing>();
  person_ = closing;
  token_.asks_pin = true;
  ASSERT_TRUE(Start().ok());
  for (int times = 1; times <= 2; ++times) {
    EXPECT_TRUE(absl::IsCancelled(Enroll(gate_).status()));
    EXPECT_EQ(closing->asked, times);
  }
}

// As a kill -9 does.
TEST_F(AgentEnrollTest, AKeyThatAnInterruptedEnrolmentLeftIsReportedUntilItIsGone) {
  token_.keeps_keys = true;
  StartEnrolled();
  const auto problems = [this] { return agent().ListDevices(CallControl())->problems(); };
  EXPECT_EQ(problems().size(), 0) << "an enrolled key is none";
  FakeGate::Faults faults;
  faults.finish_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "refused");
  gate_.Misbehave(faults);
  const absl::Status refused = Enroll(gate_).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("fake key 1 holds a key"));
  Restart();
  ASSERT_EQ(problems().size(), 1);
  EXPECT_THAT(problems()[0], HasSubstr("fake key 1 holds a key that was never enrolled"));
  EXPECT_THAT(problems()[0], HasSubstr("delete it"));
  gate_.Misbehave({});
  const auto next = Enroll(gate_);
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_EQ(next->notes_size(), 1);
  EXPECT_THAT(next->notes(0), HasSubstr("fake key 1"));
  token_.Delete("fake key 1");
  EXPECT_EQ(problems().size(), 0);
  Restart();
  EXPECT_EQ(problems().size(), 0);
}

TEST_F(AgentEnrollTest, AKeyThatWasEnrolledBeforeTheCrashIsNoneThatWasLeft) {
  StartEnrolled();
  Stop();
  const StateDirectory::LeftKey note{"fake", "fake key 0"};
  {
    auto state = StateDirectory::Open(state_);
    ASSERT_TRUE(state.ok()) << state.status();
    ASSERT_TRUE((*state)->AddLeftKey(note).ok());
    ASSERT_EQ((*state)->LeftKeys()->size(), 1u);
    EXPECT_EQ((*(*state)->LeftKeys())[0].place, note.place);
  }
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(agent().ListDevices(CallControl())->problems_size(), 0);
  Stop();
  auto state = StateDirectory::Open(state_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE((*state)->LeftKeys()->empty());
}

TEST_F(AgentEnrollTest, ALostAnswerLosesNoCredential) {
  ASSERT_TRUE(Start().ok());
  FakeGate::Faults faults;
  faults.lose_finish_answer = true;
  gate_.Misbehave(faults);
  auto enrolled = Enroll(gate_);
  EXPECT_TRUE(absl::IsUnavailable(enrolled.status())) << enrolled.status();
  EXPECT_THAT(std::string(enrolled.status().message()), HasSubstr("forekey login"));
  Restart();
  v1::GetStatusResponse status = agent().GetStatus();
  ASSERT_EQ(status.gates_size(), 1);
  EXPECT_THAT(status.gates(0).credentials(0).device(), HasSubstr("not confirmed"));
  auto login = Login();
  ASSERT_TRUE(login.ok()) << login.status();
  Restart();
  EXPECT_EQ(agent().GetStatus().gates(0).credentials(0).device(), "") << "confirmed by the session";
}

TEST_F(AgentEnrollTest, AFailedSecondEnrolmentKeepsTheFirst) {
  StartEnrolled();
  std::string before = *ReadFile(RecordPath());
  size_t files = Files().size();
  FakeGate::Faults faults;
  faults.finish_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "refused");
  gate_.Misbehave(faults);
  EXPECT_FALSE(Enroll(gate_).ok());
  EXPECT_EQ(*ReadFile(RecordPath()), before);
  EXPECT_EQ(Files().size(), files);
  EXPECT_TRUE(Login().ok());
}

TEST_F(AgentEnrollTest, ASecondCredentialIsAddedAndUsed) {
  StartEnrolled();
  auto second = Enroll(gate_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(agent().GetStatus().gates(0).credentials_size(), 2);
  EXPECT_TRUE(Login().ok());
}

TEST_F(AgentEnrollTest, AnInviteDoesNotRePinAGate) {
  StartEnrolled();
  std::string before = *ReadFile(RecordPath());
  FakeGate rogue("gate.test");
  auto enrolled = Enroll(rogue);
  EXPECT_EQ(ReasonOf(enrolled.status()), Reason::kGateIdentityMismatch) << enrolled.status();
  EXPECT_EQ(rogue.counts().challenges, 0);
  EXPECT_EQ(*ReadFile(RecordPath()), before);
}

TEST_F(AgentEnrollTest, AnInviteForAnotherSubjectDoesNotReplaceThisOne) {
  StartEnrolled();
  auto enrolled = Enroll(gate_, "bob");
  EXPECT_EQ(ReasonOf(enrolled.status()), Reason::kSubjectMismatch) << enrolled.status();
  EXPECT_EQ(gate_.counts().enrolled, 1);
}

TEST_F(AgentEnrollTest, ChoosesTheOnlyDeviceAndAsksAmongSeveral) {
  ASSERT_TRUE(Start().ok());
  token_.devices = 0;
  EXPECT_TRUE(absl::IsNotFound(Enroll(gate_).status()));
  token_.devices = 2;
  absl::Status several = Enroll(gate_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(several)) << several;
  EXPECT_THAT(std::string(several.message()), HasSubstr("fake:1"));
  EXPECT_EQ(gate_.counts().challenges, 0) << "the invite was not touched";
}

TEST_F(AgentEnrollTest, ABrokenInviteIsToldWithoutShowingIt) {
  ASSERT_TRUE(Start().ok());
  v1::EnrollRequest request;
  request.set_invite("forekey-invite:c2VjcmV0");
  absl::Status status = agent().Enroll(request, CallControl()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("c2VjcmV0")));
}

TEST_F(AgentEnrollTest, AStateDirectoryThatCannotBeWrittenUsesNoInvite) {
  ASSERT_TRUE(Start().ok());
  // A file where the gate's folder would be: as a full disk, it stops the writing.
  ASSERT_TRUE(WriteFileAtomically(state_ + "/gates/gate.test", "", 0600).ok());
  EXPECT_FALSE(Enroll(gate_).ok());
  EXPECT_EQ(gate_.counts().enrolled, 0);
}

}  // namespace
}  // namespace forekey
