// SPDX-License-Identifier: Apache-2.0
// Calls that hardware signed: every reason for which one is refused, by real signatures.
#include <set>
#include <thread>

#include "src/base/bytes.h"
#include "src/crypto/random.h"
#include "src/wire/statement.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DeviceProofTest : public GateFixture {
 protected:
  DeviceProofTest() {
    StartGate();
    tokens_.push_back(Enroll("ada"));
    tokens_.push_back(Enroll("ada", Algorithm::kEdDsa, v1::TOKEN_KIND_PIV));
    tokens_.push_back(Enroll("ada", Algorithm::kRs256));
    tokens_.push_back(Enroll("eve", Algorithm::kEs384));
  }
  const Token& ada() const { return tokens_[0]; }
  const Token& ada_second() const { return tokens_[1]; }
  const Token& ada_third() const { return tokens_[2]; }
  const Token& eve() const { return tokens_[3]; }
  std::vector<Token> tokens_;
};

TEST_F(DeviceProofTest, AdmitsEveryAlgorithmAndTellsWhoCalls) {
  for (const Token& token : tokens_) {
    const Judgement judgement = Judge(Draft({&token}).SignAndSerialize());
    ASSERT_TRUE(judgement.status.ok()) << judgement.status;
    EXPECT_EQ(judgement.call->subject().name(), token.subject);
    ASSERT_EQ(judgement.call->credentials().size(), 1u);
    EXPECT_EQ(judgement.call->credentials()[0]->record().id, token.id);
    EXPECT_EQ(judgement.call->session(), nullptr);
    ASSERT_EQ(judgement.call->factors().size(), 1u);
    EXPECT_EQ(judgement.call->factors()[0].proved_at, clock_.WallNow());
  }
}

TEST_F(DeviceProofTest, AdmitsThreeTokensOfOneSubjectTogether) {
  const Judgement judgement =
      Judge(Draft({&ada(), &ada_second(), &ada_third()}).SignAndSerialize());
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_EQ(judgement.call->credentials().size(), 3u);
  std::set<std::string> factors;
  for (const ProvedFactor& factor : judgement.call->factors()) factors.insert(factor.name.str());
  EXPECT_THAT(factors, ElementsAre("piv", "tpm"));
}

TEST_F(DeviceProofTest, KeepsWhatWasSignedForTheKeysOfASessionAlone) {
  DeviceProofDraft draft = Draft({&ada()});
  EXPECT_EQ(Judge(draft.SignAndSerialize()).call->device()->statement, "");
  draft = Draft({&ada()});
  draft.method = std::string(kOpenSessionMethod);
  draft.key_share = std::string(32, 's');
  draft.request_digest = std::string(32, 'd');
  const std::string prefix = draft.SignAndSerialize();
  const Judgement opening = Judge(prefix, kOpenSessionMethod);
  ASSERT_TRUE(opening.status.ok()) << opening.status;
  EXPECT_EQ(opening.call->device()->statement, draft.Statement());
  EXPECT_EQ(opening.call->device()->challenge, draft.challenge);
  EXPECT_EQ(opening.call->device()->key_share, draft.key_share);
}

TEST_F(DeviceProofTest, AFactorIsNoFresherThanItsChallenge) {
  const absl::Time issued = clock_.WallNow();
  DeviceProofDraft draft = Draft({&ada()});
  clock_.Advance(absl::Seconds(100));
  const Judgement judgement = Judge(draft.SignAndSerialize());
  ASSERT_TRUE(judgement.status.ok());
  EXPECT_EQ(judgement.call->factors()[0].proved_at, issued);
}

TEST_F(DeviceProofTest, RefusesNoPrefixTwoPrefixesAndRubbish) {
  EXPECT_EQ(WhyRefused(gate().calls().Judge(CallInput{{}, kMethod, kPeer})),
            Reason::kPrefixMissing);
  const std::string good = Draft({&ada()}).SignAndSerialize();
  const std::vector<absl::string_view> twice = {good, good};
  EXPECT_EQ(WhyRefused(gate().calls().Judge(CallInput{twice, kMethod, kPeer})),
            Reason::kPrefixRepeated);
  EXPECT_EQ(WhyRefused(""), Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused("rubbish"), Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused(good + std::string("\0", 1)), Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused(std::string(kMaxPrefixSize + 1, 'a')), Reason::kPrefixOversize);
  EXPECT_EQ(WhyRefused(good), std::nullopt) << "the good one must not have been spent";
}

