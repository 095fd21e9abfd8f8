// SPDX-License-Identifier: Apache-2.0
// Rules in a running gate: factors and their ages, children, step-ups, and reading them again.
#include <utime.h>

#include <filesystem>

#include "src/wire/statement.h"
#include "src/wire/step_up.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GateRulesTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.rules.rules = rules_;
    return config;
  }
  void Start(MethodRule rule) {
    rule.methods = {std::string(kMethod)};
    rules_ = {std::move(rule)};
    StartGate();
  }
  std::string Requirements(ClientSession& session, absl::string_view method, bool child = false) {
    const Judgement judgement =
        Judge(session.NextProof(kGetRequirementsMethod, AgeOf()), kGetRequirementsMethod);
    EXPECT_TRUE(judgement.status.ok()) << judgement.status;
    if (!judgement.status.ok()) return "refused";
    v1::GetRequirementsRequest request;
    request.set_method(std::string(method));
    request.set_child(child);
    auto response = gate().peers().GetRequirements(*judgement.call, request, kPeer);
    return response.ok() ? response->step_up() : std::string(response.status().message());
  }
  uint32_t AgeOf() const { return age_s_; }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    age_s_ += static_cast<uint32_t>(absl::ToInt64Seconds(by));
  }

  std::vector<MethodRule> rules_;
  uint32_t age_s_ = 0;
};

class GateRulesFileTest : public GateRulesTest {
 protected:
  GateConfig Config() override {
    absl::StatusOr<GateConfig> read = GateConfig::Load(folder_.File("gate.toml"));
    EXPECT_TRUE(read.ok()) << read.status();
    GateConfig config = GateFixture::Config();
    if (!read.ok()) return config;
    config.rules = read->rules;
    config.settings = read->settings;
    config.file = read->file;
    config.file_signature = read->file_signature;
    return config;
  }
  void WriteRules(absl::string_view factor) {
    WriteText(
        folder_.File("gate.toml"),
        absl::StrCat("audience = \"", kAudience, "\"\n[tls]\ncertificate = \"tls.pem\"\n",
                     "private_key = \"tls.key\"\n[state]\ndirectory = \"state\"\n",
                     "[[rule]]\nmethods = [\"", kMethod, "\"]\nfactors = [[\"", factor, "\"]]\n"));
  }
};

TEST_F(GateRulesFileTest, RulesThatCouldNotBeWrittenDownAreTakenOnceTheyCan) {
  WriteRules("tpm");
  StartGate();
  ClientSession session = Open(Enroll("ada"));
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  WriteRules("fido2");
  audit_->FailWith(absl::UnavailableError("disk full"));
  gate().maintenance().Once();
  gate().maintenance().Once();
  audit_->FailWith(absl::OkStatus());
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt) << "they are not in force yet";
  gate().maintenance().Once();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kFactorRequired);
}

TEST_F(GateRulesFileTest, BrokenRulesAreToldOnce) {
  WriteRules("tpm");
  StartGate();
  WriteRules("no such factor");
  const size_t lines = audit_->decisions().size();
  for (int looks = 0; looks < 10; ++looks) gate().maintenance().Once();
  ASSERT_EQ(audit_->decisions().size(), lines + 1);
  EXPECT_EQ(audit_->decisions().back().method, "ReloadRules");
}

// What ages is the proof, and it is as old as its challenge: who collects challenges gains nothing.
TEST_F(GateRulesTest, AFactorIsAsOldAsTheChallengeThatItSigned) {
  MethodRule rule;
  rule.factors = {{{"tpm", absl::Minutes(1)}}};
  Start(rule);
  const Token token = Enroll("ada");
  const DeviceProofDraft held = Draft({&token}), fresh = Draft({&token});
  clock_.Advance(absl::Seconds(59));
  const std::string in_time = fresh.SignAndSerialize();
  EXPECT_EQ(WhyRefused(in_time), std::nullopt);
  const absl::string_view admitted = in_time;
  auto recalled = gate().calls().Recall(absl::MakeConstSpan(&admitted, 1), kMethod);
  ASSERT_TRUE(recalled.ok()) << recalled.status();
  EXPECT_EQ(recalled->factors()[0].proved_boot, clock_.BootNow() - absl::Seconds(59));
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(WhyRefused(held.SignAndSerialize()), Reason::kFactorStale);
}

