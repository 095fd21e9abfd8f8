// SPDX-License-Identifier: Apache-2.0
// Sessions that a restarted gate forgot are resumed: no token signs, nobody is asked.
#include "src/agent/session_checks.h"
#include "tests/unit/agent/agent_fixture.h"
#include "tests/unit/agent/pending.h"

namespace forekey::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

class ResumptionTest : public AgentFixture {
 protected:
  ResumptionTest() {
    FakeGate::Faults faults;
    faults.tickets = true;
    gate_.Misbehave(faults);
  }
  void RefuseTickets() {
    FakeGate::Faults faults;
    faults.tickets = true;
    faults.refuse_tickets = true;
    gate_.Misbehave(faults);
  }
  // A program's call resumes the session of before a restart, and `logout` comes in the middle.
  absl::Status LogOutDuringAResumption(const grpc::Status& answer) {
    StartEnrolled();
    EXPECT_TRUE(Login().ok());
    gate_.DropSessions();
    FakeGate::Faults faults;
    faults.tickets = true;
    faults.resume_status = answer;
    gate_.Misbehave(faults);
    gate_.resuming.HoldFirst();
    PendingSession resuming;
    agent().OpenSession(resuming.call, v1::OpenLocalSessionRequest(), resuming.Done());
    gate_.resuming.AwaitWaiters(1);
    const absl::Status logged_out = agent().Logout(v1::LogoutRequest());
    gate_.resuming.Release();
    EXPECT_TRUE(absl::IsCancelled(resuming.Wait())) << resuming.Wait();
    faults.resume_status = grpc::Status::OK;
    gate_.Misbehave(faults);
    return logged_out;
  }
};

TEST_F(ResumptionTest, ARestartOfTheGateCostsNoSignature) {
  StartEnrolled();
  ASSERT_TRUE(OpenSession().ok());
  for (int restarts = 1; restarts <= 3; ++restarts) {
    gate_.DropSessions();
    auto child = OpenSession();
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(gate_.counts().resumed, restarts) << "each ticket is used once";
  }
  EXPECT_EQ(token_.signatures, 1);
  EXPECT_EQ(gate_.counts().sessions, 1);
}

TEST_F(ResumptionTest, APrefixAfterARestartResumesToo) {
  StartEnrolled();
  auto first = GetPrefix("/test.Echo/Say");
  ASSERT_TRUE(first.ok()) << first.status();
  gate_.DropSessions();
  v1::GetPrefixRequest request;
  request.set_method("/test.Echo/Say");
  request.set_rejected_session(first->session_id());
  auto second = agent().GetPrefix(request, CallControl());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(second->session_id(), first->session_id());
  EXPECT_EQ(token_.signatures, 1);
  EXPECT_EQ(gate_.counts().resumed, 1);
}

TEST_F(ResumptionTest, ARefusedTicketFallsBackToTheTokenAndIsNotTriedAgain) {
  StartEnrolled();
  ASSERT_TRUE(OpenSession().ok());
  gate_.DropSessions();
  RefuseTickets();
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2);
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_THAT(gate_.reasons(), ElementsAre("session-unknown", "ticket-invalid"));
}

TEST_F(ResumptionTest, AFreshLoginHasTheTokenSign) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  gate_.DropSessions();
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_EQ(gate_.counts().resumed, 0);
}

TEST_F(ResumptionTest, AFreshLoginTakesNoSessionThatIsBeingResumed) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  gate_.DropSessions();
  gate_.resuming.HoldFirst();
  PendingSession resuming;
  agent().OpenSession(resuming.call, v1::OpenLocalSessionRequest(), resuming.Done());
  gate_.resuming.AwaitWaiters(1);
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_TRUE(resuming.Wait().ok()) << resuming.Wait() << ": the new session serves it";
  gate_.resuming.Release();
}

TEST_F(ResumptionTest, ALogoutAfterARestartEndsWhatCouldBeResumed) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  gate_.DropSessions();
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().resumed, 1);
  EXPECT_EQ(gate_.counts().ended, 1);
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2) << "nothing is resumed after a logout";
}

TEST_F(ResumptionTest, ALogoutIsNotUndoneByAResumptionThatFailsMeanwhile) {
  const absl::Status logged_out =
      LogOutDuringAResumption(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the registry is away"));
  EXPECT_TRUE(absl::IsUnavailable(logged_out)) << logged_out << ": the gate was not told";
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2) << "nothing is resumed after a logout";
  EXPECT_EQ(gate_.counts().resumed, 0);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 2) << "that of before, too";
}