TEST_F(DeviceProofTest, RefusesMalformedPaths) {
  for (absl::string_view path : {"", "/", "shop.Orders/Buy", "/shop.Orders/Buy/", "//Buy",
                                 "/shop.Orders/Buy?x=1", "/shop.Orders/B uy"}) {
    EXPECT_EQ(WhyRefused(Draft({&ada()}).SignAndSerialize(), path), Reason::kPathMalformed) << path;
  }
}

TEST_F(DeviceProofTest, RefusesAReplay) {
  const std::string prefix = Draft({&ada()}).SignAndSerialize();
  EXPECT_EQ(WhyRefused(prefix), std::nullopt);
  EXPECT_EQ(WhyRefused(prefix), Reason::kChallengeReplayed);
}

TEST_F(DeviceProofTest, OneChallengeServesOneCallWhoeverSigns) {
  DeviceProofDraft first = Draft({&ada()});
  DeviceProofDraft second = Draft({&eve()});
  second.challenge = first.challenge;
  EXPECT_EQ(WhyRefused(first.SignAndSerialize()), std::nullopt);
  EXPECT_EQ(WhyRefused(second.SignAndSerialize()), Reason::kChallengeReplayed);
}

TEST_F(DeviceProofTest, OfManyThreadsWithOneProofExactlyOneIsAdmitted) {
  const std::string prefix = Draft({&ada()}).SignAndSerialize();
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { admitted += Judge(prefix).status.ok() ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 1);
}

TEST_F(DeviceProofTest, AFailedSignatureDoesNotSpendTheChallenge) {
  DeviceProofDraft draft = Draft({&ada()});
  auto signatures = draft.Sign("something else");
  EXPECT_EQ(WhyRefused(draft.Serialize(signatures)), Reason::kSignatureInvalid);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), std::nullopt);
}

TEST_F(DeviceProofTest, RefusesTheProofOfAnotherMethod) {
  const std::string prefix = Draft({&ada()}).SignAndSerialize();
  EXPECT_EQ(WhyRefused(prefix, kOtherMethod), Reason::kSignatureInvalid);
  EXPECT_EQ(WhyRefused(prefix, "/shop.Orders/buy"), Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, RefusesTheProofOfAnotherGate) {
  DeviceProofDraft draft = Draft({&ada()});
  draft.audience = "other.test";
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, RefusesAnotherServersCertificate) {
  DeviceProofDraft draft = Draft({&ada()});
  draft.channel_binding = MakeTlsCertificate("proxy").binding;
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kChannelBindingUnknown);
  // Signed for the proxy's certificate, sent with the gate's: the binding is under the signature.
  const auto signatures = draft.Sign(draft.Statement());
  draft.channel_binding = certificate_.binding;
  EXPECT_EQ(WhyRefused(draft.Serialize(signatures)), Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, RefusesASplicedChallenge) {
  DeviceProofDraft draft = Draft({&ada()});
  const auto signatures = draft.Sign(draft.Statement());
  draft.challenge = Challenge();
  EXPECT_EQ(WhyRefused(draft.Serialize(signatures)), Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, RefusesAForgedChallengeWhateverByteIsChanged) {
  const DeviceProofDraft draft = Draft({&ada()});
  for (size_t at = 0; at < kChallengeSize; ++at) {
    DeviceProofDraft forged = draft;
    forged.challenge[at] = static_cast<char>(forged.challenge[at] ^ 1);
    EXPECT_EQ(WhyRefused(forged.SignAndSerialize()), Reason::kChallengeForged) << at;
  }
}

TEST_F(DeviceProofTest, RefusesAnEnrolmentsChallenge) {
  DeviceProofDraft draft = Draft({&ada()});
  draft.challenge = Challenge(v1::GetChallengeRequest::PURPOSE_ENROLL);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kChallengeWrongPurpose);
}

TEST_F(DeviceProofTest, RefusesAnOldChallengeAndOneOfBeforeARestart) {
  DeviceProofDraft draft = Draft({&ada()});
  clock_.Advance(absl::Seconds(120));
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kChallengeExpired);
  draft.challenge = Challenge();
  StartGate();
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kChallengeForged);
}

TEST_F(DeviceProofTest, AStepOfTheWallClockNeitherAgesNorRenewsAChallenge) {
  DeviceProofDraft draft = Draft({&ada()});
  clock_.StepWall(absl::Hours(1000));
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), std::nullopt);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kChallengeReplayed);
}

