// SPDX-License-Identifier: Apache-2.0
// LAW 8: the agent is no oracle. And its sessions: one opening for many, never a lost record.
#include "src/agent/agent.h"

#include <sys/stat.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/wire/prefix.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using ::testing::ElementsAre;
using testing::FakeGate;
using ::testing::HasSubstr;
using testing::MakeTlsIdentity;

using AgentTest = AgentFixture;

mode_t ModeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

CallControl CancelledWhen(std::atomic<bool>* flag) {
  CallControl call;
  call.cancelled = [flag] { return flag->load(); };
  return call;
}

// Whether the gate is reached by who trusts these CAs.
bool Reaches(GateTarget target, const std::string& ca_pem) {
  target.ca_pem = ca_pem;
  auto connection = GateConnection::New({.target = target});
  if (!connection.ok()) return false;
  return (*connection)->GetChallenge(v1::GetChallengeRequest::PURPOSE_CALL).ok();
}

TEST_F(AgentTest, EnrollsLogsInAndKnowsItAfterARestart) {
  StartEnrolled();
  auto login = Login();
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->subject(), "alice");
  EXPECT_EQ(token_.signatures, 1);
  Restart();
  v1::GetStatusResponse status = agent().GetStatus();
  ASSERT_EQ(status.gates_size(), 1);
  EXPECT_EQ(status.gates(0).audience(), "gate.test");
  EXPECT_EQ(status.gates(0).subject(), "alice");
  EXPECT_FALSE(status.gates(0).session_open()) << "sessions live in memory alone";
  ASSERT_EQ(status.gates(0).credentials_size(), 1);
  EXPECT_EQ(status.gates(0).credentials(0).device(), "");
  EXPECT_TRUE(Login().ok());
}

TEST_F(AgentTest, StateIsPrivate) {
  StartEnrolled();
  EXPECT_EQ(ModeOf(state_), 0700);
  EXPECT_EQ(ModeOf(state_ + "/gates/gate.test"), 0700);
  EXPECT_EQ(ModeOf(RecordPath()), 0600);
  for (const std::string& file : Files()) {
    EXPECT_EQ(ModeOf(state_ + "/gates/gate.test/" + file), 0600) << file;
  }
}

TEST_F(AgentTest, RefusesAGateThatItWasNeverEnrolledAt) {
  StartEnrolled();
  auto prefix = GetPrefix("/test.Echo/Say", "other.test");
  EXPECT_EQ(ReasonOf(prefix.status()), Reason::kGateNotEnrolled) << prefix.status();
  v1::OpenLocalSessionRequest request;
  request.set_gate("other.test");
  EXPECT_EQ(ReasonOf(agent().OpenSession(request, CallControl()).status()),
            Reason::kGateNotEnrolled);
  EXPECT_EQ(token_.signatures, 0);
}

TEST_F(AgentTest, RefusesForekeysOwnMethods) {
  StartEnrolled();
  for (bool device : {false, true}) {
    for (const char* method : {"/forekey.v1.Gate/OpenSession", "/forekey.v1.Gate/OpenChildSession",
                               "/forekey.v1.Gate/EndSession", "/forekey.v1.Gate/FinishEnrollment",
                               "/forekey.v1.Gate/WhoAmIToo", "/forekey.v1.Admin/CreateInvite"}) {
      auto prefix = GetPrefix(method, "", device);
      EXPECT_EQ(ReasonOf(prefix.status()), Reason::kMethodNotForAgent) << method;
    }
  }
  EXPECT_TRUE(GetPrefix("/forekey.v1.Gate/WhoAmI").ok());
}

