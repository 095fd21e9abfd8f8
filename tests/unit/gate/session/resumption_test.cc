// SPDX-License-Identifier: Apache-2.0
// Resumption (docs/PROTOCOL.md): a session goes on in another process of its gate, and nobody gains
// anything by that: not by the ticket, not by a second use of it, not by a clock.
#include "absl/strings/escaping.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/gate/call/ticket_keys.h"
#include "src/gate/factor/password_config.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"
#include "tests/support/forwarding_registry.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

class ResumptionTest : public GateFixture {
 protected:
  ResumptionTest() {
    StartGate();
    tokens_.push_back(Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"}));
    tokens_.push_back(Enroll("ada", Algorithm::kEdDsa, v1::TOKEN_KIND_PIV));
    tokens_.push_back(Enroll("eve"));
  }
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.audience = audience_;
    config.sessions.resumption = resumption_;
    config.sessions.idle = idle_;
    config.sessions.limits.per_subject = per_subject_;
    config.sessions.limits.total = total_;
    config.rules.rules = rules_;
    config.factors.Get<PasswordSection>().policy.enabled = true;
    config.factors.Get<PasswordSection>().policy.memory_mib = 8;
    config.factors.Get<PasswordSection>().policy.passes = 1;
    return config;
  }
  const Token& ada() const { return tokens_[0]; }
  const Token& eve() const { return tokens_[2]; }

  // What a client sends to resume, before it is MACed: tests change a field.
  struct Draft {
    X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
    std::string audience{kAudience};
    std::string key, ticket, challenge, channel_binding, key_share;
    v1::ResumeSessionRequest request;
    std::string Statement() const {
      return BuildStatement(ResumptionStatement{audience, kResumeSessionMethod, ticket, challenge,
                                                channel_binding, key_share,
                                                Sha256(request.payload())});
    }
    std::string Serialize(const std::string& mac) const {
      const std::string digest = Sha256(request.payload());
      return SerializePrefix(
          ResumptionProofView{ticket, challenge, channel_binding, key_share, digest, mac});
    }
    std::string Mac() const { return ComputeResumptionMac(key, Statement()); }
  };
  Draft MakeDraft(const ClientSession& old) {
    Draft draft;
    draft.key = old.key;
    draft.ticket = old.ticket;
    draft.challenge = Challenge();
    draft.channel_binding = certificate_.binding;
    draft.key_share = draft.ephemeral.public_key();
    v1::ResumeSessionPayload payload;
    payload.set_gate_identity(gate().identities().current()->fingerprint());
    draft.request.set_payload(payload.SerializeAsString());
    return draft;
  }
  absl::StatusOr<ClientSession> Send(const Draft& draft, const std::string& prefix) {
    const Judgement judgement = Judge(prefix, kResumeSessionMethod);
    if (!judgement.status.ok()) return judgement.status;
    EXPECT_EQ(judgement.call->device(), nullptr) << "no hardware signed this";
    const absl::string_view sent = prefix;
    const auto recalled =
        gate().calls().Recall(absl::MakeConstSpan(&sent, 1), kResumeSessionMethod);
    EXPECT_TRUE(recalled.ok() && recalled->resumption() == judgement.call->resumption());
    auto response = gate().peers().ResumeSession(*judgement.call, draft.request, kPeer);
    if (!response.ok()) return response.status();
    ClientSession session;
    session.id = response->session_id();
    session.channel_binding = draft.channel_binding;
    session.idle_s = response->idle_s();
    session.absolute_s = response->absolute_s();
    session.window = response->window();
    session.ticket = response->ticket();
    const auto ephemeral = draft.ephemeral.Agree(response->gate_share());
    const auto identity = draft.ephemeral.Agree(gate().identities().current()->public_key());
    const Secret key =
        DeriveSessionKey(SessionKeyInput{&*ephemeral, &*identity, draft.key, draft.challenge,
                                         draft.Statement(), response->gate_share(), session.id});
    session.key = std::string(key.view());
    EXPECT_EQ(response->confirmation(),
              ComputeConfirmation(
                  key, ConfirmationInput{session.id, response->gate_share(), session.idle_s,
                                         session.absolute_s, session.window,
                                         response->next_gate_identity(), response->subject()}));
    return session;
  }
  absl::StatusOr<ClientSession> Resume(const ClientSession& old) {
    const Draft draft = MakeDraft(old);
    return Send(draft, draft.Serialize(draft.Mac()));
  }
  std::optional<Reason> WhyNotResumed(const absl::StatusOr<ClientSession>& resumed) {
    return resumed.ok() ? std::nullopt : AuditedReason(resumed.status());
  }
  std::optional<Reason> WhyNotResumed(const ClientSession& old) {
    return WhyNotResumed(Resume(old));
  }
  std::optional<Reason> WhyNotResumed(const Draft& draft) {
    return WhyNotResumed(Send(draft, draft.Serialize(draft.Mac())));
  }
  // As a client does now and then: the session is used, and has a newer ticket.
  void Renew(ClientSession& session, uint32_t age_s) {
    const Judgement judgement = Judge(session.NextProof(kWhoAmIMethod, age_s), kWhoAmIMethod);
    ASSERT_TRUE(judgement.status.ok()) << judgement.status;
    auto response = gate().peers().WhoAmI(*judgement.call, v1::WhoAmIRequest());
    ASSERT_TRUE(response.ok());
    session.ticket = response->ticket();
  }
  void End(ClientSession& session) {
    const Judgement judgement = Judge(session.NextProof(kEndSessionMethod), kEndSessionMethod);
    ASSERT_TRUE(judgement.status.ok()) << judgement.status;
    const auto ended = gate().peers().EndSession(*judgement.call, v1::EndSessionRequest(), kPeer);
    ASSERT_TRUE(ended.ok()) << ended.status();
  }

