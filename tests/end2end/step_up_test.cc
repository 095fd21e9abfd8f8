// SPDX-License-Identifier: Apache-2.0
// Rules in front of a real server, met by the client library within one call of the application:
// through a real agent, over a token in software.
#include "absl/strings/match.h"
#include "tests/end2end/step_up_world.h"

namespace forekey::testing {
namespace {

constexpr char kCollect[] = "/forekey.example.Echo/Collect";
constexpr char kRepeat[] = "/forekey.example.Echo/Repeat";
constexpr char kChat[] = "/forekey.example.Echo/Chat";

// Who sits at the keyboard; gives the same answer to everybody.
class Person final : public Prompt {
 public:
  Person(absl::StatusOr<std::string> answer, std::vector<std::string>* asked)
      : answer_(std::move(answer)), asked_(asked) {}
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override {
    return absl::InternalError("a token without a PIN");
  }
  absl::StatusOr<Secret> AskSecret(absl::string_view whose) override {
    asked_->emplace_back(whose);
    if (!answer_.ok()) return answer_.status();
    return Secret::CopyOf(*answer_);
  }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}

 private:
  const absl::StatusOr<std::string> answer_;
  std::vector<std::string>* const asked_;
};

TEST(StepUpTest, ACallThatHardwareMustSignIsSignedWithinTheApplicationsCallUnaryAndStreaming) {
  MethodRule open = RuleOf({kSay});
  MethodRule fresh = RuleOf({kCollect, kRepeat, kChat});
  fresh.fresh_call = true;
  StepUpWorld world({open, fresh});
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_EQ(world.signatures(), 1) << "the session's";
  int signatures = 1;
  for (Kind kind : {Kind::kClientStream, Kind::kServerStream, Kind::kBidi}) {
    EchoResult result = world.Call(kind);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(world.signatures(), ++signatures);
    EXPECT_TRUE(world.LastWasSigned(MethodOf(kind)));
    // Known by now: hardware signs at once.
    EXPECT_TRUE(world.Call(kind).status.ok());
    EXPECT_EQ(world.signatures(), ++signatures);
  }
  EXPECT_TRUE(world.Refusals().empty()) << "streams ask before they start";
  // The session is as good as it was for what takes one.
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_EQ(world.signatures(), signatures);
}

TEST(StepUpTest, AMissingRoleIsRefusedAtOnceAndNothingIsSigned) {
  MethodRule rule = RuleOf({kSay});
  rule.any_role = {"admin"};
  rule.fresh_call = true;
  StepUpWorld world({rule}, {"clerk"});
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(world.world().AuditOf(result.status).reason, Reason::kMethodNotPermitted);
  EXPECT_EQ(world.signatures(), 1);
  // As for what no rule is for.
  result = world.Call(Kind::kBidi);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST(StepUpTest, ARuleWithoutChildSessionsHasTheCallSigned) {
  MethodRule rule = RuleOf({kSay});
  rule.child_sessions = false;
  StepUpWorld world({rule});
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_TRUE(world.LastWasSigned(kSay));
  EXPECT_EQ(world.Refusals(), (std::vector<Reason>{Reason::kChildNotAllowed}));
}

// ---- A password that a rule wants ----

MethodRule PasswordRule() {
  MethodRule rule = RuleOf({kSay});
  rule.factors = {{{"tpm"}, {"password", absl::Minutes(15)}}};
  return rule;
}

void SetPassword(StepUpWorld& world, const std::string& password) {
  v1::SetPasswordRequest request;
  request.set_subject("ada");
  request.set_password(password);
  auto done = world.world().core().admin().SetPassword(request, "test");
  ASSERT_TRUE(done.ok()) << done.status();
}

TEST(StepUpTest, APasswordIsAskedForOnceWithinTheApplicationsCallAndAgainAfterItsChange) {
  std::vector<std::string> asked;
  StepUpWorld world({PasswordRule()}, {}, std::make_unique<Person>("correct horse", &asked));
  SetPassword(world, "correct horse");
  EchoResult result = world.Call(Kind::kUnary);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_THAT(asked, ::testing::ElementsAre("the password of ada at gate.test"));
  EXPECT_FALSE(world.LastWasSigned(kSay)) << "a session has it, not the call";
  SetPassword(world, "correct horse");
  result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(asked.size(), 2u) << "the session that had proved the old one is gone";
}

TEST(StepUpTest, AWrongPasswordIsTriedOnceAndTheErrorNamesIt) {
  std::vector<std::string> asked;
  StepUpWorld world({PasswordRule()}, {}, std::make_unique<Person>("wrong horse", &asked));
  SetPassword(world, "correct horse");
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("password"));
  EXPECT_EQ(asked.size(), 1u);
  EXPECT_THAT(world.Refusals(), ::testing::Contains(Reason::kPasswordWrong).Times(1));
}

TEST(StepUpTest, WhoGivesNoPasswordCallsNothingAndWhereNobodyIsTheErrorSaysWhatToRun) {
  std::vector<std::string> asked;
  {
    StepUpWorld world({PasswordRule()}, {},
                      std::make_unique<Person>(absl::CancelledError("none was given"), &asked));
    EXPECT_FALSE(world.Call(Kind::kUnary).status.ok());
    EXPECT_EQ(asked.size(), 1u);
  }
  StepUpWorld alone({PasswordRule()});
  EchoResult result = alone.Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(),
              ::testing::HasSubstr("forekey login --gate gate.test --password"));
}

TEST(StepUpTest, AFactorThatNoTokenHereProvesEndsTheCallAndSaysWhich) {
  MethodRule rule = RuleOf({kSay});
  rule.factors = {{{"fido2+uv"}}};
  StepUpWorld world({rule});
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("fido2+uv"));
  EXPECT_EQ(world.signatures(), 1);
}