TEST_F(AgentTest, RefusesMalformedMethodsAndSizes) {
  StartEnrolled();
  for (const char* method : {"", "/", "test.Echo/Say", "/test.Echo/Say/More", "/test Echo/Say",
                             "//forekey.v1.Gate/OpenSession", "/test.Echo/Say\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(GetPrefix(method).status())) << method;
  }
  v1::GetPrefixRequest request;
  request.set_method("/test.Echo/Say");
  request.set_channel_binding("short");
  EXPECT_TRUE(absl::IsInvalidArgument(agent().GetPrefix(request, CallControl()).status()));
  v1::OpenLocalSessionRequest open;
  open.set_channel_binding("short");
  EXPECT_TRUE(absl::IsInvalidArgument(agent().OpenSession(open, CallControl()).status()));
  EXPECT_EQ(token_.signatures, 0);
}

TEST_F(AgentTest, PrefixesOfTheSessionOfTheDeviceAndOfOtherConnections) {
  StartEnrolled();
  auto session = GetPrefix("/test.Echo/Say");
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_NE(Prefix::Parse(session->prefix())->session(), nullptr);
  EXPECT_EQ(Prefix::Parse(session->prefix())->session()->session_id, session->session_id());
  auto device = GetPrefix("/test.Echo/Say", "", true);
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_NE(Prefix::Parse(device->prefix())->device(), nullptr);
  EXPECT_EQ(device->session_id(), "");
  EXPECT_EQ(token_.signatures, 2);

  v1::GetPrefixRequest request;
  request.set_method("/test.Echo/Say");
  request.set_channel_binding(std::string(32, 'b'));
  auto other = agent().GetPrefix(request, CallControl());
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->session_id(), session->session_id()) << "a child, bound to that certificate";
  auto again = agent().GetPrefix(request, CallControl());
  EXPECT_EQ(again->session_id(), other->session_id());
  request.set_rejected_session(other->session_id());
  auto renewed = agent().GetPrefix(request, CallControl());
  EXPECT_NE(renewed->session_id(), other->session_id());
  EXPECT_EQ(token_.signatures, 2);
}

TEST_F(AgentTest, AnotherSessionAfterARejectedOne) {
  StartEnrolled();
  auto first = GetPrefix("/test.Echo/Say");
  ASSERT_TRUE(first.ok()) << first.status();
  v1::GetPrefixRequest request;
  request.set_method("/test.Echo/Say");
  request.set_rejected_session(first->session_id());
  auto second = agent().GetPrefix(request, CallControl());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(second->session_id(), first->session_id());
  // Whoever comes later with the same rejection gets the new one, not a third.
  auto third = agent().GetPrefix(request, CallControl());
  EXPECT_EQ(third->session_id(), second->session_id());
  EXPECT_EQ(token_.signatures, 2);
}

TEST_F(AgentTest, AllCallsOfAnAgentCarryOneIdForBalancersWhereItIsAskedTo) {
  affinity_ = true;
  StartEnrolled();
  auto child = OpenSession();
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->affinity().size(), 16u);
  auto prefix = GetPrefix("/test.Echo/Say");
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  EXPECT_EQ(prefix->affinity(), child->affinity());
  auto seen = gate_.affinities();
  EXPECT_THAT(seen["/forekey.v1.Gate/OpenSession"], ElementsAre(child->affinity()));
  EXPECT_THAT(seen["/forekey.v1.Gate/OpenChildSession"], ElementsAre(child->affinity()));
  // An enrolment has one of its own, the same for all of its steps.
  const auto enrolment = seen["/forekey.v1.Gate/BeginEnrollment"];
  EXPECT_THAT(enrolment, ElementsAre(::testing::Not(child->affinity())));
  EXPECT_EQ(seen["/forekey.v1.Gate/FinishEnrollment"], enrolment);
  affinity_ = false;
  Restart();
  child = OpenSession();
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->affinity(), "");
}

TEST_F(AgentTest, OneOpeningForManyCallers) {
  StartEnrolled();
  token_.Hold();
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([this, &good] { good += OpenSession().ok(); });
  }
  token_.AwaitSigners(1);
  token_.Release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 8);
  EXPECT_EQ(token_.signatures, 1);
  EXPECT_EQ(gate_.counts().sessions, 1);
  EXPECT_EQ(gate_.counts().children, 8);
}