  std::string audience_{kAudience};
  bool resumption_ = true;
  size_t per_subject_ = 64, total_ = 1000;
  absl::Duration idle_ = absl::Minutes(30);
  std::vector<MethodRule> rules_;
  std::vector<Token> tokens_;
};

TEST_F(ResumptionTest, GoesOnAfterARestartAsWhatItWas) {
  auto opened = Open({&ada(), &tokens_[1]}, OpenOptions());
  ASSERT_TRUE(opened.ok()) << opened.status();
  clock_.Advance(absl::Minutes(10));
  StartGate();
  EXPECT_EQ(WhyRefused(opened->NextProof(kMethod, 600)), Reason::kSessionUnknown);
  auto resumed = Resume(*opened);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_NE(resumed->id, opened->id);
  EXPECT_NE(resumed->key, opened->key);
  EXPECT_EQ(resumed->absolute_s, opened->absolute_s - 600) << "it ends when the old one would have";
  const Judgement judgement = Judge(resumed->NextProof(kMethod));
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_EQ(judgement.call->subject().name(), "ada");
  EXPECT_EQ(judgement.call->credentials().size(), 2u);
  ASSERT_EQ(judgement.call->factors().size(), 2u);
  for (const ProvedFactor& factor : judgement.call->factors()) {
    EXPECT_EQ(clock_.BootNow() - factor.proved_boot, absl::Minutes(10)) << "no fresher";
  }
}

TEST_F(ResumptionTest, NoNumberOfResumptionsMovesTheAbsoluteEnd) {
  ClientSession session = Open(ada());
  const BootTime opened = clock_.BootNow();
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Minutes(20));
    StartGate();
    auto resumed = Resume(session);
    const bool over = clock_.BootNow() - opened >= absl::Hours(12);
    if (over) {
      EXPECT_EQ(WhyNotResumed(resumed), Reason::kTicketExpired);
      return;
    }
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    EXPECT_EQ(absl::Seconds(resumed->absolute_s), absl::Hours(12) - (clock_.BootNow() - opened));
    session = *resumed;
  }
  ADD_FAILURE() << "it never ended";
}

TEST_F(ResumptionTest, WhatIdledOutIsNotResumedAndUseMovesThat) {
  ClientSession idle = Open(ada()), used = Open(ada());
  clock_.Advance(absl::Minutes(20));
  Renew(used, 1200);
  clock_.Advance(absl::Minutes(10));
  StartGate();
  EXPECT_EQ(WhyNotResumed(idle), Reason::kTicketExpired);
  EXPECT_EQ(WhyNotResumed(used), std::nullopt);
}

TEST_F(ResumptionTest, NoChangedByteOfATicketOpens) {
  const ClientSession session = Open(ada());
  for (size_t at = 0; at < session.ticket.size(); ++at) {
    ClientSession changed = session;
    changed.ticket[at] = static_cast<char>(changed.ticket[at] ^ 1);
    clock_.Advance(absl::Milliseconds(100));  // strangers' tries are limited
    EXPECT_EQ(WhyNotResumed(changed), Reason::kTicketInvalid) << at;
  }
  ClientSession cut = session;
  for (const size_t size : {size_t{1}, size_t{8}, size_t{9}, session.ticket.size() - 1}) {
    cut.ticket = session.ticket.substr(0, size);
    EXPECT_EQ(WhyNotResumed(cut), Reason::kTicketInvalid) << size;
  }
  EXPECT_EQ(WhyNotResumed(session), std::nullopt);
}

