// SPDX-License-Identifier: Apache-2.0
// A live call that goes on under a later session: whose, which, and where the rule lets it.
#include <deque>

#include "src/crypto/digest.h"
#include "src/wire/statement.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

class ReauthenticateTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.sessions.absolute = absl::Hours(1);
    config.sessions.idle = absl::Hours(1);
    config.tls.replaced_lifetime = replaced_lifetime_;
    MethodRule again;
    again.methods = {std::string(kMethod)};
    again.reauthenticate = true;
    again.factors = {{{"tpm", absl::Minutes(90)}}};
    MethodRule not_again;
    not_again.methods = {std::string(kOtherMethod)};
    config.rules.rules = {again, not_again};
    return config;
  }
  // A call that was admitted, as the adapter holds it.
  struct Live {
    VerifiedCall caller;
    std::string method;
  };
  VerifiedCall* Begin(ClientSession& session, absl::string_view method = kMethod,
                      uint32_t age_s = 0) {
    Judgement judgement = Judge(session.NextProof(method, age_s), method);
    EXPECT_TRUE(judgement.status.ok()) << judgement.status;
    live_.push_back({*judgement.call, std::string(method)});
    return &live_.back().caller;
  }
  static std::string PayloadFor(const VerifiedCall& live) {
    v1::ReauthenticateCallPayload payload;
    payload.set_session_id(std::string(live.session()->id()));
    payload.set_sequence(live.sequence());
    return payload.SerializeAsString();
  }
  absl::Status Reauthenticate(ClientSession& by, const std::string& payload, uint32_t age_s = 0,
                              const std::string& signed_payload = "") {
    const std::string digest = Sha256(signed_payload.empty() ? payload : signed_payload);
    const Judgement judgement =
        Judge(by.NextProof(kReauthenticateCallMethod, age_s, digest), kReauthenticateCallMethod);
    if (!judgement.status.ok()) return judgement.status;
    v1::ReauthenticateCallRequest request;
    request.set_payload(payload);
    return gate()
        .peers()
        .ReauthenticateCall(
            *judgement.call, request, kPeer,
            [this](const VerifiedCall& caller,
                   absl::FunctionRef<bool(const VerifiedCall&, absl::string_view)> pick) {
              for (Live& live : live_) {
                if (!pick(live.caller, live.method)) continue;
                live.caller = caller;
                return;
              }
            })
        .status();
  }
  std::optional<Reason> WhyNot(const absl::Status& status) {
    if (status.ok()) return std::nullopt;
    return AuditedReason(status);
  }

  std::deque<Live> live_;
  absl::Duration replaced_lifetime_ = absl::Hours(24);
};

TEST_F(ReauthenticateTest, ACallOutlivesItsSessionByTheNextOneAndIsKnownByItThen) {
  StartGate();
  const Token token = Enroll("ada");
  ClientSession first = Open(token);
  VerifiedCall* live = Begin(first);
  clock_.Advance(absl::Minutes(59));
  ClientSession second = Open(token);
  const std::string old_name = PayloadFor(*live);
  EXPECT_EQ(WhyNot(Reauthenticate(second, old_name)), std::nullopt);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("a live call of /"));
  EXPECT_EQ(live->session()->id(), second.id);
  EXPECT_EQ(live->subject().name(), "ada");
  clock_.Advance(absl::Minutes(2));
  EXPECT_TRUE(gate().calls().CheckLive(*live, kMethod).ok());
  EXPECT_EQ(WhyRefused(first.NextProof(kMethod, 61 * 60)), Reason::kSessionExpired);
  // By its old name nobody finds it any more.
  EXPECT_EQ(WhyNot(Reauthenticate(second, old_name, 120)), Reason::kLiveCallUnknown);
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(*live, kMethod)), Reason::kSessionExpired);
}

TEST_F(ReauthenticateTest, OnlyCallsOfTheSameSubjectAndWhatIsNotThereLooksTheSame) {
  StartGate();
  ClientSession adas = Open(Enroll("ada")), eves = Open(Enroll("eve"));
  VerifiedCall* live = Begin(adas);
  EXPECT_EQ(WhyNot(Reauthenticate(eves, PayloadFor(*live))), Reason::kLiveCallUnknown);
  EXPECT_EQ(live->subject().name(), "ada");
  v1::ReauthenticateCallPayload other;
  other.set_session_id(adas.id);
  other.set_sequence(999);
  EXPECT_EQ(WhyNot(Reauthenticate(adas, other.SerializeAsString())), Reason::kLiveCallUnknown);
}