TEST_F(AgentTest, ACallerThatGoesAwayEndsItsWaitAndTheNextTakesOver) {
  StartEnrolled();
  token_.Hold();
  std::atomic<bool> gone{false};
  absl::Status first, second;
  std::thread opener([&] { first = OpenSession(CancelledWhen(&gone)).status(); });
  token_.AwaitSigners(1);
  std::thread waiter([&] { second = OpenSession().status(); });
  gone = true;
  opener.join();
  EXPECT_TRUE(absl::IsCancelled(first)) << first;
  token_.AwaitSigners(1);  // the second caller's own
  token_.Release();
  waiter.join();
  EXPECT_TRUE(second.ok()) << second;
  EXPECT_EQ(token_.signatures, 1);
}

TEST_F(AgentTest, ReopensTheParentAfterTheGateForgotIt) {
  StartEnrolled();
  ASSERT_TRUE(OpenSession().ok());
  gate_.DropSessions();
  auto child = OpenSession();
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_EQ(gate_.counts().sessions, 2);
}

TEST_F(AgentTest, RenewsAnExpiredParent) {
  StartEnrolled();
  ASSERT_TRUE(OpenSession().ok());
  clock_.Advance(absl::Seconds(3600));
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2);
  EXPECT_THAT(gate_.reasons(), ElementsAre()) << "the expired one was not even tried";
}

// A forged answer is not a reason to ask the token again.
TEST_F(AgentTest, DoesNotRetryAGateThatFailsItsConfirmation) {
  StartEnrolled();
  FakeGate::Faults faults;
  faults.corrupt_confirmation = true;
  gate_.Misbehave(faults);
  auto child = OpenSession();
  EXPECT_EQ(ReasonOf(child.status()), Reason::kGateConfirmationInvalid) << child.status();
  EXPECT_EQ(token_.signatures, 1);
  EXPECT_FALSE(agent().GetStatus().gates(0).session_open());
}

TEST_F(AgentTest, RefusesASessionOfAnotherSubject) {
  StartEnrolled();
  FakeGate::Faults faults;
  faults.session_subject = "mallory";
  gate_.Misbehave(faults);
  EXPECT_EQ(ReasonOf(Login().status()), Reason::kSubjectMismatch);
  EXPECT_EQ(gate_.counts().ended, 1) << "nobody will use it";
}

// The child was refused, and its parent went on: what a gate says of a session that it mistakes for
// somebody else's was believed in everything else.
TEST_F(AgentTest, AChildOfAnotherSubjectEndsTheSession) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  FakeGate::Faults faults;
  faults.session_subject = "mallory";
  gate_.Misbehave(faults);
  const absl::Status told = OpenSession().status();
  EXPECT_EQ(ReasonOf(told), Reason::kSubjectMismatch) << told;
  EXPECT_THAT(std::string(told.message()), ::testing::HasSubstr("for mallory"));
  EXPECT_EQ(gate_.counts().ended, 2) << "the child's, and its parent's";
  EXPECT_FALSE(agent().GetStatus().gates(0).session_open());

  gate_.Misbehave({});
  EXPECT_TRUE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 2) << "a new session, not the doubtful one";
}

TEST_F(AgentTest, LogoutEndsTheSessionAtTheGate) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 1);
  EXPECT_FALSE(agent().GetStatus().gates(0).session_open());
}

// Children of the first may be in use until then.
TEST_F(AgentTest, LogoutEndsWhatAFreshLoginReplacedToo) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_EQ(gate_.counts().ended, 0);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 2);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 2) << "once";
}

TEST_F(AgentTest, WhatReplacedSessionsAreTooManyEndAtOnce) {
  StartEnrolled();
  for (int logins = 0; logins < 70; ++logins) ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_EQ(gate_.counts().ended, 70);
}

// A proof leaves only for the certificate that it was made for (LAW 2), and the gate takes the old
// one for a day.
TEST_F(AgentTest, LogoutSaysWhereTheGateCouldNotBeToldForItsNewCertificate) {
  gate_.PrepareLeaf();
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  gate_.ReplaceLeaf();
  for (int logouts = 0; logouts < 2; ++logouts) {
    const absl::Status out = agent().Logout(v1::LogoutRequest());
    EXPECT_TRUE(absl::IsUnavailable(out)) << out;
    EXPECT_THAT(std::string(out.message()), HasSubstr("TLS certificate"));
    clock_.Advance(absl::Seconds(300));  // of 600 s of idle time
  }
  const absl::Status over = agent().Logout(v1::LogoutRequest());
  EXPECT_TRUE(over.ok()) << over << ": it ended by itself";
}

