// SPDX-License-Identifier: Apache-2.0
// The password as a factor: who gets to try, how often, and what is told.
#include <atomic>
#include <thread>

#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/statement.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

class PasswordTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.factors.Get<PasswordSection>().policy.enabled = enabled_;
    config.factors.Get<PasswordSection>().policy.memory_mib = memory_mib_;
    config.factors.Get<PasswordSection>().policy.passes = 1;
    config.factors.Get<PasswordSection>().policy.tries = 3;
    MethodRule rule;
    rule.methods = {std::string(kMethod)};
    rule.factors = {{{"tpm"}, {"password", absl::Minutes(15)}}};
    config.rules.rules = {rule};
    return config;
  }
  void SetPassword(const std::string& subject, const std::string& password) {
    v1::SetPasswordRequest request;
    request.set_subject(subject);
    request.set_password(password);
    auto done = gate().admin().SetPassword(request, "uid 0");
    ASSERT_TRUE(done.ok()) << done.status();
  }
  // Opens a session as an honest client does, unless a test changes what is sealed.
  absl::StatusOr<ClientSession> OpenWith(const Token& token, const std::string& password,
                                         const Token* sealed_for = nullptr) {
    return OpenSealed({&token}, [&](absl::string_view challenge) {
      FurtherFactors factors;
      factors.password = Secret::CopyOf(password);
      const std::string id = sealed_for == nullptr ? token.id : sealed_for->id;
      const std::vector<absl::string_view> ids = {id};
      return SealFactors(factors, FactorContext{kAudience, challenge, ids},
                         gate().identities().current()->public_key())
          .value();
    });
  }
  std::optional<Reason> WhyNotOpened(const absl::StatusOr<ClientSession>& session) {
    if (session.ok()) return std::nullopt;
    return AuditedReason(session.status());
  }
  void SetUpStream() {
    ada_ = Enroll("ada");
    SetPassword("ada", "correct horse");
    for (int i = 0; i < 6; ++i) eves_.push_back(Enroll("eve"));
  }
  bool enabled_ = true;
  size_t memory_mib_ = 8;
  std::optional<Token> ada_;
  std::vector<Token> eves_;  // six credentials of one subject
};

TEST_F(PasswordTest, ASessionThatProvedItMeetsTheRuleUntilItIsStale) {
  StartGate();
  const Token token = Enroll("ada");
  SetPassword("ada", "correct horse");
  ClientSession without = Open(token);
  EXPECT_EQ(WhyRefused(without.NextProof(kMethod)), Reason::kFactorRequired);
  auto session = OpenWith(token, "correct horse");
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), std::nullopt);
  clock_.Advance(absl::Minutes(16));
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod, 16 * 60)), Reason::kFactorStale);
}

TEST_F(PasswordTest, WrongPasswordsAndSubjectsWithoutOneGetTheSameAnswer) {
  StartGate();
  const Token ada = Enroll("ada"), bob = Enroll("bob");
  SetPassword("ada", "correct horse");
  const auto wrong = OpenWith(ada, "wrong horse"), none = OpenWith(bob, "wrong horse");
  EXPECT_EQ(WhyNotOpened(wrong), Reason::kPasswordWrong);
  EXPECT_EQ(WhyNotOpened(none), Reason::kPasswordWrong);
  EXPECT_EQ(wrong.status().code(), none.status().code());
}

TEST_F(PasswordTest, TriesAreCountedByCredentialAndNobodyLocksAnother) {
  StartGate();
  const Token mine = Enroll("ada"), thiefs = Enroll("ada");
  SetPassword("ada", "correct horse");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(WhyNotOpened(OpenWith(thiefs, "guess number")), Reason::kPasswordWrong);
  }
  EXPECT_EQ(WhyNotOpened(OpenWith(thiefs, "correct horse")), Reason::kPasswordTriesUsed);
  EXPECT_EQ(WhyNotOpened(OpenWith(mine, "correct horse")), std::nullopt);
  clock_.Advance(absl::Minutes(15));
  EXPECT_EQ(WhyNotOpened(OpenWith(thiefs, "correct horse")), std::nullopt);
}