TEST(StepUpTest, AfterARestartOfTheSessionsACallStillSucceeds) {
  StepUpWorld world({RuleOf({kSay})});
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(world.world().core().admin().SetSubject(request, "test").ok());
  request.set_disabled(false);
  ASSERT_TRUE(world.world().core().admin().SetSubject(request, "test").ok());
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(world.signatures(), 2);
}

TEST(StepUpTest, ASessionThatTheGateForgotIsResumedWithinTheCallAndNoTokenSigns) {
  StepUpWorld world({RuleOf({kSay})}, {}, nullptr, [](GateConfig& config) {
    config.sessions.resumption = true;
    config.sessions.limits.per_subject = 1;
  });
  SoftwareClient other = world.world().Enrol("ada", world.world().NewChannel());
  for (int times = 1; times <= 3; ++times) {
    EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
    Must(other.OpenSession(), "open");  // takes the one place, as a restart would
    EchoResult result = world.Call(Kind::kUnary);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_FALSE(world.LastWasSigned(kSay));
  }
  EXPECT_EQ(world.signatures(), 1);
}

// ---- What the agent knows of a method spares the signature of a session that would not do ----

TEST(StepUpTest, OfAKnownMethodThatHardwareMustSignOneSignatureIsEnoughWithoutASession) {
  MethodRule fresh = RuleOf({kSay, kChat});
  fresh.fresh_call = true;
  StepUpWorld world({fresh, RuleOf({kCollect})});
  for (const auto& [kind, method] : {std::pair(Kind::kUnary, kSay), {Kind::kBidi, kChat}}) {
    EXPECT_TRUE(world.Call(kind).status.ok());
    world.StartAnew();
    const int before = world.signatures();
    EchoResult result = world.Call(kind);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_TRUE(world.LastWasSigned(method));
    EXPECT_EQ(world.signatures(), before + 1) << "no session was opened first";
  }
  // What takes a session gets one.
  const int before = world.signatures();
  EXPECT_TRUE(world.Call(Kind::kClientStream).status.ok());
  EXPECT_EQ(world.signatures(), before + 1);
  EXPECT_FALSE(world.LastWasSigned(kCollect));
}

TEST(StepUpTest, OfAKnownMethodTheFirstSessionHasWhatIsWanted) {
  std::vector<std::string> asked;
  StepUpWorld world({PasswordRule()}, {}, std::make_unique<Person>("correct horse", &asked));
  SetPassword(world, "correct horse");
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  EXPECT_EQ(world.signatures(), 2) << "a session, and then one that proved the password";
  world.StartAnew();
  EchoResult result = world.Call(Kind::kUnary);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(world.signatures(), 3);
  EXPECT_EQ(asked.size(), 2u);
}

TEST(StepUpTest, WhatIsKnownOfAMethodIsForgottenWhereItFails) {
  std::vector<std::string> asked;
  StepUpWorld world({PasswordRule()}, {}, std::make_unique<Person>("correct horse", &asked));
  SetPassword(world, "correct horse");
  EXPECT_TRUE(world.Call(Kind::kUnary).status.ok());
  SetPassword(world, "another one");
  world.StartAnew();
  EXPECT_FALSE(world.Call(Kind::kUnary).status.ok());
  EXPECT_EQ(asked.size(), 2u) << "nobody is asked twice for one call";
}

// ---- Streams that outlive their sessions ----

class Chat {
 public:
  explicit Chat(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(example::Echo::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(3));
    stream_ = stub_->Chat(&context_);
  }
  bool Say() {
    example::EchoRequest request;
    example::EchoResponse response;
    request.set_text("x");
    return stream_->Write(request) && stream_->Read(&response);
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    return stream_->Finish();
  }

 private:
  const std::unique_ptr<example::Echo::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<example::EchoRequest, example::EchoResponse>> stream_;
};

std::function<void(GateConfig&)> ShortSessions(absl::Duration absolute) {
  return [absolute](GateConfig& config) {
    config.sessions.absolute = absolute;
    config.streams.check_interval = absl::Milliseconds(50);
  };
}

int Reauthenticated(StepUpWorld& world) {
  int reauthenticated = 0;
  for (const Decision& decision : world.world().audit().decisions()) {
    reauthenticated += decision.admitted && absl::StrContains(decision.detail, "a live call of");
  }
  return reauthenticated;
}

TEST(LiveStreamTest, GoesOnOverTheEndsOfItsSessionsWhereTheRuleLetsIt) {
  MethodRule rule = RuleOf({kChat});
  rule.reauthenticate = true;
  StepUpWorld world({rule}, {}, nullptr, ShortSessions(absl::Seconds(4)));
  Chat chat(world.channel());
  // The second time shows that the gate knows the stream by what it was proved with the first time.
  while (Reauthenticated(world) < 2) ASSERT_TRUE(chat.Say()) << chat.Finish().error_message();
  EXPECT_TRUE(chat.Say());
  EXPECT_TRUE(chat.Finish().ok());
  EXPECT_GE(world.signatures(), 2) << "hardware signed for each parent session";
}

TEST(LiveStreamTest, EndsWithItsSessionWhereTheRuleDoesNot) {
  StepUpWorld world({RuleOf({kChat})}, {}, nullptr, ShortSessions(absl::Seconds(3)));
  Chat chat(world.channel());
  while (chat.Say()) {
  }
  EXPECT_EQ(chat.Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(world.Refusals(), ::testing::Contains(Reason::kReauthenticateNotAllowed));
  EXPECT_EQ(Reauthenticated(world), 0);
}

}  // namespace
}  // namespace forekey::testing