TEST_F(GateRulesTest, ALiveCallThatHardwareSignedLastsAsLongAsItWouldBeAdmitted) {
  rules_ = {};
  StartGate();
  const Token ada = Enroll("ada"), eve = Enroll("eve");
  const auto begin = [&](const Token& token) {
    return *Judge(Draft({&token}).SignAndSerialize()).call;
  };
  const VerifiedCall adas = begin(ada), eves = begin(eve);
  EXPECT_TRUE(gate().calls().CheckLive(adas, kMethod).ok());
  v1::SetSubjectRequest disable;
  disable.set_subject("eve");
  disable.set_set_disabled(true);
  disable.set_disabled(true);
  ASSERT_TRUE(gate().admin().SetSubject(disable, "uid 0").ok());
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(eves, kMethod)), Reason::kSubjectDisabled);
  clock_.Advance(gate().config().sessions.absolute - absl::Seconds(1));
  EXPECT_TRUE(gate().calls().CheckLive(adas, kMethod).ok());
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(adas, kMethod)), Reason::kSessionExpired);
  const VerifiedCall again = begin(ada);
  Revoke(ada);
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(again, kMethod)), Reason::kCredentialRevoked);
}

TEST_F(GateRulesTest, AStaleFactorIsToldFromALackingOneAndTheClockThatCountsDoesNotStep) {
  MethodRule rule;
  rule.factors = {{{"tpm", absl::Minutes(5)}}};
  Start(rule);
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, AgeOf())), std::nullopt);
  clock_.StepWall(absl::Hours(5));
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, AgeOf())), std::nullopt);
  clock_.StepWall(-absl::Hours(50));
  Advance(absl::Minutes(5) + absl::Seconds(1));
  const Judgement judgement = Judge(session.NextProof(kMethod, AgeOf()));
  EXPECT_EQ(WhyRefused(judgement), Reason::kFactorStale);
  EXPECT_EQ(StepUp::FromMessage(judgement.status.message()).Serialize(), "tpm");
  EXPECT_EQ(judgement.status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Requirements(session, kMethod), "tpm");
  EXPECT_EQ(Requirements(session, kOtherMethod), "")
      << "no factor would make up for a missing rule";
  // A child is no fresher.
  auto child = OpenChild(session, {}, AgeOf());
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod)), Reason::kFactorStale);
}

TEST_F(GateRulesTest, ACallerOfAMissingRoleIsToldNothingToShow) {
  MethodRule rule;
  rule.any_role = {"admin"};
  rule.factors = {{{"fido2+uv"}}};
  Start(rule);
  ClientSession session = Open(Enroll("ada"));
  const Judgement judgement = Judge(session.NextProof(kMethod));
  EXPECT_EQ(WhyRefused(judgement), Reason::kMethodNotPermitted);
  EXPECT_EQ(judgement.status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Requirements(session, kMethod), "");
}

TEST_F(GateRulesTest, AStrangerLearnsNeitherRulesNorFactors) {
  MethodRule rule;
  rule.fresh_call = true;
  Start(rule);
  ClientSession forged = Open(Enroll("ada"));
  forged.key = std::string(32, 'x');
  for (absl::string_view method : {kMethod, kOtherMethod, absl::string_view("/no.Such/Method")}) {
    const Judgement judgement = Judge(forged.Proof(method, 1, 0), method);
    EXPECT_EQ(WhyRefused(judgement), Reason::kMacInvalid);
    EXPECT_EQ(judgement.status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_TRUE(StepUp::FromMessage(judgement.status.message()).empty());
  }
}

TEST_F(GateRulesTest, FreshCallTakesADeviceProofAlone) {
  MethodRule rule;
  rule.fresh_call = true;
  rule.factors = {{{"tpm"}}};
  Start(rule);
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kFactorRequired);
  EXPECT_EQ(Requirements(session, kMethod, true), "tpm&call");
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), std::nullopt);
}

TEST_F(GateRulesTest, AChildSessionCanBeRefusedWhereItsParentIsNot) {
  MethodRule rule;
  rule.child_sessions = false;
  Start(rule);
  ClientSession session = Open(Enroll("ada"));
  auto child = OpenChild(session, {});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod)), Reason::kChildNotAllowed);
  EXPECT_EQ(Requirements(session, kMethod, true), "call");
  EXPECT_EQ(Requirements(session, kMethod, false), "");
}