TEST_F(AgentTest, ASessionThatANewCertificateReplacedIsStillToBeEnded) {
  gate_.PrepareLeaf();
  StartEnrolled();
  ASSERT_TRUE(OpenSession().ok());
  gate_.ReplaceLeaf();
  ASSERT_TRUE(OpenSession().ok());
  EXPECT_EQ(gate_.counts().sessions, 2);
  EXPECT_TRUE(absl::IsUnavailable(agent().Logout(v1::LogoutRequest())));
  EXPECT_EQ(gate_.counts().ended, 1);
}

TEST_F(AgentTest, FreshLoginAsksTheTokenAgain) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  ASSERT_TRUE(Login().ok());
  EXPECT_EQ(token_.signatures, 1);
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_EQ(token_.signatures, 2);
}

TEST_F(AgentTest, AWrongPasswordIsToldAndNeverTriedTwice) {
  ASSERT_TRUE(Start().ok());
  ASSERT_TRUE(Enroll(gate_, "alice", "open sesame").ok());
  token_.signatures = 0;
  auto none = OpenSession();
  EXPECT_EQ(DeviceErrorOf(none.status()), DeviceError::kPinRequired) << none.status();
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("forekey login"));
  auto wrong = Login(false, "wrong");
  EXPECT_EQ(DeviceErrorOf(wrong.status()), DeviceError::kWrongPin) << wrong.status();
  EXPECT_EQ(token_.signatures, 1);
  EXPECT_FALSE(OpenSession().ok());
  EXPECT_FALSE(OpenSession().ok());
  EXPECT_EQ(token_.signatures, 1) << "the wrong password was tried again";
  EXPECT_TRUE(Login(false, "open sesame").ok());
  EXPECT_TRUE(OpenSession().ok());
}

TEST_F(AgentTest, FollowsTheGatesAnnouncedIdentity) {
  StartEnrolled();
  X25519PrivateKey next = X25519PrivateKey::Generate();
  FakeGate::Faults faults;
  faults.announce_identity = next.public_key();
  gate_.Misbehave(faults);
  std::string old_identity = gate_.identity();
  ASSERT_TRUE(Login().ok());
  auto record = GateRecord::Parse(*ReadFile(RecordPath()));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_THAT(record->identities, ElementsAre(next.public_key(), old_identity));
  // The old one still works while the gate accepts no other.
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  // The gate now has the announced one alone.
  gate_.Misbehave(FakeGate::Faults());
  gate_.SetIdentity(std::move(next));
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  record = GateRecord::Parse(*ReadFile(RecordPath()));
  EXPECT_THAT(record->identities, ElementsAre(gate_.identity())) << "the old pin is dropped";
}

// The gate changes the CA of its TLS: who opened a session before knows the next one.
TEST_F(AgentTest, LearnsTheNextCaOfTheGatesTlsAhead) {
  clock_.StepWall(absl::Now() - clock_.WallNow());  // certificates are made for now
  StartEnrolled();
  // Of another certificate and name, as the gate will be.
  FakeGate next("gate.test", MakeTlsIdentity("localhost"));
  GateTarget switched = next.target();
  switched.tls_server_name = "localhost";
  FakeGate::Faults faults;
  faults.announce_anchors = gate_.tls().certificate_pem + next.tls().certificate_pem;
  gate_.Misbehave(faults);
  ASSERT_TRUE(Login().ok());
  const auto record = GateRecord::Parse(*ReadFile(RecordPath()));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_FALSE(Reaches(switched, gate_.tls().certificate_pem))
      << "who did not learn it is locked out";
  EXPECT_TRUE(Reaches(switched, record->target.ca_pem));
  EXPECT_TRUE(Reaches(gate_.target(), record->target.ca_pem)) << "the old one is still there";
  // The agent itself goes on, and writes nothing where there is nothing new.
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_EQ(GateRecord::Parse(*ReadFile(RecordPath()))->target.ca_pem, record->target.ca_pem);
}

