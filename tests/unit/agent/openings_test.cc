// SPDX-License-Identifier: Apache-2.0
// Openings are the agent's: one for all who want the same, never one with less than was wished for,
// never a prompt that nobody waits for, never a secret that outlives its opening.
#include <atomic>
#include <thread>
#include <vector>

#include "src/base/file.h"
#include "tests/unit/agent/agent_fixture.h"
#include "tests/unit/agent/pending.h"

namespace forekey {
namespace {

using testing::AgentFixture;
using testing::FakeGate;
using ::testing::HasSubstr;
using testing::Pending;
using testing::PendingLogin;
using testing::PendingSession;

// Somebody who is asked, and takes the time that the test wants.
class SlowPerson : public Prompter {
 public:
  std::unique_ptr<Prompt> For(PromptContext context) override {
    return std::make_unique<Question>(this, std::move(context));
  }
  void AwaitQuestions(int count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return open_ >= count; };
    mutex_.Await(absl::Condition(&there));
  }
  void AwaitNoQuestion() {
    absl::MutexLock lock(&mutex_);
    const auto gone = [this] { return open_ == 0; };
    mutex_.Await(absl::Condition(&gone));
  }
  void Answer(const std::string& answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = answer;
    answered_ = true;
  }
  int asked() {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }

 private:
  class Question : public Prompt {
   public:
    Question(SlowPerson* person, PromptContext context)
        : person_(person), context_(std::move(context)) {}
    absl::StatusOr<Secret> AskPin(absl::string_view, int) override { return Ask(); }
    absl::StatusOr<Secret> AskSecret(absl::string_view) override { return Ask(); }
    void ShowTouch(absl::string_view) override {}
    void HideTouch() override {}

   private:
    absl::StatusOr<Secret> Ask() {
      absl::MutexLock lock(&person_->mutex_);
      ++person_->asked_;
      ++person_->open_;
      bool cancelled = false;
      while (!cancelled && !person_->mutex_.AwaitWithTimeout(absl::Condition(&person_->answered_),
                                                             absl::Milliseconds(5))) {
        cancelled = context_.cancelled && context_.cancelled();
      }
      --person_->open_;
      if (cancelled) return DeviceFailure(DeviceError::kCancelled, "nobody waits");
      return Secret::CopyOf(person_->answer_);
    }
    SlowPerson* const person_;
    const PromptContext context_;
  };