// The gate reads its rules from a file.
class ReloadTest : public GateFixture {
 protected:
  void Write(const std::string& rules) {
    // Renamed into place, as an editor or a config management does it.
    WriteText(folder_.File("gate.toml.new"), text_ + rules);
    std::filesystem::rename(folder_.File("gate.toml.new"), folder_.File("gate.toml"));
  }
  GateConfig Config() override {
    auto config = GateConfig::Load(folder_.File("gate.toml"));
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? *std::move(config) : GateFixture::Config();
  }
  std::string LastGateLine() {
    std::string last;
    for (const Decision& decision : audit_->decisions()) {
      if (decision.event == AuditEvent::kGate) last = decision.detail;
    }
    return last;
  }
  std::string text_ =
      "audience = \"gate.test\"\n[tls]\ncertificate = \"tls.pem\"\nprivate_key = "
      "\"tls.key\"\n[state]\ndirectory = \"state\"\n";
  const std::string only_buy_ = "[[rule]]\nmethods = [\"/shop.Orders/Buy\"]\n";
  const std::string only_sell_ = "[[rule]]\nmethods = [\"/shop.Orders/Sell\"]\n";
};

TEST_F(ReloadTest, LiveSessionsAreJudgedByTheNewRulesAtTheNextCall) {
  Write(only_buy_);
  StartGate();
  ClientSession session = Open(Enroll("ada"));
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  Write(only_sell_);
  ASSERT_TRUE(gate().ReloadRules().ok());
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kMethodNotPermitted);
  EXPECT_EQ(WhyRefused(session.NextProof(kOtherMethod), kOtherMethod), std::nullopt);
  EXPECT_THAT(LastGateLine(), HasSubstr("1 rules"));
}

TEST_F(ReloadTest, ABrokenFileKeepsTheOldRulesAndSaysSo) {
  Write(only_buy_);
  StartGate();
  ClientSession session = Open(Enroll("ada"));
  for (const std::string& broken :
       {std::string("[[rule]]\nmethods = [\"/shop.Orders/*x\"]\n"), std::string("[[rule]\n"),
        std::string("[[rule]]\nmethod = []\n"),
        std::string(
            "[[rule]]\nmethods = [\"/shop.Orders/Buy\"]\nfactors = [[\"corp.bagde\"]]\n")}) {
    Write(broken);
    EXPECT_TRUE(absl::IsInvalidArgument(gate().ReloadRules()));
    EXPECT_THAT(LastGateLine(), HasSubstr("the old rules stay"));
    EXPECT_THAT(LastGateLine(), HasSubstr("gate.toml:"));
    EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
    EXPECT_EQ(WhyRefused(session.NextProof(kOtherMethod), kOtherMethod),
              Reason::kMethodNotPermitted);
  }
}

TEST_F(ReloadTest, WhatNeedsARestartIsNamed) {
  Write(only_buy_);
  StartGate();
  Write(only_buy_ + "[sessions]\nidle = \"20m\"\n[audit]\nadmitted = \"all\"\n");
  ASSERT_TRUE(gate().ReloadRules().ok());
  EXPECT_THAT(LastGateLine(), HasSubstr("only after a restart: audit.admitted, sessions.idle"));
}

TEST_F(ReloadTest, AChangedFileIsReadOnceItHasSettled) {
  Write(only_buy_);
  StartGate();
  ClientSession session = Open(Enroll("ada"));
  gate().maintenance().Once();
  EXPECT_EQ(LastGateLine(), "");
  Write(only_sell_);
  gate().maintenance().Once();
  EXPECT_EQ(LastGateLine(), "") << "it may be half written";
  gate().maintenance().Once();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kMethodNotPermitted);
  const std::string line = LastGateLine();
  EXPECT_NE(line, "");
  const size_t lines = audit_->decisions().size();
  gate().maintenance().Once();
  gate().maintenance().Once();
  EXPECT_EQ(audit_->decisions().size(), lines) << "once a change";
}

TEST_F(ReloadTest, RulesThatCannotBeAuditedAreNotTaken) {
  Write(only_buy_);
  StartGate();
  ClientSession session = Open(Enroll("ada"));
  Write(only_sell_);
  audit_->FailWith(absl::UnavailableError("disk full"));
  EXPECT_EQ(ReasonOf(gate().ReloadRules()), Reason::kAuditUnavailable);
  audit_->FailWith(absl::OkStatus());
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
}

}  // namespace
}  // namespace forekey::testing