TEST_F(ResumptionTest, WhatIsResumedDuringALogoutIsEnded) {
  EXPECT_TRUE(LogOutDuringAResumption(grpc::Status::OK).ok());
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_EQ(gate_.counts().resumed, 1);
  EXPECT_EQ(gate_.counts().ended, 1);
}

// Whoever has its key could go on with it.
TEST_F(ResumptionTest, ALogoutEndsWhatAFreshLoginReplacedAfterARestart) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  gate_.DropSessions();
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().resumed, 1);
  EXPECT_EQ(gate_.counts().ended, 2);
}

// As at a gate whose registry did not answer: whoever has the ticket's key could go on elsewhere.
TEST_F(ResumptionTest, ALogoutThatTheGateCouldNotWriteDownIsMadeGoodByTheNext) {
  StartEnrolled();
  FakeGate::Faults faults;
  faults.tickets = faults.lose_ends = true;
  gate_.Misbehave(faults);
  for (int logins = 1; logins <= 2; ++logins) {
    ASSERT_TRUE(Login().ok());
    for (int logouts = 0; logouts < 2; ++logouts) {
      EXPECT_TRUE(absl::IsUnavailable(agent().Logout(v1::LogoutRequest())));
    }
  }
  EXPECT_EQ(gate_.counts().ended, 0);
  EXPECT_EQ(token_.signatures, 2) << "a session that was logged out of is not gone on with";
  faults.lose_ends = false;
  gate_.Misbehave(faults);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  const int ended = gate_.counts().ended;
  EXPECT_EQ(ended, 2) << "both sessions";
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, ended) << "once";
}

// As at a replica whose clock is wrong (ticket-clock): the session lives at another one.
TEST_F(ResumptionTest, ALogoutAtAProcessThatCannotJudgeTheTicketIsMadeGoodByTheNext) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  gate_.DropSessions();
  FakeGate::Faults faults;
  faults.tickets = true;
  faults.resume_status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "refused");
  gate_.Misbehave(faults);
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2) << "the token is asked meanwhile";
  EXPECT_FALSE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 1);
  faults.resume_status = grpc::Status::OK;
  gate_.Misbehave(faults);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 2);
}

TEST_F(ResumptionTest, AnIdleSessionIsNotEvenTried) {
  StartEnrolled();
  ASSERT_TRUE(OpenSession().ok());
  gate_.DropSessions();
  clock_.Advance(absl::Seconds(600));
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_THAT(gate_.reasons(), ElementsAre());
}

TEST_F(ResumptionTest, AUsedSessionGetsNewTicketsAndAnIdleOneIsNotKeptAlive) {
  StartEnrolled();
  GateAccount::Options options;
  options.record = *GateRecord::Parse(*ReadFile(RecordPath()));
  auto state = StateDirectory::Open(root_ + "/other-state");
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_TRUE(
      (*state)->SaveKey("gate.test", options.record.credentials[0].key_file, "fake key 0").ok());
  std::vector<std::unique_ptr<Driver>> drivers;
  drivers.push_back(token_.MakeDriver());
  options.state = state->get();
  options.drivers = &drivers;
  options.clock = &clock_;
  Lanes lanes;
  options.lanes = &lanes;
  auto account = GateAccount::New(std::move(options));
  ASSERT_TRUE(account.ok()) << account.status();
  const auto login = [&](const AgentCallPtr& call, auto done) {
    (*account)->Login(call, {}, std::move(done));
  };
  ASSERT_TRUE(Await<GateAccount::LoggedIn>(CallControl(), login).ok());
  const std::string first = (*account)->session()->ticket().bytes;
  clock_.Advance(absl::Seconds(250));  // of 600 s of idle time
  (*account)->KeepAlive();
  EXPECT_EQ(gate_.counts().who_am_i, 0) << "nobody used it";
  (void)(*account)->session()->MakePrefix("/test.Echo/Say");
  (*account)->KeepAlive();
  EXPECT_EQ(gate_.counts().who_am_i, 1);
  EXPECT_NE((*account)->session()->ticket().bytes, first);
  clock_.Advance(absl::Seconds(250));
  (*account)->KeepAlive();
  EXPECT_EQ(gate_.counts().who_am_i, 1) << "only the agent itself has used it since";
}

}  // namespace
}  // namespace forekey::testing