  absl::Mutex mutex_;
  int asked_ = 0, open_ = 0;
  bool answered_ = false;
  std::string answer_;
};

class AgentOpeningsTest : public AgentFixture {
 protected:
  void Open(PendingSession* pending, const std::string& method = "") {
    v1::OpenLocalSessionRequest request;
    request.set_method(method);
    agent().OpenSession(pending->call, request, pending->Done());
  }
  void LogIn(PendingLogin* pending, const std::string& password) {
    v1::LoginRequest request;
    request.set_password(password);
    agent().Login(pending->call, request, pending->Done());
  }
  void LogInWith(PendingLogin* pending, const std::vector<std::string>& with) {
    v1::LoginRequest request;
    for (const std::string& name : with) request.add_with(name);
    agent().Login(pending->call, request, pending->Done());
  }
  void StartWithPerson() {
    AgentServer::Options options;
    options.socket = socket_;
    options.agent = AgentOptions();
    auto person = std::make_unique<SlowPerson>();
    person_ = person.get();
    options.agent.prompter = std::move(person);
    auto server = AgentServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_TRUE(Enroll(gate_).ok());
    FakeGate::Faults faults;
    faults.step_up = "password";
    faults.factors_meet_step_up = true;
    gate_.Misbehave(faults);
  }
  SlowPerson* person_ = nullptr;
};

TEST_F(AgentOpeningsTest, ALoginWithAPasswordTakesNoSessionThatDidNotProveIt) {
  StartEnrolled();
  token_.Hold();
  PendingSession other;
  Open(&other);
  token_.AwaitSigners(1);
  PendingLogin login;
  LogIn(&login, "open sesame");
  token_.Release();
  EXPECT_TRUE(other.Wait().ok()) << other.Wait();
  ASSERT_TRUE(login.Wait().ok()) << login.Wait();
  EXPECT_EQ(gate_.counts().with_factors, 1);
}

// A label may have a comma in it.
TEST_F(AgentOpeningsTest, ALabelWithACommaIsNotTwoSigners) {
  StartEnrolled();
  v1::EnrollRequest request;
  request.set_invite(gate_.MakeInvite("alice").Serialize());
  request.set_label("one,two");
  ASSERT_TRUE(agent().Enroll(request, CallControl()).ok());
  for (const char* label : {"one", "two"}) {
    request.set_invite(gate_.MakeInvite("alice").Serialize());
    request.set_label(label);
    ASSERT_TRUE(agent().Enroll(request, CallControl()).ok()) << label;
  }
  token_.Hold();
  PendingLogin single, both;
  LogInWith(&single, {"one,two"});
  token_.AwaitSigners(1);
  token_.signatures = 0;
  LogInWith(&both, {"one", "two"});
  token_.Release();
  EXPECT_TRUE(single.Wait().ok()) << single.Wait();
  EXPECT_TRUE(both.Wait().ok()) << both.Wait();
  EXPECT_EQ(gate_.counts().sessions, 2) << "both signers were asked for";
}

TEST_F(AgentOpeningsTest, ALoginWithAPasswordServesWhoIsAskedForItAndWaitsForNobody) {
  StartWithPerson();
  PendingSession caller;
  Open(&caller, "/test.Echo/Say");
  person_->AwaitQuestions(1);
  PendingLogin login;
  LogIn(&login, "open sesame");
  ASSERT_TRUE(login.Wait().ok()) << login.Wait();
  EXPECT_TRUE(caller.Wait().ok()) << caller.Wait();
  person_->AwaitNoQuestion();
  EXPECT_EQ(gate_.counts().with_factors, 1) << "the password is proved before success is told";
}

TEST_F(AgentOpeningsTest, AStepUpBehindALoginWithThePasswordDoesNotAskForIt) {
  StartWithPerson();
  ASSERT_TRUE(Login().ok());
  token_.Hold();
  PendingLogin login;
  LogIn(&login, "open sesame");
  token_.AwaitSigners(1);
  PendingSession caller;
  Open(&caller, "/test.Echo/Say");
  while (gate_.counts().requirements < 1) std::this_thread::yield();
  token_.Release();
  EXPECT_TRUE(login.Wait().ok()) << login.Wait();
  EXPECT_TRUE(caller.Wait().ok()) << caller.Wait();
  EXPECT_EQ(person_->asked(), 0);
}

TEST_F(AgentOpeningsTest, APasswordEndsWithALogout) {
  StartEnrolled();
  token_.Hold();
  PendingSession other;
  Open(&other);
  token_.AwaitSigners(1);
  PendingLogin login;
  LogIn(&login, "open sesame");
  ASSERT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_TRUE(absl::IsCancelled(login.Wait())) << login.Wait();
  EXPECT_TRUE(absl::IsCancelled(other.Wait())) << other.Wait();
  token_.Release();
  ASSERT_TRUE(Login().ok());
  EXPECT_EQ(gate_.counts().with_factors, 0) << "a password that was given before the logout";
}

TEST_F(AgentOpeningsTest, AWrongPasswordIsSentOnceAndConcernsNobodyElse) {
  StartEnrolled();
  FakeGate::Faults faults;
  faults.refuse_factors = true;
  gate_.Misbehave(faults);
  token_.Hold();
  PendingLogin login;
  LogIn(&login, "wrong");
  token_.AwaitSigners(1);
  PendingSession others[3];
  for (PendingSession& other : others) Open(&other);
  token_.Release();
  EXPECT_THAT(std::string(login.Wait().message()), HasSubstr("password may be wrong"));
  for (PendingSession& other : others) EXPECT_TRUE(other.Wait().ok()) << other.Wait();
  EXPECT_EQ(gate_.counts().with_factors, 1);
  EXPECT_EQ(gate_.counts().sessions, 1) << "one for the three";
}

TEST_F(AgentOpeningsTest, AnEnrolmentDuringAnOpeningIsNotLost) {
  StartEnrolled();
  FakeGate::Faults faults;
  faults.announce_identity = X25519PrivateKey::Generate().public_key();  // the opening writes, too
  gate_.Misbehave(faults);
  token_.Hold("fake key 0");
  PendingSession opening;
  Open(&opening);
  token_.AwaitSigners(1);
  auto enrolled = Enroll(gate_);
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  token_.Release();
  ASSERT_TRUE(opening.Wait().ok()) << opening.Wait();
  Restart();
  EXPECT_EQ(agent().GetStatus().gates(0).credentials_size(), 2) << "an acknowledged credential";
  auto record = GateRecord::Parse(*ReadFile(RecordPath()));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->identities.size(), 2u) << "what the opening learned";
}