TEST_F(DeviceProofTest, RefusesUnknownRevokedAndDisabled) {
  const Token stranger = MakeToken("ada", Algorithm::kEs256);
  EXPECT_EQ(WhyRefused(Draft({&stranger}).SignAndSerialize()), Reason::kCredentialUnknown);
  Revoke(ada());
  EXPECT_EQ(WhyRefused(Draft({&ada()}).SignAndSerialize()), Reason::kCredentialRevoked);
  EXPECT_EQ(WhyRefused(Draft({&ada_second(), &ada()}).SignAndSerialize()),
            Reason::kCredentialRevoked);
  EXPECT_EQ(WhyRefused(Draft({&ada_second()}).SignAndSerialize()), std::nullopt);
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  EXPECT_EQ(WhyRefused(Draft({&ada_second()}).SignAndSerialize()), Reason::kSubjectDisabled);
}

TEST_F(DeviceProofTest, RefusesTokensOfTwoSubjects) {
  EXPECT_EQ(WhyRefused(Draft({&ada(), &eve()}).SignAndSerialize()), Reason::kSubjectMismatch);
}

TEST_F(DeviceProofTest, AnAssertionTakenAwayBreaksTheOthers) {
  DeviceProofDraft draft = Draft({&ada(), &ada_second()});
  auto signatures = draft.Sign(draft.Statement());
  signatures.erase(ada_second().id);
  EXPECT_EQ(WhyRefused(draft.Serialize(signatures)), Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, AnAssertionAddedBreaksTheOthers) {
  DeviceProofDraft alone = Draft({&ada()});
  DeviceProofDraft both = alone;
  both.signers = {&ada(), &ada_second()};
  auto signatures = alone.Sign(alone.Statement());
  signatures[ada_second().id] = both.Sign(both.Statement())[ada_second().id];
  EXPECT_EQ(WhyRefused(alone.Serialize(signatures)), Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, OneBadSignatureOfThreeRefuses) {
  DeviceProofDraft draft = Draft({&ada(), &ada_second(), &ada_third()});
  for (const Token* bad : draft.signers) {
    auto signatures = draft.Sign(draft.Statement());
    signatures[bad->id] = bad->key->Sign("another statement");
    EXPECT_EQ(WhyRefused(draft.Serialize(signatures)), Reason::kSignatureInvalid);
  }
}

TEST_F(DeviceProofTest, RefusesTheSignatureOfAnotherCredential) {
  DeviceProofDraft draft = Draft({&ada()});
  EXPECT_EQ(WhyRefused(draft.Serialize({{ada().id, eve().key->Sign(draft.Statement())}})),
            Reason::kSignatureInvalid);
}

TEST_F(DeviceProofTest, RefusesWebAuthnFieldsBesideAPlainSignature) {
  const DeviceProofDraft draft = Draft({&ada()});
  const std::string signature = ada().key->Sign(draft.Statement());
  for (bool data : {true, false}) {
    DeviceProofView view;
    view.challenge = draft.challenge;
    view.channel_binding = draft.channel_binding;
    view.assertions.push_back(
        AssertionView{ada().id, signature, data ? "x" : "", data ? "" : "{}"});
    EXPECT_EQ(WhyRefused(SerializePrefix(view)), Reason::kPrefixMalformed);
  }
}

TEST_F(DeviceProofTest, AKindThatIsNotVerifiedHereIsRefused) {
  const Token key = Enroll("ada", Algorithm::kEs256, static_cast<TokenKind>(9));
  EXPECT_EQ(WhyRefused(Draft({&key}).SignAndSerialize()), Reason::kTokenKindNotAllowed);
}

TEST_F(DeviceProofTest, LabelsKeepOpeningAndCallingApart) {
  // The same bytes signed as an opening are no call, and as a call no opening.
  DeviceProofDraft open = Draft({&ada()});
  open.method = std::string(kOpenSessionMethod);
  open.key_share = RandomBytes(32);
  open.request_digest = RandomBytes(32);
  std::string statement = open.Statement();
  const size_t label_end = label::kOpen.size();
  ASSERT_EQ(statement.substr(0, label_end), label::kOpen);
  const std::string relabelled = std::string(label::kCallDevice) + statement.substr(label_end);
  EXPECT_EQ(WhyRefused(open.Serialize(open.Sign(relabelled)), kOpenSessionMethod),
            Reason::kSignatureInvalid);

  DeviceProofDraft call = Draft({&ada()});
  statement = call.Statement();
  for (absl::string_view role : {label::kOpen, label::kEnroll, label::kCall, label::kConfirm}) {
    const std::string other = std::string(role) + statement.substr(label::kCallDevice.size());
    EXPECT_EQ(WhyRefused(call.Serialize(call.Sign(other))), Reason::kSignatureInvalid) << role;
  }
}

TEST_F(DeviceProofTest, FieldsStandExactlyWhereTheyBelong) {
  DeviceProofDraft draft = Draft({&ada()});
  draft.key_share = RandomBytes(32);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kPrefixMalformed);
  draft.key_share.clear();
  draft.request_digest = RandomBytes(32);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kPrefixMalformed);
  draft.method = std::string(kWhoAmIMethod);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize(), kWhoAmIMethod), Reason::kPrefixMalformed);
  draft.method = std::string(kOpenSessionMethod);
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize(), kOpenSessionMethod), Reason::kPrefixMalformed);
  for (absl::string_view method : {kOpenChildSessionMethod, kEndSessionMethod}) {
    DeviceProofDraft wrong = Draft({&ada()});
    wrong.method = std::string(method);
    EXPECT_EQ(WhyRefused(wrong.SignAndSerialize(), method), Reason::kPrefixWrongKind);
  }
  DeviceProofDraft who = Draft({&ada()});
  who.method = std::string(kWhoAmIMethod);
  EXPECT_EQ(WhyRefused(who.SignAndSerialize(), kWhoAmIMethod), std::nullopt);
}