TEST_F(ResumptionTest, ATicketOfAnotherGateOrIdentityOrKeyIsNone) {
  const ClientSession session = Open(ada());
  ASSERT_TRUE(gate().admin().RotateIdentity(v1::RotateIdentityRequest(), "uid 0").ok());
  gate().maintenance().Once();
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketInvalid) << "a new identity, new keys";

  const ClientSession later = Open(ada());
  audience_ = "other.test";  // over the same registry
  StartGate();
  Draft draft = MakeDraft(later);
  draft.audience = "other.test";
  EXPECT_EQ(WhyNotResumed(draft), Reason::kTicketInvalid);
}

TEST_F(ResumptionTest, KeysAreReplacedAndTheOldOnesGo) {
  ClientSession session = Open(ada());
  const std::string first_key = session.ticket.substr(0, 8);
  clock_.Advance(absl::Hours(24) - absl::Minutes(5));
  ClientSession before = Open(ada());
  EXPECT_EQ(before.ticket.substr(0, 8), first_key);
  clock_.Advance(absl::Minutes(10));
  gate().maintenance().Once();
  const ClientSession after = Open(ada());
  EXPECT_NE(after.ticket.substr(0, 8), first_key);
  EXPECT_EQ(WhyNotResumed(before), std::nullopt) << "sealed under the key before";
  before = Open(ada());
  before.ticket = session.ticket;
  clock_.Advance(absl::Minutes(30));
  gate().maintenance().Once();
  EXPECT_EQ(WhyNotResumed(before), Reason::kTicketInvalid) << "the key is gone";
}

TEST_F(ResumptionTest, AReplayedResumptionIsRefused) {
  const ClientSession session = Open(ada());
  const Draft draft = MakeDraft(session);
  const std::string prefix = draft.Serialize(draft.Mac());
  auto resumed = Send(draft, prefix);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(WhyNotResumed(Send(draft, prefix)), Reason::kChallengeReplayed);
  EXPECT_EQ(WhyRefused(resumed->NextProof(kMethod)), std::nullopt)
      << "who replays it without the key ends nothing";
}

TEST_F(ResumptionTest, TheMacIsOfTheSessionsKeyOverAllThatIsSent) {
  const ClientSession session = Open(ada()), other = Open(eve());
  ClientSession thief = session;
  thief.key = other.key;
  EXPECT_EQ(WhyNotResumed(thief), Reason::kMacInvalid) << "a stolen ticket";
  const auto changed = [&](auto change) {
    Draft draft = MakeDraft(session);
    const std::string mac = draft.Mac();
    change(draft);
    return WhyNotResumed(Send(draft, draft.Serialize(mac)));
  };
  EXPECT_EQ(changed([](Draft& d) { d.key_share = X25519PrivateKey::Generate().public_key(); }),
            Reason::kMacInvalid);
  EXPECT_EQ(changed([this](Draft& d) { d.challenge = Challenge(); }), Reason::kMacInvalid);
  EXPECT_EQ(changed([&](Draft& d) { d.ticket = other.ticket; }), Reason::kMacInvalid);
  EXPECT_EQ(changed([](Draft& d) { d.request.clear_payload(); }), Reason::kMacInvalid);
  EXPECT_EQ(changed([](Draft& d) { d.channel_binding = Sha256("proxy"); }),
            Reason::kChannelBindingUnknown);
  Draft elsewhere = MakeDraft(session);
  elsewhere.audience = "other.test";  // relayed by a rogue gate
  EXPECT_EQ(WhyNotResumed(elsewhere), Reason::kMacInvalid);
  // The proof is good for its request alone.
  Draft draft = MakeDraft(session);
  const std::string prefix = draft.Serialize(draft.Mac());
  draft.request.clear_payload();
  EXPECT_EQ(WhyNotResumed(Send(draft, prefix)), Reason::kRequestDigestMismatch);
  EXPECT_EQ(WhyNotResumed(session), std::nullopt) << "none of that used it up";
}