TEST_F(AgentOpeningsTest, ForgettingIsNotUndoneByAnOpening) {
  StartEnrolled();
  FakeGate::Faults faults;
  faults.announce_identity = X25519PrivateKey::Generate().public_key();
  gate_.Misbehave(faults);
  token_.Hold();
  PendingSession opening;
  Open(&opening);
  token_.AwaitSigners(1);
  v1::ForgetGateRequest request;
  request.set_gate("gate.test");
  ASSERT_TRUE(agent().ForgetGate(request).ok());
  token_.Release();
  EXPECT_THAT(std::string(opening.Wait().message()), HasSubstr("forgotten"));
  Restart();
  EXPECT_EQ(agent().GetStatus().gates_size(), 0);
  EXPECT_FALSE(std::filesystem::exists(state_ + "/gates/gate.test"));
}

TEST_F(AgentOpeningsTest, ForgettingDoesNotWaitForAnotherGatesEnrolment) {
  StartEnrolled();
  FakeGate second("second.test");
  token_.Hold("fake key 1");
  absl::Status enrolled;
  std::thread enrolling([&] { enrolled = Enroll(second).status(); });
  token_.AwaitSigners(1);
  v1::ForgetGateRequest request;
  request.set_gate("gate.test");
  EXPECT_TRUE(agent().ForgetGate(request).ok());
  token_.Release();
  enrolling.join();
  EXPECT_TRUE(enrolled.ok()) << enrolled;
}

TEST_F(AgentOpeningsTest, EightCallersMakeOnePrompt) {
  StartWithPerson();
  PendingSession callers[8];
  for (PendingSession& caller : callers) Open(&caller, "/test.Echo/Say");
  person_->AwaitQuestions(1);
  person_->Answer("open sesame");
  for (PendingSession& caller : callers) EXPECT_TRUE(caller.Wait().ok()) << caller.Wait();
  EXPECT_EQ(person_->asked(), 1);
  EXPECT_EQ(gate_.counts().with_factors, 1);
}

TEST_F(AgentOpeningsTest, ALoginWithAKeyPasswordWaitsForNobodysPromptAndServesWhoDoes) {
  StartWithPerson();
  gate_.Misbehave({});
  ASSERT_TRUE(Enroll(gate_, "alice", "secret").ok());
  token_.asks_pin = true;
  PendingSession other;
  Open(&other);
  person_->AwaitQuestions(1);
  PendingLogin login;
  v1::LoginRequest request;
  request.set_key_password("secret");
  agent().Login(login.call, request, login.Done());
  EXPECT_TRUE(login.Wait().ok()) << login.Wait();
  EXPECT_TRUE(other.Wait().ok()) << other.Wait();
  person_->AwaitNoQuestion();
  EXPECT_EQ(person_->asked(), 1);
  EXPECT_EQ(gate_.counts().sessions, 1);
}

TEST_F(AgentOpeningsTest, WhoWaitsLearnsThatTheKeyPasswordWasWrong) {
  StartWithPerson();
  gate_.Misbehave({});
  ASSERT_TRUE(Enroll(gate_, "alice", "secret").ok());
  token_.asks_pin = true;
  PendingSession other;
  Open(&other);
  person_->AwaitQuestions(1);
  EXPECT_EQ(DeviceErrorOf(Login(false, "wrong").status()), DeviceError::kWrongPin);
  const absl::Status left_alone = other.Wait();
  EXPECT_EQ(DeviceErrorOf(left_alone), DeviceError::kWrongPin) << left_alone;
  EXPECT_EQ(person_->asked(), 1) << "not within seconds of a wrong PIN";
}

TEST_F(AgentOpeningsTest, APromptWithoutAWaiterEndsAndTheGateIsNotWedged) {
  StartWithPerson();
  PendingSession caller;
  Open(&caller, "/test.Echo/Say");
  person_->AwaitQuestions(1);
  caller.call->Cancel();
  EXPECT_TRUE(absl::IsCancelled(caller.Wait())) << caller.Wait();
  person_->AwaitNoQuestion();
  person_->Answer("open sesame");
  PendingSession next;
  Open(&next, "/test.Echo/Say");
  EXPECT_TRUE(next.Wait().ok()) << next.Wait();
}