TEST_F(DeviceProofTest, ExemptMethodsHaveNoCallerWhateverTheyCarry) {
  const std::string prefix = Draft({&ada()}).SignAndSerialize();
  const absl::string_view value = prefix;
  const Judgement judgement = Judge(prefix, kGetChallengeMethod);
  EXPECT_TRUE(judgement.status.ok());
  EXPECT_TRUE(judgement.exempt);
  EXPECT_FALSE(judgement.call.has_value());
  EXPECT_EQ(
      ReasonOf(gate().calls().Recall(absl::MakeConstSpan(&value, 1), kGetChallengeMethod).status()),
      Reason::kPrefixMissing);
}

// ---- Recall: the accessor's half (LAW 4) ----

class RecallTest : public DeviceProofTest {
 protected:
  std::optional<Reason> WhyNot(const std::string& prefix, absl::string_view method = kMethod) {
    const absl::string_view value = prefix;
    return ReasonOf(gate().calls().Recall(absl::MakeConstSpan(&value, 1), method).status());
  }
};

TEST_F(RecallTest, GivesTheCallerThatWasAdmitted) {
  const std::string prefix = Draft({&ada()}).SignAndSerialize();
  const Judgement judgement = Judge(prefix);
  ASSERT_TRUE(judgement.status.ok());
  clock_.Advance(absl::Hours(1));
  const absl::string_view value = prefix;
  const auto again = gate().calls().Recall(absl::MakeConstSpan(&value, 1), kMethod);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->subject().name(), "ada");
  EXPECT_EQ(again->factors()[0].proved_at, judgement.call->factors()[0].proved_at);
}

TEST_F(RecallTest, KnowsACallThatThousandsCameAfter) {
  const std::string prefix = Draft({&ada_second()}).SignAndSerialize();
  ASSERT_EQ(WhyRefused(prefix), std::nullopt);
  const absl::Time proved_at = clock_.WallNow();
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(Judge(Draft({&ada_second()}).SignAndSerialize()).status.ok());
  }
  clock_.Advance(absl::Minutes(10));
  const absl::string_view value = prefix;
  const auto again = gate().calls().Recall(absl::MakeConstSpan(&value, 1), kMethod);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->factors()[0].name, "piv");
  EXPECT_EQ(again->factors()[0].proved_at, proved_at);
}

TEST_F(RecallTest, BelievesNeitherAForgedPrefixNorAnotherMethod) {
  DeviceProofDraft draft = Draft({&ada()});
  const auto signatures = draft.Sign(draft.Statement());
  ASSERT_EQ(WhyRefused(draft.Serialize(signatures)), std::nullopt);
  EXPECT_EQ(WhyNot(draft.Serialize(signatures), kOtherMethod), Reason::kSignatureInvalid);
  EXPECT_EQ(WhyNot(draft.Serialize({{eve().id, signatures.begin()->second}})),
            Reason::kSignatureInvalid);
  EXPECT_EQ(WhyNot("rubbish"), Reason::kPrefixMalformed);
}

TEST_F(RecallTest, FailsOnceTheCredentialIsRevoked) {
  const std::string prefix = Draft({&ada()}).SignAndSerialize();
  ASSERT_EQ(WhyRefused(prefix), std::nullopt);
  Revoke(ada());
  EXPECT_EQ(WhyNot(prefix), Reason::kCredentialRevoked);
}

// ---- Limits (LAWs 5 and 7) ----