TEST_F(ReauthenticateTest, TheRuleDecidesAndJudgesTheNewSession) {
  StartGate();
  const Token token = Enroll("ada");
  ClientSession old = Open(token);
  VerifiedCall* other = Begin(old, kOtherMethod);
  EXPECT_EQ(WhyNot(Reauthenticate(old, PayloadFor(*other))), Reason::kReauthenticateNotAllowed);
  // A child of a session whose factor has grown stale: no better than opening the call anew.
  VerifiedCall* live = Begin(old);
  clock_.Advance(absl::Minutes(30));
  auto child = OpenChild(old, {}, 30 * 60);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(WhyNot(Reauthenticate(*child, PayloadFor(*live))), std::nullopt);
  EXPECT_EQ(live->session()->parent()->id(), old.id);
}

TEST_F(ReauthenticateTest, WhatHasLostItsRightIsNotProvedAgain) {
  StartGate();
  const Token first = Enroll("ada"), second = Enroll("ada");
  ClientSession by_first = Open(first), by_second = Open(second);
  VerifiedCall* live = Begin(by_first);
  Revoke(first);
  EXPECT_EQ(WhyNot(Reauthenticate(by_second, PayloadFor(*live))), Reason::kCredentialRevoked);
  VerifiedCall* expired = Begin(by_second);
  clock_.Advance(absl::Hours(1));
  ClientSession late = Open(second);
  EXPECT_EQ(WhyNot(Reauthenticate(late, PayloadFor(*expired))), Reason::kSessionExpired);
}

TEST_F(ReauthenticateTest, ACallThatHardwareSignedLastsByAClockThatDoesNotStep) {
  StartGate();
  const Token token = Enroll("ada");
  DeviceProofDraft draft = Draft({&token});
  draft.method = std::string(kOtherMethod);
  const Judgement judgement = Judge(draft.SignAndSerialize(), kOtherMethod);
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  clock_.StepWall(absl::Hours(2));
  EXPECT_TRUE(gate().calls().CheckLive(*judgement.call, kOtherMethod).ok());
  clock_.StepWall(-absl::Hours(24));
  clock_.Advance(absl::Minutes(61));
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(*judgement.call, kOtherMethod)),
            Reason::kSessionExpired);
}

TEST_F(ReauthenticateTest, ALiveCallEndsWithTheCertificateThatItWasProvedFor) {
  replaced_lifetime_ = absl::Minutes(5);
  StartGate();
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  VerifiedCall* live = Begin(session);
  const Judgement signed_call = Judge(Draft({&token}).SignAndSerialize());
  ASSERT_TRUE(signed_call.status.ok()) << signed_call.status;
  EXPECT_TRUE(gate().calls().CheckLive(*live, kMethod).ok());
  EXPECT_TRUE(gate().calls().CheckLive(*signed_call.call, kMethod).ok());
  WriteText(folder_.File("tls.pem"), MakeTlsCertificate("gate").pem);
  gate().maintenance().Once();
  EXPECT_TRUE(gate().calls().CheckLive(*live, kMethod).ok()) << "replaced: it lasts on";
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(*live, kMethod)), Reason::kChannelBindingUnknown);
  EXPECT_EQ(ReasonOf(gate().calls().CheckLive(*signed_call.call, kMethod)),
            Reason::kChannelBindingUnknown);
}

TEST_F(ReauthenticateTest, TheRequestIsTheOneThatWasProvedAndEachProofIsGoodOnce) {
  StartGate();
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  VerifiedCall* live = Begin(session);
  VerifiedCall* another = Begin(session);
  EXPECT_EQ(WhyNot(Reauthenticate(session, PayloadFor(*live), 0, PayloadFor(*another))),
            Reason::kRequestDigestMismatch);
  EXPECT_EQ(WhyNot(Reauthenticate(session, "garbage")), Reason::kRequestMalformed);
  EXPECT_EQ(WhyNot(Reauthenticate(session, PayloadFor(*live) + std::string("\x1a\x01x", 3))),
            Reason::kRequestMalformed)
      << "a field that the gate does not know";
  EXPECT_EQ(
      WhyRefused(Judge(session.NextProof(kReauthenticateCallMethod), kReauthenticateCallMethod)),
      Reason::kPrefixMalformed)
      << "a proof that is bound to no request";
  const std::string proof =
      session.NextProof(kReauthenticateCallMethod, 0, Sha256(PayloadFor(*live)));
  EXPECT_EQ(WhyRefused(Judge(proof, kReauthenticateCallMethod)), std::nullopt);
  EXPECT_EQ(WhyRefused(Judge(proof, kReauthenticateCallMethod)), Reason::kSequenceReplayed);
  DeviceProofDraft draft = Draft({&token});
  draft.method = std::string(kReauthenticateCallMethod);
  EXPECT_EQ(WhyRefused(Judge(draft.SignAndSerialize(), kReauthenticateCallMethod)),
            Reason::kPrefixWrongKind);
}

}  // namespace
}  // namespace forekey::testing