TEST_F(AgentOpeningsTest, WhatAPersonTypesServesWhoStillWaits) {
  StartWithPerson();
  PendingSession first, second;
  Open(&first, "/test.Echo/Say");
  person_->AwaitQuestions(1);
  Open(&second, "/test.Echo/Say");
  // The second one has its own way to go before it waits for the same.
  while (gate_.counts().requirements < 2) std::this_thread::yield();
  PendingSession third;
  Open(&third, "/test.Echo/Say");
  while (gate_.counts().requirements < 3) std::this_thread::yield();
  first.call->Cancel();
  EXPECT_TRUE(absl::IsCancelled(first.Wait())) << first.Wait();
  person_->Answer("open sesame");
  EXPECT_TRUE(second.Wait().ok()) << second.Wait();
  EXPECT_TRUE(third.Wait().ok()) << third.Wait();
}

TEST_F(AgentOpeningsTest, LogoutEndsAPromptAtOnce) {
  StartWithPerson();
  PendingSession caller;
  Open(&caller, "/test.Echo/Say");
  person_->AwaitQuestions(1);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_TRUE(absl::IsCancelled(caller.Wait())) << caller.Wait();
  person_->AwaitNoQuestion();
}

TEST_F(AgentOpeningsTest, LogoutEndsACallThatWaitsForATouch) {
  StartEnrolled();
  token_.Hold();
  Pending<v1::GetPrefixResponse> caller;
  v1::GetPrefixRequest request;
  request.set_method("/test.Echo/Say");
  request.set_device(true);
  agent().GetPrefix(caller.call, request, caller.Done());
  token_.AwaitSigners(1);
  EXPECT_TRUE(agent().Logout(v1::LogoutRequest()).ok());
  EXPECT_TRUE(absl::IsCancelled(caller.Wait())) << caller.Wait();
}

// The person never answers, and nobody waits for that: the test would hang.
TEST_F(AgentOpeningsTest, StoppingEndsPromptsTouchesAndEnrolmentsAndTheSocketGoesFirst) {
  StartWithPerson();
  PendingSession caller;
  Open(&caller, "/test.Echo/Say");
  person_->AwaitQuestions(1);
  token_.Hold();
  absl::Status enrolled;
  std::thread enrolling([&] { enrolled = Enroll(gate_).status(); });
  token_.AwaitSigners(1);
  agent().Stop();
  EXPECT_TRUE(absl::IsCancelled(caller.Wait())) << caller.Wait();
  enrolling.join();
  EXPECT_TRUE(absl::IsCancelled(enrolled)) << enrolled;
  Stop();
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(AgentOpeningsTest, StatusAndLogoutGetThroughWhereHundredsWait) {
  StartEnrolled();
  token_.Hold();
  auto channel = AgentChannel(socket_);
  ASSERT_TRUE(channel.ok()) << channel.status();
  auto stub = v1::Agent::NewStub(*channel);
  constexpr int kCallers = 400;
  struct Caller {
    grpc::ClientContext context;
    v1::OpenLocalSessionRequest request;
    v1::OpenLocalSessionResponse response;
    grpc::Status status;
    absl::Notification there;
  };
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<Caller>());
    Caller* caller = callers.back().get();
    stub->async()->OpenSession(&caller->context, &caller->request, &caller->response,
                               [caller](grpc::Status status) {
                                 caller->status = std::move(status);
                                 caller->there.Notify();
                               });
  }
  token_.AwaitSigners(1);
  grpc::ClientContext status_context, logout_context;
  v1::GetStatusResponse status;
  EXPECT_TRUE(stub->GetStatus(&status_context, v1::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.gates_size(), 1);
  v1::LogoutResponse logged_out;
  // Callers that came after one logout wait until the next.
  bool all = false;
  while (!all) {
    grpc::ClientContext context;
    EXPECT_TRUE(stub->Logout(&context, v1::LogoutRequest(), &logged_out).ok());
    all = true;
    for (const auto& caller : callers) {
      all = all && caller->there.WaitForNotificationWithTimeout(absl::Milliseconds(1));
    }
  }
  for (const auto& caller : callers) {
    EXPECT_EQ(caller->status.error_code(), grpc::StatusCode::CANCELLED);
  }
  token_.Release();
}