class LimitTest : public DeviceProofTest {
 protected:
  LimitTest() { StartGate(); }  // again: the base's constructor knew the base's Config alone
  GateConfig Config() override {
    GateConfig config = DeviceProofTest::Config();
    config.limits.proofs.per_second = 1;
    config.limits.proofs.burst = 5;
    return config;
  }
  std::string BadProof() {
    const DeviceProofDraft draft = Draft({&ada()});
    return draft.Serialize(draft.Sign("another statement"));
  }
};

TEST_F(LimitTest, AFloodOfBadProofsStopsNeitherHostsThatWorkNorTheCredential) {
  ASSERT_TRUE(
      Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:192.0.2.1:1000").status.ok());
  std::optional<Reason> last;
  for (int i = 0; i < 20; ++i) {
    last = WhyRefused(Judge(BadProof(), kMethod, absl::StrCat("ipv4:198.51.100.9:", 2000 + i)));
  }
  EXPECT_EQ(last, Reason::kRateLimited);
  EXPECT_TRUE(
      Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:192.0.2.1:1001").status.ok());
  EXPECT_EQ(WhyRefused(Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:203.0.113.5:1")),
            Reason::kRateLimited);
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:203.0.113.5:1").status.ok());
}

class AddressLimitTest : public LimitTest {
 protected:
  AddressLimitTest() { StartGate(); }
  GateConfig Config() override {
    GateConfig config = DeviceProofTest::Config();
    config.limits.proofs.per_address_per_second = 1;
    config.limits.proofs.per_address_burst = 5;
    return config;
  }
};

TEST_F(AddressLimitTest, AStrangerUsesUpHisOwnBucketAndNoOtherAddresss) {
  std::optional<Reason> last;
  for (int i = 0; i < 50; ++i) {
    last =
        WhyRefused(Judge(BadProof(), kMethod, absl::StrCat("ipv6:[2001:db8::", i, "]:", 2000 + i)));
  }
  EXPECT_EQ(last, Reason::kRateLimited) << "a /64 is one address";
  EXPECT_TRUE(
      Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv6:[2001:db8:0:1::1]:9").status.ok());
  EXPECT_TRUE(Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:203.0.113.5:1").status.ok());
}

// Nor are ids that somebody made up looked up without a limit.
TEST_F(AddressLimitTest, MadeUpCredentialIdsDrawOnTheBucketOfTheirAddressAlone) {
  const Token stranger = MakeToken("mallory", Algorithm::kEs256);
  std::vector<std::optional<Reason>> reasons;
  for (int i = 0; i < 8; ++i) {
    reasons.push_back(WhyRefused(
        Judge(Draft({&stranger}).SignAndSerialize(), kMethod, "ipv4:198.51.100.9:2000")));
  }
  EXPECT_EQ(reasons.front(), Reason::kCredentialUnknown);
  EXPECT_EQ(reasons.back(), Reason::kRateLimited);
  EXPECT_TRUE(Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:203.0.113.5:1").status.ok());
}

TEST_F(LimitTest, MadeUpCredentialIdsTakeNothingFromWhatStrangersShare) {
  const Token stranger = MakeToken("mallory", Algorithm::kEs256);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(WhyRefused(Judge(Draft({&stranger}).SignAndSerialize(), kMethod,
                               absl::StrCat("ipv4:198.51.100.", i, ":2000"))),
              Reason::kCredentialUnknown);
  }
  EXPECT_TRUE(Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:203.0.113.5:1").status.ok());
}

// Calls whose address nobody knows have a bucket of their own.
TEST_F(LimitTest, UnknownAddressesTakeNothingFromWhatStrangersShare) {
  std::optional<Reason> last;
  for (int i = 0; i < 20; ++i) last = WhyRefused(Judge(BadProof(), kMethod, ""));
  EXPECT_EQ(last, Reason::kRateLimited);
  EXPECT_TRUE(Judge(Draft({&ada()}).SignAndSerialize(), kMethod, "ipv4:203.0.113.5:1").status.ok());
}

TEST_F(LimitTest, WhatIsRefusedBeforeTheSignatureTakesNoToken) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(WhyRefused("rubbish"), Reason::kPrefixMalformed);
    DeviceProofDraft forged = Draft({&ada()});
    forged.challenge = RandomBytes(kChallengeSize);
    EXPECT_EQ(WhyRefused(forged.SignAndSerialize()), Reason::kChallengeForged);
  }
  EXPECT_EQ(WhyRefused(Draft({&ada()}).SignAndSerialize()), std::nullopt);
}

}  // namespace
}  // namespace forekey::testing