TEST_F(ResumptionTest, EachProofIsForItsOwnMethods) {
  ClientSession session = Open(ada());
  const Draft draft = MakeDraft(session);
  const std::string prefix = draft.Serialize(draft.Mac());
  for (const absl::string_view method :
       {kMethod, kOpenSessionMethod, kOpenChildSessionMethod, kEndSessionMethod, kWhoAmIMethod}) {
    EXPECT_EQ(WhyRefused(prefix, method), Reason::kPrefixWrongKind) << method;
  }
  EXPECT_EQ(WhyRefused(session.NextProof(kResumeSessionMethod), kResumeSessionMethod),
            Reason::kPrefixWrongKind);
  DeviceProofDraft device = GateFixture::Draft({&ada()});
  device.method = std::string(kResumeSessionMethod);
  EXPECT_EQ(WhyRefused(device.SignAndSerialize(), kResumeSessionMethod), Reason::kPrefixWrongKind);
}

TEST_F(ResumptionTest, ARevocationInBetweenHolds) {
  const ClientSession session = Open(ada());
  Revoke(ada());
  EXPECT_EQ(WhyNotResumed(session), Reason::kCredentialRevoked);
  StartGate();
  EXPECT_EQ(WhyNotResumed(session), Reason::kCredentialRevoked);
}

TEST_F(ResumptionTest, ALogoutHoldsOverARestartForAllThatCameOfTheOpening) {
  ClientSession session = Open(ada());
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  Renew(*resumed, 0);
  End(*resumed);
  EXPECT_EQ(WhyNotResumed(*resumed), Reason::kSessionEnded);
  StartGate();
  EXPECT_EQ(WhyNotResumed(*resumed), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotResumed(session), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotResumed(Open(ada())), std::nullopt) << "another opening is another family";
}

TEST_F(ResumptionTest, ASubjectThatWasDisabledInBetweenOpensAnew) {
  const ClientSession session = Open(ada());
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  EXPECT_EQ(WhyNotResumed(session), Reason::kSubjectDisabled);
  request.set_disabled(false);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  EXPECT_EQ(WhyNotResumed(session), Reason::kSessionEnded);
  StartGate();
  EXPECT_EQ(WhyNotResumed(session), Reason::kSessionEnded);
}

TEST_F(ResumptionTest, AChangedPasswordEndsWhatProvedTheOldOne) {
  const auto set_password = [this](const std::string& password) {
    v1::SetPasswordRequest request;
    request.set_subject("ada");
    request.set_password(password);
    ASSERT_TRUE(gate().admin().SetPassword(request, "uid 0").ok());
  };
  set_password("correct horse");
  const ClientSession without = Open(ada());
  auto with = OpenSealed({&ada()}, [this](absl::string_view challenge) {
    FurtherFactors factors;
    factors.password = Secret::CopyOf("correct horse");
    const std::vector<absl::string_view> ids = {ada().id};
    return SealFactors(factors, FactorContext{kAudience, challenge, ids},
                       gate().identities().current()->public_key())
        .value();
  });
  ASSERT_TRUE(with.ok()) << with.status();
  auto resumed = Resume(*with);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  set_password("battery staple");
  EXPECT_EQ(WhyRefused(resumed->NextProof(kMethod)), Reason::kSessionEnded);
  StartGate();
  EXPECT_EQ(WhyNotResumed(*resumed), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotResumed(without), std::nullopt);
}