// Those that a token which hangs keeps must leave threads for what ends things.
TEST_F(AgentOpeningsTest, StatusAndLogoutGetThroughWhereHundredsListDevices) {
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  token_.listing.Hold();
  auto channel = AgentChannel(socket_);
  ASSERT_TRUE(channel.ok()) << channel.status();
  auto stub = v1::Agent::NewStub(*channel);
  struct Caller {
    grpc::ClientContext context;
    v1::ListDevicesRequest request;
    v1::ListDevicesResponse response;
    grpc::Status status;
    absl::Notification there;
  };
  std::vector<std::unique_ptr<Caller>> callers;
  std::atomic<int> refused{0};
  for (int i = 0; i < 300; ++i) {
    callers.push_back(std::make_unique<Caller>());
    Caller* caller = callers.back().get();
    stub->async()->ListDevices(&caller->context, &caller->request, &caller->response,
                               [caller, &refused](grpc::Status status) {
                                 if (!status.ok()) ++refused;
                                 caller->status = std::move(status);
                                 caller->there.Notify();
                               });
  }
  token_.listing.AwaitWaiters(1);
  while (refused < 290) std::this_thread::yield();  // who waits for a turn keeps a thread, too
  grpc::ClientContext status_context, logout_context;
  v1::GetStatusResponse status;
  EXPECT_TRUE(stub->GetStatus(&status_context, v1::GetStatusRequest(), &status).ok());
  v1::LogoutResponse logged_out;
  EXPECT_TRUE(stub->Logout(&logout_context, v1::LogoutRequest(), &logged_out).ok());
  token_.listing.Release();
  int listed = 0;
  for (const auto& caller : callers) {
    caller->there.WaitForNotification();
    if (caller->status.ok()) {
      ++listed;
    } else {
      EXPECT_EQ(caller->status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    }
  }
  EXPECT_GE(listed, 1);
}

TEST_F(AgentOpeningsTest, OneGatesCallersLeaveTheOtherGatesTheirShare) {
  StartEnrolled();
  FakeGate second("second.test");
  ASSERT_TRUE(Enroll(second).ok());
  token_.Hold("fake key 0");
  std::vector<std::unique_ptr<PendingSession>> callers;
  v1::OpenLocalSessionRequest request;
  request.set_gate("gate.test");
  absl::Status refused;
  while (refused.ok()) {
    callers.push_back(std::make_unique<PendingSession>());
    agent().OpenSession(callers.back()->call, request, callers.back()->Done());
    if (callers.back()->there.HasBeenNotified()) refused = callers.back()->Wait();
  }
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_GT(callers.size(), 1000u);
  EXPECT_TRUE(GetPrefix("/test.Echo/Say", "second.test").ok());
  v1::LogoutRequest logout;
  logout.set_gate("gate.test");
  EXPECT_TRUE(agent().Logout(logout).ok());
  for (const auto& caller : callers) EXPECT_FALSE(caller->Wait().ok());
}

// Another token's signature would be a touch for nothing, and pass for what nobody proved.
TEST_F(AgentOpeningsTest, NoTokenSignsForAFactorThatTheAgentCannotProve) {
  StartWithPerson();
  FakeGate::Faults faults;
  faults.step_up = "corp.otp";
  gate_.Misbehave(faults);
  ASSERT_TRUE(Login().ok());
  token_.signatures = 0;
  PendingSession caller;
  Open(&caller, "/test.Echo/Say");
  EXPECT_THAT(std::string(caller.Wait().message()), HasSubstr("can't prove corp.otp"));
  EXPECT_EQ(token_.signatures, 0);
  EXPECT_EQ(gate_.counts().sessions, 1);
  faults.step_up = "corp.otp&tpm|password";
  faults.factors_meet_step_up = true;
  gate_.Misbehave(faults);
  person_->Answer("open sesame");
  PendingSession other_way;
  Open(&other_way, "/test.Echo/Say");
  EXPECT_TRUE(other_way.Wait().ok()) << other_way.Wait();
  EXPECT_EQ(person_->asked(), 1);
  EXPECT_EQ(token_.signatures, 1);
}

}  // namespace
}  // namespace forekey