TEST_F(AgentTest, WhatASessionTaughtIsWrittenByTheNextWhereTheDiskWasFull) {
  clock_.StepWall(absl::Now() - clock_.WallNow());  // certificates are made for now
  StartEnrolled();
  FakeGate::Faults faults;
  const std::string next = MakeTlsIdentity("localhost").certificate_pem;
  faults.announce_anchors = gate_.tls().certificate_pem + next;
  gate_.Misbehave(faults);
  // A folder in the record's place stops its writing, as a full disk does.
  const std::string aside = RecordPath() + ".aside";
  std::filesystem::rename(RecordPath(), aside);
  std::filesystem::create_directory(RecordPath());
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  std::filesystem::remove(RecordPath());
  std::filesystem::rename(aside, RecordPath());
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  EXPECT_THAT(GateRecord::Parse(*ReadFile(RecordPath()))->target.ca_pem,
              HasSubstr(next.substr(0, next.find("-----END"))));
}

TEST_F(AgentTest, AnUnannouncedIdentityIsRefused) {
  StartEnrolled();
  gate_.SetIdentity(X25519PrivateKey::Generate());
  EXPECT_TRUE(absl::IsUnauthenticated(Login().status()));
  EXPECT_THAT(gate_.reasons(), ElementsAre("gate-identity-unknown"));
}

TEST_F(AgentTest, KeepsTheParentAliveWhileChildrenAreOut) {
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
  clock_.Advance(absl::Seconds(250));
  (*account)->KeepAlive();
  EXPECT_EQ(gate_.counts().who_am_i, 0) << "nobody has a child";
  const auto open_child = [&](const AgentCallPtr& call, auto done) {
    (*account)->OpenChild(call, "", std::move(done));
  };
  ASSERT_TRUE(Await<ClientSessionPtr>(CallControl(), open_child).ok());
  (*account)->KeepAlive();
  EXPECT_EQ(gate_.counts().who_am_i, 0) << "just used";
  for (int i = 1; i <= 5; ++i) {
    clock_.Advance(absl::Seconds(250));  // of 600 s of idle time
    (*account)->KeepAlive();
    EXPECT_EQ(gate_.counts().who_am_i, i);
  }
  EXPECT_NE((*account)->session(), nullptr);
  clock_.Advance(absl::Seconds(3600));
  (*account)->KeepAlive();
  EXPECT_EQ(gate_.counts().who_am_i, 5) << "past the children's end";
}

TEST_F(AgentTest, ForgetsAGate) {
  StartEnrolled();
  v1::ForgetGateRequest request;
  EXPECT_TRUE(absl::IsInvalidArgument(agent().ForgetGate(request).status()));
  request.set_gate("gate.test");
  ASSERT_TRUE(agent().ForgetGate(request).ok());
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
  EXPECT_FALSE(std::filesystem::exists(state_ + "/gates/gate.test"));
  Restart();
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
}

TEST_F(AgentTest, AsksWhichGateWhenThereAreTwo) {
  StartEnrolled();
  FakeGate second("second.test");
  ASSERT_TRUE(Enroll(second).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Login().status()));
  EXPECT_TRUE(GetPrefix("/test.Echo/Say", "second.test").ok());
  EXPECT_EQ(gate_.counts().sessions, 0);
}

// Whoever asks for anything while the agent ends is told so.
TEST_F(AgentTest, AnEndingAgentSaysSo) {
  StartEnrolled();
  agent().Stop();
  EXPECT_TRUE(absl::IsCancelled(Login().status())) << Login().status();
  EXPECT_TRUE(absl::IsCancelled(GetPrefix("/test.Echo/Say").status()));
}

TEST_F(AgentTest, TwoAgentsDoNotShareAStateDirectory) {
  StartEnrolled();
  auto second = Agent::New(AgentOptions());
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
}

}  // namespace
}  // namespace forekey