TEST_F(ResumptionTest, TheRulesOfNowJudgeWhatIsResumed) {
  ClientSession session = Open(ada());
  MethodRule rule;
  rule.methods = {std::string(kMethod)};
  rule.any_role = {"buyer"};
  MethodRule fresh;
  fresh.methods = {std::string(kOtherMethod)};
  fresh.factors = {{{"tpm", absl::Minutes(5)}}};
  rules_ = {rule, fresh};
  clock_.Advance(absl::Minutes(6));
  StartGate();
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(WhyRefused(resumed->NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(WhyRefused(resumed->NextProof(kOtherMethod), kOtherMethod), Reason::kFactorStale)
      << "a resumption freshens nothing";
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_roles(true);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  StartGate();
  resumed = Resume(*resumed);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(WhyRefused(resumed->NextProof(kMethod)), Reason::kMethodNotPermitted);
}

TEST_F(ResumptionTest, WhatIsResumedTakesThePlaceOfWhatWasAndOfItsChildren) {
  ClientSession session = Open(ada());
  auto child = OpenChild(session, OpenOptions());
  ASSERT_TRUE(child.ok()) << child.status();
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyRefused(resumed->NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(gate().sessions().size(), 1u);
}

TEST_F(ResumptionTest, ATicketThatIsUsedTwiceEndsAllThatCameOfTheOpening) {
  ClientSession session = Open(ada()), bystander = Open(ada());
  StartGate();
  auto thief = Resume(session);  // who has read the client's memory comes first
  ASSERT_TRUE(thief.ok()) << thief.status();
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketReplayed);
  EXPECT_EQ(WhyRefused(thief->NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotResumed(*thief), Reason::kSessionEnded);
  StartGate();
  EXPECT_EQ(WhyNotResumed(*thief), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotResumed(session), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotResumed(bystander), std::nullopt);
}

TEST_F(ResumptionTest, TwoReplicasGiveOneTicketOneSession) {
  ClientSession session = Open(ada());
  std::unique_ptr<GateCore> first = std::move(gate_);
  MemoryAuditSink* const first_audit = audit_;
  StartGate();  // another one over the same registry, with the same identity
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(WhyRefused(resumed->NextProof(kMethod)), std::nullopt);
  std::swap(first, gate_);
  MemoryAuditSink* const second_audit = std::exchange(audit_, first_audit);
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketReplayed);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kSessionEnded);
  std::swap(first, gate_);
  audit_ = second_audit;
  EXPECT_EQ(WhyNotResumed(*resumed), Reason::kSessionEnded);
}

TEST_F(ResumptionTest, ReplicasShareTheirKeysAndTheNextOnes) {
  std::unique_ptr<GateCore> first = std::move(gate_);
  StartGate();
  clock_.Advance(absl::Hours(25));
  gate_->maintenance().Once();  // makes the next key
  const ClientSession session = Open(ada());
  std::swap(first, gate_);
  MemoryAuditSink* const audit = audit_;
  auto resumed = Resume(session);
  EXPECT_TRUE(resumed.ok()) << resumed.status() << audit->Find("").has_value();
}

TEST_F(ResumptionTest, AChildHasNoTicket) {
  ClientSession parent = Open(ada());
  auto child = OpenChild(parent, OpenOptions());
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->ticket, "");
  Renew(*child, 0);
  EXPECT_EQ(child->ticket, "");
  // Under its parent's ticket its key is a wrong one.
  ClientSession mixed = *child;
  mixed.ticket = parent.ticket;
  EXPECT_EQ(WhyNotResumed(mixed), Reason::kMacInvalid);
  auto resumed = Resume(parent);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_TRUE(OpenChild(*resumed, OpenOptions()).ok());
}

TEST_F(ResumptionTest, OffRefusesAndForgetsTheKeys) {
  const ClientSession session = Open(ada());
  resumption_ = false;
  StartGate();
  EXPECT_EQ(WhyNotResumed(session), Reason::kResumptionOff);
  EXPECT_EQ(Open(ada()).ticket, "");
  resumption_ = true;
  StartGate();
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketInvalid);
}

TEST_F(ResumptionTest, CountsToTheSubjectsSessions) {
  per_subject_ = 2;
  StartGate();
  const ClientSession session = Open(ada());
  StartGate();
  ClientSession one = Open(ada()), two = Open(ada());
  ASSERT_TRUE(Resume(session).ok());
  EXPECT_EQ(gate().sessions().size(), 2u);
}

TEST_F(ResumptionTest, OneThatFindsNoRoomKeepsItsTicket) {
  const ClientSession session = Open(ada());
  total_ = 2;
  StartGate();
  ClientSession one = Open(eve()), two = Open(eve());
  EXPECT_EQ(WhyNotResumed(session), Reason::kSessionTableFull);
  EXPECT_EQ(WhyRefused(one.NextProof(kMethod)), std::nullopt);
  End(two);
  EXPECT_EQ(WhyNotResumed(session), std::nullopt) << "the registry was not asked";
}

TEST_F(ResumptionTest, ALogoutHoldsWhereReplicasLetSessionsIdleForUnlikeTimes) {
  idle_ = absl::Hours(8);
  StartGate();
  const ClientSession session = Open(ada());
  std::unique_ptr<GateCore> patient = std::move(gate_);
  MemoryAuditSink* const patient_audit = audit_;
  idle_ = absl::Minutes(30);
  StartGate();
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  End(*resumed);
  clock_.Advance(absl::Hours(2));
  std::swap(patient, gate_);
  audit_ = patient_audit;
  gate_->maintenance().Once();
  EXPECT_EQ(WhyNotResumed(Open(eve())), std::nullopt) << "what is over is forgotten here";
  EXPECT_EQ(WhyNotResumed(session), Reason::kSessionEnded)
      << "its ticket would be good here for six hours more";
}