TEST_F(PasswordTest, NeitherARestartNorASteppedClockGivesTriesBack) {
  StartGate();
  const Token token = Enroll("ada");
  SetPassword("ada", "correct horse");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(WhyNotOpened(OpenWith(token, "guess number")), Reason::kPasswordWrong);
    StartGate();
  }
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "correct horse")), Reason::kPasswordTriesUsed);
  clock_.Advance(absl::Minutes(15));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(WhyNotOpened(OpenWith(token, "guess number")), Reason::kPasswordWrong);
  }
  clock_.StepWall(absl::Hours(24));
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "correct horse")), Reason::kPasswordTriesUsed);
  clock_.StepWall(-absl::Hours(24));
  clock_.Advance(absl::Minutes(15));
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "correct horse")), std::nullopt);
  StartGate();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(WhyNotOpened(OpenWith(token, "guess number")), Reason::kPasswordWrong)
        << "a right one gave them back";
  }
}

TEST_F(PasswordTest, AStreamOfTriesHoldsUpNobodyElse) {
  memory_mib_ = 64;
  StartGate();
  SetUpStream();
  std::atomic<bool> over{false};
  std::atomic<int> busy{0}, wrong{0};
  std::vector<std::thread> stream;
  for (const Token& token : eves_) {
    stream.emplace_back([&, token] {
      while (!over) {
        const auto reason = WhyNotOpened(OpenWith(token, "guess number"));
        busy += reason == Reason::kFactorBusy;
        wrong += reason == Reason::kPasswordWrong;
      }
    });
  }
  while (busy == 0) std::this_thread::yield();
  const Token ada = ada_.value();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, "correct horse")), std::nullopt);
  Open(ada);
  over = true;
  for (std::thread& thread : stream) thread.join();
  EXPECT_LE(wrong, static_cast<int>(3 * eves_.size())) << "and being busy gave no try away";
}

TEST_F(PasswordTest, WhatWasSealedForAnotherProofDoesNotOpen) {
  StartGate();
  const Token ada = Enroll("ada"), eve = Enroll("eve");
  SetPassword("ada", "correct horse");
  EXPECT_EQ(WhyNotOpened(OpenWith(eve, "correct horse", &ada)), Reason::kFactorsMalformed);
}

TEST_F(PasswordTest, WhoProvedTheOldPasswordHasNoSessionAfterTheChange) {
  StartGate();
  const Token token = Enroll("ada");
  SetPassword("ada", "correct horse");
  ClientSession without = Open(token);
  auto session = OpenWith(token, "correct horse");
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), std::nullopt);
  Enroll("bob");
  SetPassword("bob", "another horse");
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), std::nullopt)
      << "another's change is no reason";
  SetPassword("ada", "better horse");
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyRefused(without.NextProof(kMethod)), Reason::kFactorRequired)
      << "alive: it proved none";
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "correct horse")), Reason::kPasswordWrong);
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "better horse")), std::nullopt);
}

TEST_F(PasswordTest, APasswordCanBeTakenAwayAndShortOnesAreRefused) {
  StartGate();
  const Token token = Enroll("ada");
  SetPassword("ada", "correct horse");
  auto session = OpenWith(token, "correct horse");
  ASSERT_TRUE(session.ok()) << session.status();
  SetPassword("ada", "");
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "correct horse")), Reason::kPasswordWrong);
  v1::SetPasswordRequest request;
  request.set_subject("ada");
  request.set_password("short");
  EXPECT_TRUE(absl::IsInvalidArgument(gate().admin().SetPassword(request, "uid 0").status()));
  request.set_subject("nobody");
  EXPECT_TRUE(absl::IsNotFound(gate().admin().SetPassword(request, "uid 0").status()));
}

TEST_F(PasswordTest, AGateWithoutPasswordsRefusesWhatIsSealed) {
  enabled_ = false;
  StartGate();
  const Token token = Enroll("ada");
  EXPECT_EQ(WhyNotOpened(OpenWith(token, "correct horse")), Reason::kRequestMalformed);
}

}  // namespace
}  // namespace forekey::testing
