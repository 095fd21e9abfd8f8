// SPDX-License-Identifier: Apache-2.0
// A person is not asked to touch a token at every try whose credential the gate refuses.
#include "src/agent/refused_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/fake_clock.h"
#include "tests/unit/agent/agent_fixture.h"

namespace forekey {
namespace {

using ::testing::AllOf;
using testing::FakeGate;
using ::testing::HasSubstr;

class Toucher : public Prompt {
 public:
  absl::StatusOr<Secret> AskSecret(absl::string_view) override {
    ++passwords;
    return Secret::CopyOf("the password");
  }
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override { return Secret::CopyOf("1234"); }
  void ShowTouch(absl::string_view) override { ++touches; }
  void HideTouch() override {}
  std::atomic<int> touches{0}, passwords{0};
};

HeldCredential Credential(const std::string& id) {
  HeldCredential credential;
  credential.id = id;
  return credential;
}

TEST(RefusedKeysTest, RestsForLongerAfterEachRefusal) {
  FakeClock clock;
  RefusedKeys keys("gate.test", &clock);
  const HeldCredential one = Credential("one"), other = Credential("other");
  keys.NeedsPerson(one);
  for (const absl::Duration rest :
       {absl::Minutes(1), absl::Minutes(10), absl::Hours(1), absl::Hours(1)}) {
    ASSERT_TRUE(keys.MayAsk(one).ok());
    keys.Refused({one, other}, absl::UnauthenticatedError("reference 4567"));
    EXPECT_TRUE(absl::IsFailedPrecondition(keys.MayAsk(one)));
    EXPECT_THAT(keys.MayAsk(one).message(),
                AllOf(HasSubstr("forekey login --gate gate.test"), HasSubstr("reference 4567")));
    EXPECT_TRUE(keys.MayAsk(other).ok()) << "it signs by itself";
    clock.Advance(rest - absl::Seconds(1));
    EXPECT_FALSE(keys.MayAsk(one).ok());
    clock.Advance(absl::Seconds(1));
  }
  keys.Refused({one}, absl::UnauthenticatedError("refused"));
  keys.Taken({one});
  EXPECT_TRUE(keys.MayAsk(one).ok());
  keys.Refused({one}, absl::UnauthenticatedError("refused"));
  clock.Advance(absl::Minutes(1));
  EXPECT_TRUE(keys.MayAsk(one).ok()) << "counted anew";
}

TEST(RefusedKeysTest, RestsBrieflyWhereTheGateFailed) {
  FakeClock clock;
  RefusedKeys keys("gate.test;reboot", &clock);
  const HeldCredential one = Credential("one"), other = Credential("other");
  keys.NeedsPerson(one);
  for (const absl::Duration rest :
       {absl::Seconds(5), absl::Seconds(30), absl::Minutes(1), absl::Minutes(1)}) {
    ASSERT_TRUE(keys.MayAsk(one).ok());
    keys.Failed({one, other}, absl::UnavailableError("the registry is away"));
    EXPECT_TRUE(absl::IsFailedPrecondition(keys.MayAsk(one)));
    EXPECT_THAT(keys.MayAsk(one).message(),
                AllOf(HasSubstr("forekey login --gate 'gate.test;reboot'"),
                      HasSubstr("the registry is away")));
    EXPECT_TRUE(keys.MayAsk(other).ok()) << "it signs by itself";
    clock.Advance(rest - absl::Seconds(1));
    EXPECT_FALSE(keys.MayAsk(one).ok());
    clock.Advance(absl::Seconds(1));
  }
  keys.Taken({one});
  keys.Failed({one}, absl::UnavailableError("away"));
  clock.Advance(absl::Seconds(5));
  EXPECT_TRUE(keys.MayAsk(one).ok()) << "counted anew";
  keys.Failed({one}, absl::UnavailableError("away"));
  keys.Forget();
  EXPECT_TRUE(keys.MayAsk(one).ok());
}

class RefusedKeysAgentTest : public testing::AgentFixture {
 protected:
  void StartTouched() {
    person_ = toucher_;
    token_.wants_touch = true;
    StartEnrolled();
    ASSERT_TRUE(Login().ok());
    toucher_->touches = 0;
  }
  void RefuseAll(bool refuse) {
    FakeGate::Faults faults;
    faults.refuse_credentials = refuse;
    gate_.Misbehave(faults);
    gate_.RefuseSessions(refuse);
  }
  std::shared_ptr<Toucher> toucher_ = std::make_shared<Toucher>();
};

TEST_F(RefusedKeysAgentTest, AskForOneTouchAndNotAtEachTry) {
  StartTouched();
  RefuseAll(true);
  for (int tries = 0; tries < 3; ++tries) EXPECT_FALSE(OpenSession().ok());
  EXPECT_EQ(toucher_->touches, 1);
  EXPECT_EQ(gate_.reasons().back(), "credential-revoked");
  // A call that hardware signs is no way around.
  EXPECT_FALSE(GetPrefix("/test.Echo/Say", "", /*device=*/true).ok());
  EXPECT_EQ(toucher_->touches, 1);
  // By hand it is asked for again, and so where the gate takes it again.
  EXPECT_FALSE(Login().ok());
  EXPECT_EQ(toucher_->touches, 2);
  RefuseAll(false);
  EXPECT_FALSE(OpenSession().ok());
  EXPECT_TRUE(Login().ok());
  EXPECT_TRUE(OpenSession().ok());
}

// Retry policies try UNAVAILABLE again at once: the person must not be asked each time.
TEST_F(RefusedKeysAgentTest, AskForOneTouchWhereTheGateIsAwayForAMoment) {
  StartTouched();
  ASSERT_TRUE(Enroll(gate_).ok());  // another token would come no further
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  toucher_->touches = 0;
  gate_.RefuseSessions(true);
  FakeGate::Faults faults;
  faults.open_status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the registry is away");
  gate_.Misbehave(faults);
  EXPECT_TRUE(absl::IsUnavailable(OpenSession().status()));
  for (int tries = 0; tries < 3; ++tries) {
    const absl::Status resting = OpenSession().status();
    EXPECT_TRUE(absl::IsFailedPrecondition(resting)) << resting;
    EXPECT_THAT(std::string(resting.message()), HasSubstr("the registry is away"));
  }
  EXPECT_EQ(toucher_->touches, 1);
  EXPECT_TRUE(absl::IsUnavailable(Login().status())) << "by hand it is asked for again";
  EXPECT_EQ(toucher_->touches, 2);
  gate_.Misbehave({});
  gate_.RefuseSessions(false);
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(OpenSession().ok());
}

// The token is a TPM, which nobody has to touch: so it is the password alone that is asked for.
TEST_F(RefusedKeysAgentTest, AskForOnePasswordWhereTheGateIsAwayForAMoment) {
  person_ = toucher_;
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  FakeGate::Faults faults;
  faults.step_up = "password";
  faults.factors_meet_step_up = true;
  faults.open_status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the registry is away");
  gate_.Misbehave(faults);
  v1::OpenLocalSessionRequest request;
  request.set_method("/test.Echo/Say");
  const auto open = [&] { return agent().OpenSession(request, CallControl()).status(); };
  EXPECT_TRUE(absl::IsUnavailable(open()));
  for (int tries = 0; tries < 3; ++tries) {
    const absl::Status resting = open();
    EXPECT_TRUE(absl::IsFailedPrecondition(resting)) << resting;
    EXPECT_THAT(std::string(resting.message()),
                AllOf(HasSubstr("the registry is away"), HasSubstr("gate.test --password")));
  }
  EXPECT_EQ(toucher_->passwords, 1);
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(absl::IsUnavailable(open()));
  EXPECT_EQ(toucher_->passwords, 2);
  faults.open_status = grpc::Status::OK;
  gate_.Misbehave(faults);
  clock_.Advance(absl::Seconds(30));
  const absl::Status opened = open();
  EXPECT_TRUE(opened.ok()) << opened;
  EXPECT_EQ(toucher_->passwords, 3);
}

// The gate counts the wrong ones, to its lock.
TEST_F(RefusedKeysAgentTest, AskForOnePasswordWhereTheGateRefusesIt) {
  person_ = toucher_;
  StartEnrolled();
  ASSERT_TRUE(Login().ok());
  FakeGate::Faults faults;
  faults.step_up = "password";
  faults.factors_meet_step_up = faults.refuse_factors = true;
  gate_.Misbehave(faults);
  v1::OpenLocalSessionRequest request;
  request.set_method("/test.Echo/Say");
  const auto open = [&] { return agent().OpenSession(request, CallControl()).status(); };
  EXPECT_THAT(std::string(open().message()), HasSubstr("the password may be wrong"));
  for (int tries = 0; tries < 3; ++tries) {
    const absl::Status resting = open();
    EXPECT_TRUE(absl::IsFailedPrecondition(resting)) << resting;
    EXPECT_THAT(std::string(resting.message()), HasSubstr("gate.test --password"));
  }
  EXPECT_EQ(toucher_->passwords, 1);
  EXPECT_EQ(gate_.counts().with_factors, 1);
  clock_.Advance(absl::Seconds(5));
  EXPECT_FALSE(open().ok());
  EXPECT_EQ(toucher_->passwords, 2);
}

TEST_F(RefusedKeysAgentTest, AreNotLitUpForAPersonWhoJustSaidNo) {
  StartTouched();
  token_.denies = true;
  const auto sign = [this] { return GetPrefix("/test.Echo/Say", "", /*device=*/true).status(); };
  EXPECT_EQ(DeviceErrorOf(sign()), DeviceError::kDenied);
  EXPECT_EQ(toucher_->touches, 1);
  const absl::Status left_alone = sign();
  EXPECT_EQ(DeviceErrorOf(left_alone), DeviceError::kDenied) << left_alone;
  EXPECT_THAT(std::string(left_alone.message()), HasSubstr("a moment ago"));
  EXPECT_EQ(toucher_->touches, 1);
  clock_.Advance(absl::Seconds(5));
  token_.denies = false;
  const absl::Status signed_again = sign();
  EXPECT_TRUE(signed_again.ok()) << signed_again;
  EXPECT_EQ(toucher_->touches, 2);
}

TEST_F(RefusedKeysAgentTest, TokensThatSignByThemselvesAskAGateThatIsAwayEachTime) {
  StartTouched();
  token_.wants_touch = false;
  Restart();
  ASSERT_TRUE(Login().ok());
  token_.signatures = 0;
  gate_.RefuseSessions(true);
  FakeGate::Faults faults;
  faults.open_status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the registry is away");
  gate_.Misbehave(faults);
  for (int tries = 1; tries <= 3; ++tries) {
    EXPECT_TRUE(absl::IsUnavailable(OpenSession().status()));
    EXPECT_EQ(token_.signatures, tries);
  }
}

TEST_F(RefusedKeysAgentTest, AreAskedOnceTheyWereEnrolledAnew) {
  StartTouched();
  RefuseAll(true);
  EXPECT_FALSE(OpenSession().ok());
  RefuseAll(false);
  ASSERT_TRUE(Enroll(gate_).ok());
  EXPECT_TRUE(OpenSession().ok());
}

TEST_F(RefusedKeysAgentTest, TokensThatSignByThemselvesTryEachTime) {
  StartTouched();
  token_.wants_touch = false;
  Restart();
  ASSERT_TRUE(Login().ok());
  token_.signatures = 0;
  RefuseAll(true);
  for (int tries = 1; tries <= 3; ++tries) {
    EXPECT_FALSE(OpenSession().ok());
    EXPECT_EQ(token_.signatures, tries);
  }
}

TEST_F(RefusedKeysAgentTest, AnotherTokenSignsInThePlaceOfOneThatRests) {
  StartTouched();
  ASSERT_TRUE(Enroll(gate_).ok());  // the newest is asked first
  ASSERT_TRUE(Login(/*fresh=*/true).ok());
  RefuseAll(true);
  EXPECT_FALSE(OpenSession().ok());
  RefuseAll(false);
  const int before = toucher_->touches;
  EXPECT_TRUE(OpenSession().ok());
  EXPECT_EQ(toucher_->touches, before + 1);
}

}  // namespace
}  // namespace forekey