TEST_F(ResumptionTest, OnTheWayOutALiveCallMayFinishWhereItsSessionGoesOnAndNotAfterALogout) {
  for (const bool on_its_way_out : {false, true}) {
    if (on_its_way_out) gate().LetLiveCallsFinish();
    ClientSession session = Open(ada());
    const VerifiedCall live = *Judge(session.NextProof(kMethod)).call;
    auto resumed = Resume(session);
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kSessionEnded) << "no new call";
    EXPECT_EQ(gate().calls().CheckLive(live, kMethod).ok(), on_its_way_out);
    End(*resumed);
    EXPECT_EQ(ReasonOf(gate().calls().CheckLive(live, kMethod)), Reason::kSessionEnded);
  }
}

// After an end is durable, something happens.
class HookedRegistry final : public ForwardingRegistry {
 public:
  using ForwardingRegistry::ForwardingRegistry;
  std::function<void()> after_end;
  absl::Status EndFamily(const FamilyStep& step) override {
    absl::Status ended = ForwardingRegistry::EndFamily(step);
    if (const auto happens = std::exchange(after_end, nullptr)) happens();
    return ended;
  }
};

TEST_F(ResumptionTest, ALogoutThatTheRegistryToldTheGateFirstIsNotToldAsRefused) {
  const auto hooked = std::make_shared<HookedRegistry>(registry_);
  registry_ = hooked;
  StartGate();
  ClientSession session = Open(ada());
  const Judgement logout = Judge(session.NextProof(kEndSessionMethod), kEndSessionMethod),
                  other = Judge(session.NextProof(kEndSessionMethod), kEndSessionMethod);
  ASSERT_TRUE(logout.status.ok() && other.status.ok());
  // The feed of changes ends it as another logout does.
  hooked->after_end = [&] {
    EXPECT_TRUE(gate().peers().EndSession(*other.call, v1::EndSessionRequest(), kPeer).ok());
  };
  EXPECT_TRUE(gate().peers().EndSession(*logout.call, v1::EndSessionRequest(), kPeer).ok());
  EXPECT_EQ(gate().sessions().size(), 0u);
}

TEST_F(ResumptionTest, AClockThatIsSetBackPastTheSkewResumesNothing) {
  const ClientSession session = Open(ada());
  clock_.StepWall(-kMaxClockSkew - absl::Seconds(1));
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketClock);
  gate().maintenance().Once();
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketInvalid) << "all tickets are void";
  const ClientSession later = Open(ada());
  EXPECT_EQ(WhyNotResumed(later), std::nullopt) << "and then it goes on";
  StartGate();
  clock_.StepWall(kMaxClockSkew + absl::Seconds(1));
  EXPECT_EQ(WhyNotResumed(session), Reason::kTicketInvalid)
      << "a clock that comes back revives none";
}

TEST_F(ResumptionTest, AClockThatIsSetBackWithinTheSkewGivesNoTime) {
  ClientSession session = Open(ada());
  clock_.Advance(absl::Minutes(20));
  gate().maintenance().Once();  // the time is noted
  clock_.StepWall(-absl::Seconds(29));
  StartGate();
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->absolute_s, 12 * 3600u - 20 * 60);
  const Judgement judgement = Judge(resumed->NextProof(kMethod));
  ASSERT_TRUE(judgement.status.ok());
  EXPECT_EQ(clock_.BootNow() - judgement.call->factors()[0].proved_boot, absl::Minutes(20));
}

TEST_F(ResumptionTest, AClockThatIsSetForwardOnlyShortens) {
  ClientSession session = Open(ada()), other = Open(ada());
  clock_.StepWall(absl::Minutes(29));
  auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->absolute_s, 12 * 3600u - 29 * 60);
  clock_.StepWall(absl::Minutes(2));
  EXPECT_EQ(WhyNotResumed(other), Reason::kTicketExpired);
  // A clock that was ahead for a moment has nothing forgotten that is still needed.
  End(*resumed);
  clock_.StepWall(absl::Hours(20));
  ClientSession ended = Open(ada());
  End(ended);
  clock_.StepWall(-absl::Hours(20));
  EXPECT_EQ(WhyNotResumed(*resumed), Reason::kSessionEnded);
}

TEST_F(ResumptionTest, ADeadTicketIsNeitherToldAsAdmittedNorDrivesAnybodyOut) {
  per_subject_ = 2;
  StartGate();
  ClientSession dead = Open(ada());
  End(dead);
  ClientSession one = Open(ada()), two = Open(ada());
  const uint64_t admitted = gate().counters().admitted();
  EXPECT_EQ(WhyNotResumed(dead), Reason::kSessionEnded);
  for (const Decision& decision : audit_->decisions()) {
    EXPECT_FALSE(decision.admitted && decision.method == kResumeSessionMethod);
  }
  EXPECT_EQ(gate().counters().admitted(), admitted);
  EXPECT_EQ(gate().sessions().size(), 2u);
  EXPECT_EQ(WhyRefused(one.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(WhyRefused(two.NextProof(kMethod)), std::nullopt);
  auto resumed = Resume(one);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(gate().sessions().size(), 2u) << "it has the place of the one that it was";
  EXPECT_EQ(WhyRefused(two.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(gate().counters().resumed.load(), 1u);
}

TEST_F(ResumptionTest, ARefusalAfterTheMacSaysWhoseTicketItWas) {
  const ClientSession session = Open(ada());
  Revoke(ada());
  EXPECT_EQ(WhyNotResumed(session), Reason::kCredentialRevoked);
  const Decision refused = audit_->decisions().back();
  EXPECT_EQ(refused.subject, "ada");
  EXPECT_EQ(refused.session, session.id);
  EXPECT_THAT(refused.credential_ids, ::testing::ElementsAre(ada().id));

  const ClientSession eves = Open(eve());
  ClientSession thief = eves;
  thief.key = session.key;
  EXPECT_EQ(WhyNotResumed(thief), Reason::kMacInvalid);
  EXPECT_EQ(audit_->decisions().back().session, "") << "a wrong key proves nothing";
  const Draft draft = MakeDraft(eves);
  const std::string prefix = draft.Serialize(draft.Mac());
  ASSERT_TRUE(Send(draft, prefix).ok());
  EXPECT_EQ(WhyNotResumed(Send(draft, prefix)), Reason::kChallengeReplayed);
  EXPECT_THAT(audit_->decisions().back().detail,
              ::testing::HasSubstr(absl::BytesToHexString(eves.id)));
}

TEST_F(ResumptionTest, OneWhoEndsSessionsWithoutRestVoidsNobodyElsesTickets) {
  const ClientSession others = Open(ada()), mine = Open(eve());
  for (int i = 0; i < 1100; ++i) {
    ClientSession session = Open(eve());
    End(session);
    if (i < 1000) continue;
    ASSERT_EQ(WhyNotResumed(session), Reason::kTicketExpired);
    clock_.Advance(absl::Milliseconds(100));  // strangers' tries are limited
  }
  EXPECT_EQ(WhyNotResumed(mine), Reason::kTicketExpired);
  EXPECT_EQ(WhyNotResumed(others), std::nullopt);
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(WhyNotResumed(Open(eve())), std::nullopt) << "for a minute, and no longer";
}

// Over one store with a clock of its own, as replicas have it.
class TimedRegistry final : public ForwardingRegistry {
 public:
  TimedRegistry(std::shared_ptr<Registry> inner, const Clock& clock)
      : ForwardingRegistry(std::move(inner)), clock_(clock) {}
  absl::StatusOr<TicketState> FindTicketState() override {
    auto state = ForwardingRegistry::FindTicketState();
    if (state.ok()) state->store_time = clock_.WallNow();
    return state;
  }

 private:
  const Clock& clock_;
};

TEST_F(ResumptionTest, ATicketUnderANewKeyIsNotDeadSinceAStrangersWasLookedForJustNow) {
  registry_ = std::make_shared<TimedRegistry>(registry_, clock_);  // which gates share
  StartGate();
  clock_.Advance(absl::Hours(24) - absl::Milliseconds(500));
  ClientSession session = Open(ada());
  // A stranger's key id has the keys read; half a second later another gate makes the next one.
  ClientSession strangers = session;
  strangers.ticket.replace(0, 8, "made up!");
  EXPECT_EQ(WhyNotResumed(strangers), Reason::kTicketInvalid);
  clock_.Advance(absl::Milliseconds(600));
  TicketKeysNeeds needs;
  needs.audience = audience_;
  needs.clock = &clock_;
  needs.registry = registry_.get();
  needs.identity = [this] {
    const auto current = gate().identities().current();
    return TicketIdentity{current->fingerprint(), current->key().Raw()};
  };
  needs.longest = idle_;
  needs.tell = [](const std::string&) {};
  auto other = TicketKeys::New(std::move(needs));
  ASSERT_TRUE(other.ok()) << other.status();
  auto ticket = (*other)->Open(session.ticket);
  ASSERT_TRUE(ticket.ok()) << ticket.status();
  session.ticket = (*other)->Seal(*ticket);
  EXPECT_EQ(WhyNotResumed(session), Reason::kStoreUnavailable) << "try again";
  strangers.ticket.replace(0, 8, "and more");
  EXPECT_EQ(WhyNotResumed(strangers), Reason::kStoreUnavailable);
  clock_.Advance(absl::Milliseconds(500));
  EXPECT_EQ(WhyNotResumed(session), std::nullopt);
  EXPECT_EQ(WhyNotResumed(strangers), Reason::kTicketInvalid)
      << "the keys were read since, whoever had them read";
}

TEST_F(ResumptionTest, AReplicaWhoseClockIsWrongResumesNothingAndVoidsNothing) {
  FakeClock store_clock(clock_.WallNow());
  const auto advance = [&](absl::Duration by) {
    clock_.Advance(by);
    store_clock.Advance(by);
  };
  registry_ = std::make_shared<TimedRegistry>(registry_, store_clock);
  StartGate();
  const ClientSession session = Open(ada());
  std::unique_ptr<GateCore> right = std::move(gate_);
  MemoryAuditSink* const right_audit = audit_;
  for (const absl::Duration wrong : {absl::Minutes(5), -absl::Minutes(5)}) {
    clock_.StepWall(wrong);
    StartGate();
    for (int minutes = 0; minutes < 3; ++minutes) {
      EXPECT_EQ(WhyNotResumed(session), Reason::kTicketClock);
      EXPECT_EQ(Open(eve()).ticket, "") << "nobody else could take it";
      advance(absl::Minutes(1));
      gate_->maintenance().Once();
    }
    clock_.StepWall(-wrong);
    gate_->maintenance().Once();
    EXPECT_NE(Open(eve()).ticket, "") << "its clock was set right";
  }
  std::swap(right, gate_);
  audit_ = right_audit;
  advance(absl::Seconds(20));
  gate_->maintenance().Once();
  EXPECT_EQ(WhyNotResumed(session), std::nullopt) << "the others did not notice";
}

class LosingRegistry final : public ForwardingRegistry {
 public:
  using ForwardingRegistry::ForwardingRegistry;
  int swaps_lost = 0;
  absl::StatusOr<bool> SwapTicketState(uint64_t expected, absl::string_view sealed) override {
    if (swaps_lost == 0) return ForwardingRegistry::SwapTicketState(expected, sealed);
    --swaps_lost;
    // Another gate was faster.
    auto other = ForwardingRegistry::SwapTicketState(expected, "another gate's");
    if (!other.ok()) return other;
    return false;
  }
};

TEST_F(ResumptionTest, AClockThatBecomesRightGivesNoTicketsBeforeThereAreKeys) {
  FakeClock store_clock(clock_.WallNow());
  const auto losing = std::make_shared<LosingRegistry>(registry_);
  registry_ = std::make_shared<TimedRegistry>(losing, store_clock);
  clock_.StepWall(absl::Minutes(5));
  StartGate();
  clock_.StepWall(-absl::Minutes(5));
  clock_.Advance(absl::Minutes(1));
  store_clock.Advance(absl::Minutes(1));
  losing->swaps_lost = 1000;
  gate_->maintenance().Once();
  EXPECT_EQ(Open(ada()).ticket, "") << "its clock is right, and no key could be had";
}

TEST_F(ResumptionTest, OffForgetsTheKeysAlsoWhereAnotherGateChangesThem) {
  const auto losing = std::make_shared<LosingRegistry>(registry_);
  losing->swaps_lost = 2;
  ASSERT_TRUE(TicketKeys::Forget(*losing).ok());
  EXPECT_EQ(registry_->FindTicketState()->sealed, "");
  ASSERT_TRUE(registry_->SwapTicketState(registry_->FindTicketState()->version, "keys").ok());
  losing->swaps_lost = 100;
  EXPECT_EQ(ReasonOf(TicketKeys::Forget(*losing)), Reason::kStoreUnavailable);
}

TEST_F(ResumptionTest, TheAuditLogSaysWhatWasResumed) {
  const ClientSession session = Open(ada());
  const auto resumed = Resume(session);
  ASSERT_TRUE(resumed.ok());
  bool told = false;
  for (const Decision& decision : audit_->decisions()) {
    EXPECT_EQ(decision.detail.find(session.ticket), std::string::npos);
    told |= decision.session == resumed->id &&
            decision.detail.find("resumed from session") != std::string::npos;
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace forekey::testing
