// SPDX-License-Identifier: Apache-2.0
// Calls that FIDO2 keys signed: every reason for which one is refused, and the counter.
#include <functional>
#include <set>
#include <thread>

#include "src/gate/token/fido2_verifier.h"
#include "src/store/sqlite_registry.h"
#include "tests/unit/gate/support/soft_fido2.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::set<std::string> FactorNames(const VerifiedCall& call) {
  std::set<std::string> names;
  for (const ProvedFactor& factor : call.factors()) names.insert(factor.name.str());
  return names;
}

class Fido2CallTest : public GateFixture {
 protected:
  Fido2CallTest() {
    StartGate();
    key_ = EnrollSoftFido2(*registry_, "ada", clock_.WallNow());
  }
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.tokens.Get<Fido2Config>() = fido2_;
    return config;
  }
  // One call of one key, its assertion as `change` left it.
  std::string Prefix(const Token& token, uint32_t sign_count,
                     const std::function<void(SoftAssertionDraft&)>& change = nullptr) {
    DeviceProofDraft draft = Draft({&token});
    SoftAssertionDraft assertion = AssertionOver(draft.Statement(), sign_count);
    if (change) change(assertion);
    return SerializeWith(draft, {{token.id, assertion.SignWithKey(*token.key)}});
  }
  std::optional<Reason> Why(const std::function<void(SoftAssertionDraft&)>& change) {
    return WhyRefused(Prefix(key_, ++count_, change));
  }

  Fido2Config fido2_;
  Token key_;
  uint32_t count_ = 0;
};

TEST_F(Fido2CallTest, AdmitsEveryAlgorithm) {
  for (const AlgorithmFacts& algorithm_facts : AllAlgorithms()) {
    const Algorithm algorithm = algorithm_facts.algorithm;
    const Token token = EnrollSoftFido2(*registry_, "ada", clock_.WallNow(), algorithm);
    const Judgement judgement = Judge(Prefix(token, 1));
    ASSERT_TRUE(judgement.status.ok()) << judgement.status << AlgorithmName(algorithm);
    EXPECT_THAT(FactorNames(*judgement.call), ElementsAre("fido2"));
  }
}

TEST_F(Fido2CallTest, UserVerificationIsAFactorOfItsOwn) {
  const Judgement judgement = Judge(Prefix(key_, 1, [](auto& a) { a.flags = 0x05; }));
  ASSERT_TRUE(judgement.status.ok());
  EXPECT_THAT(FactorNames(*judgement.call), ElementsAre("fido2", "fido2+uv"));
}

// LAW 9. The owner of a TPM signs whatever flags he likes; credentials of before count the same.
TEST_F(Fido2CallTest, WhatAPlatformSaysOfItsUserIsAFactorWhereThePolicyBelievesIt) {
  const Token tpm = EnrollSoftFido2(*registry_, "ada", clock_.WallNow(), Algorithm::kEs256, 0,
                                    /*backup_eligible=*/false, "tpm");
  const auto verified = [](auto& a) { a.flags = 0x05; };
  Judgement judgement = Judge(Prefix(tpm, 1, verified));
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_THAT(FactorNames(*judgement.call), ElementsAre("fido2"));
  fido2_.policy.require_user_verification = true;
  StartGate();
  EXPECT_EQ(WhyRefused(Prefix(tpm, 2, verified)), Reason::kUserNotVerified);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("platform_user_verification"));
  EXPECT_EQ(WhyRefused(Prefix(key_, 2, verified)), std::nullopt) << "a key of its own";
  fido2_.policy.platform_user_verification = true;
  StartGate();
  judgement = Judge(Prefix(tpm, 3, verified));
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_THAT(FactorNames(*judgement.call), ElementsAre("fido2", "fido2+uv"));
}

TEST_F(Fido2CallTest, ARecordThatDoesNotTellHowItsKeyWasAttestedProvesNoUser) {
  for (const char* proved : {"", "x", "[]", "{}", R"({"format":1})", R"({"format":"tpm"})"}) {
    SoftAssertionDraft draft = AssertionOver("statement");
    draft.flags = 0x05;
    const SoftAssertion made = draft.SignWithKey(*key_.key);
    CredentialRecord record = *registry_->FindCredential(key_.id);
    record.proved_json = proved;
    const auto facts = NewFido2Verifier({})->VerifyAssertion(
        {key_.id, made.signature, made.authenticator_data, made.client_data_json}, "statement",
        record, key_.key->public_key());
    ASSERT_TRUE(facts.ok()) << facts.status();
    EXPECT_THAT(facts->factors, ElementsAre("fido2")) << proved;
  }
}

TEST_F(Fido2CallTest, RefusesWhatTheClientSaysOtherwise) {
  EXPECT_EQ(Why([](auto& a) { a.type = "webauthn.create"; }), Reason::kClientDataType);
  EXPECT_EQ(Why([](auto& a) { a.challenge[0] ^= 1; }), Reason::kClientDataChallenge);
  EXPECT_EQ(Why([](auto& a) { a.origin = "https://gate.test"; }), Reason::kClientDataOrigin);
  EXPECT_EQ(Why([](auto& a) { a.origin += "/"; }), Reason::kClientDataOrigin);
  EXPECT_EQ(Why([](auto& a) { a.more_json = ",\"crossOrigin\":true"; }), Reason::kClientDataOrigin);
  EXPECT_EQ(Why([](auto& a) { a.more_json = ",\"type\":\"webauthn.get\""; }),
            Reason::kEvidenceMalformed);
}

TEST_F(Fido2CallTest, RefusesWhatTheAuthenticatorSaysOtherwise) {
  EXPECT_EQ(Why([](auto& a) { a.rp_id = "gate.tesd"; }), Reason::kRpIdMismatch);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x00; }), Reason::kUserNotPresent);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x04; }), Reason::kUserNotPresent);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x03; }), Reason::kFlagsInvalid);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x21; }), Reason::kFlagsInvalid);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x11; }), Reason::kFlagsInvalid) << "BS without BE";
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x09; }), Reason::kBackupEligible);
  EXPECT_EQ(Why([](auto& a) { a.after = "x"; }), Reason::kEvidenceMalformed);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x41; }), Reason::kEvidenceMalformed) << "AT without data";
  EXPECT_EQ(Why([](auto&) {}), std::nullopt) << "none of the refused ones spent a counter value";
}

TEST_F(Fido2CallTest, RefusesAnotherKeysSignature) {
  const Token other = EnrollSoftFido2(*registry_, "ada", clock_.WallNow());
  DeviceProofDraft draft = Draft({&key_});
  const SoftAssertion assertion = AssertionOver(draft.Statement()).SignWithKey(*other.key);
  EXPECT_EQ(WhyRefused(SerializeWith(draft, {{key_.id, assertion}})), Reason::kSignatureInvalid);
}

TEST_F(Fido2CallTest, TheKindDecidesWhatASignatureIsOver) {
  DeviceProofDraft draft = Draft({&key_});
  EXPECT_EQ(WhyRefused(draft.SignAndSerialize()), Reason::kPrefixMalformed)
      << "a plain signature by a FIDO2 key";
  const Token tpm = Enroll("ada");
  draft = Draft({&tpm});
  const SoftAssertion assertion = AssertionOver(draft.Statement()).SignWithKey(*tpm.key);
  EXPECT_EQ(WhyRefused(SerializeWith(draft, {{tpm.id, assertion}})), Reason::kPrefixMalformed)
      << "an assertion by a TPM's key";
}

TEST_F(Fido2CallTest, AnAssertionHasBothItsFields) {
  const auto why = [this](const std::function<void(SoftAssertion&)>& change) {
    DeviceProofDraft draft = Draft({&key_});
    SoftAssertion assertion = AssertionOver(draft.Statement()).SignWithKey(*key_.key);
    change(assertion);
    return WhyRefused(SerializeWith(draft, {{key_.id, assertion}}));
  };
  EXPECT_EQ(why([](auto& a) { a.authenticator_data.clear(); }), Reason::kPrefixMalformed);
  EXPECT_EQ(why([](auto& a) { a.client_data_json.clear(); }), Reason::kPrefixMalformed);
  EXPECT_EQ(why([](auto&) {}), std::nullopt);
}

// A record that lacks what was pinned answers nobody, and not whoever says nothing, too.
TEST_F(Fido2CallTest, ACredentialWithoutItsPinsIsNoCredential) {
  const auto verifier = NewFido2Verifier({});
  const auto verify = [&](const std::string& rp_id, const std::string& origin) {
    SoftAssertionDraft draft = AssertionOver("statement");
    draft.rp_id = rp_id;
    draft.origin = origin;
    const SoftAssertion made = draft.SignWithKey(*key_.key);
    CredentialRecord record;
    record.rp_id = rp_id;
    record.origin = origin;
    return verifier
        ->VerifyAssertion({key_.id, made.signature, made.authenticator_data, made.client_data_json},
                          "statement", record, key_.key->public_key())
        .status()
        .code();
  };
  EXPECT_EQ(verify("gate.test", "forekey://gate.test"), absl::StatusCode::kOk);
  EXPECT_EQ(verify("", "forekey://gate.test"), absl::StatusCode::kInternal);
  EXPECT_EQ(verify("gate.test", ""), absl::StatusCode::kInternal);
}

TEST(EnrolledBackupEligibleTest, IsNotKnownWhereWhatWasProvedDoesNotSay) {
  for (const char* proved : {"", "x", "[]", "{}", R"({"flags":[]})", R"({"flags":"be"})",
                             R"({"flags":{}})", R"({"flags":{"be":1}})"}) {
    EXPECT_EQ(EnrolledBackupEligible(proved), std::nullopt) << proved;
  }
  EXPECT_EQ(EnrolledBackupEligible(R"({"flags":{"be":true}})"), true);
  EXPECT_EQ(EnrolledBackupEligible(R"({"flags":{"be":false}})"), false);
}

TEST_F(Fido2CallTest, RefusesNoUserVerificationWhereItIsRequired) {
  fido2_.policy.require_user_verification = true;
  StartGate();
  EXPECT_EQ(Why([](auto&) {}), Reason::kUserNotVerified);
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x05; }), std::nullopt);
}

TEST_F(Fido2CallTest, BackupEligibilityIsAsItWasAtEnrolment) {
  fido2_.policy.allow_backup_eligible = true;
  StartGate();
  EXPECT_EQ(Why([](auto& a) { a.flags = 0x09; }), Reason::kFlagsInvalid);
  const Token synced =
      EnrollSoftFido2(*registry_, "ada", clock_.WallNow(), Algorithm::kEs256, 0, true);
  EXPECT_EQ(WhyRefused(Prefix(synced, 1, [](auto& a) { a.flags = 0x19; })), std::nullopt);
  EXPECT_EQ(WhyRefused(Prefix(synced, 2)), Reason::kFlagsInvalid);
  // The config changed its mind: what was enrolled before it is refused, too.
  fido2_.policy.allow_backup_eligible = false;
  StartGate();
  EXPECT_EQ(WhyRefused(Prefix(synced, 3, [](auto& a) { a.flags = 0x09; })),
            Reason::kBackupEligible);
}

TEST_F(Fido2CallTest, TheCounterMustGrow) {
  EXPECT_EQ(WhyRefused(Prefix(key_, 5)), std::nullopt);
  EXPECT_EQ(WhyRefused(Prefix(key_, 5)), Reason::kCounterRollback);
  EXPECT_EQ(WhyRefused(Prefix(key_, 4)), Reason::kCounterRollback);
  EXPECT_EQ(WhyRefused(Prefix(key_, 0)), Reason::kCounterRollback);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("says 0, which is not beyond"));
  EXPECT_EQ(WhyRefused(Prefix(key_, 6)), std::nullopt);
  EXPECT_EQ(WhyRefused(Prefix(key_, 0xffffffff)), std::nullopt);
}

TEST_F(Fido2CallTest, KeysWithoutCounterSayZero) {
  EXPECT_EQ(WhyRefused(Prefix(key_, 0)), std::nullopt);
  EXPECT_EQ(WhyRefused(Prefix(key_, 0)), std::nullopt);
}

TEST_F(Fido2CallTest, OfTwoCallsWithOneCounterValueExactlyOneIsAdmitted) {
  for (uint32_t round = 1; round <= 10; ++round) {
    const std::vector<std::string> prefixes = {Prefix(key_, round), Prefix(key_, round)};
    std::vector<Judgement> judgements(2);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] { judgements[i] = Judge(prefixes[i]); });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_NE(judgements[0].status.ok(), judgements[1].status.ok());
    EXPECT_EQ(WhyRefused(judgements[judgements[0].status.ok() ? 1 : 0]), Reason::kCounterRollback);
  }
}

TEST_F(Fido2CallTest, TheCounterOutlivesTheGate) {
  EXPECT_EQ(WhyRefused(Prefix(key_, 9)), std::nullopt);
  gate_.reset();
  registry_.reset();
  auto reopened = OpenSqliteRegistry(folder_.File("state") + "/registry.sqlite");
  ASSERT_TRUE(reopened.ok()) << reopened.status();
  registry_ = *std::move(reopened);
  StartGate();
  EXPECT_EQ(WhyRefused(Prefix(key_, 9)), Reason::kCounterRollback);
  EXPECT_EQ(WhyRefused(Prefix(key_, 10)), std::nullopt);
}

TEST_F(Fido2CallTest, AConfigCanHaveClonesReportedInsteadOfRefused) {
  fido2_.refuse_clones = false;
  StartGate();
  EXPECT_EQ(WhyRefused(Prefix(key_, 5)), std::nullopt);
  EXPECT_EQ(audit_->decisions().back().detail, "");
  EXPECT_EQ(WhyRefused(Prefix(key_, 3)), std::nullopt);
  EXPECT_TRUE(audit_->decisions().back().admitted);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("counter-rollback: credential "));
  EXPECT_EQ(WhyRefused(Prefix(key_, 4)), std::nullopt);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("counter-rollback"))
      << "the highest value stays what is compared with";
}

// ---- Several tokens on one statement ----

class TwoTokensTest : public Fido2CallTest {
 protected:
  TwoTokensTest() : tpm_(Enroll("ada")) {}
  std::map<std::string, SoftAssertion> SignBoth(const DeviceProofDraft& draft, uint32_t count = 1) {
    return {{tpm_.id, SoftAssertion{tpm_.key->Sign(draft.Statement()), "", ""}},
            {key_.id, AssertionOver(draft.Statement(), count).SignWithKey(*key_.key)}};
  }
  Token tpm_;
};

TEST_F(TwoTokensTest, ATpmAndAKeyOnOneStatementProveBothFactors) {
  const DeviceProofDraft draft = Draft({&tpm_, &key_});
  const Judgement judgement = Judge(SerializeWith(draft, SignBoth(draft)));
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_THAT(FactorNames(*judgement.call), ElementsAre("fido2", "tpm"));
  EXPECT_EQ(judgement.call->credentials().size(), 2u);
}

TEST_F(TwoTokensTest, TakingEitherAssertionAwayBreaksTheOther) {
  const DeviceProofDraft draft = Draft({&tpm_, &key_});
  auto both = SignBoth(draft);
  auto stripped = both;
  stripped.erase(key_.id);
  EXPECT_EQ(WhyRefused(SerializeWith(draft, stripped)), Reason::kSignatureInvalid);
  stripped = both;
  stripped.erase(tpm_.id);
  EXPECT_EQ(WhyRefused(SerializeWith(draft, stripped)), Reason::kClientDataChallenge);
  EXPECT_EQ(WhyRefused(SerializeWith(draft, both)), std::nullopt);
}

TEST_F(TwoTokensTest, AnAssertionThatFailsMovesNoCounter) {
  const DeviceProofDraft draft = Draft({&tpm_, &key_});
  auto both = SignBoth(draft, 7);
  both[tpm_.id].signature = tpm_.key->Sign("something else");
  EXPECT_EQ(WhyRefused(SerializeWith(draft, both)), Reason::kSignatureInvalid);
  EXPECT_EQ(WhyRefused(Prefix(key_, 7)), std::nullopt);
}

TEST_F(TwoTokensTest, RefusesTokensOfTwoSubjects) {
  const Token eve = Enroll("eve");
  const DeviceProofDraft draft = Draft({&eve, &key_});
  EXPECT_EQ(WhyRefused(SerializeWith(
                draft, {{eve.id, SoftAssertion{eve.key->Sign(draft.Statement()), "", ""}},
                        {key_.id, AssertionOver(draft.Statement()).SignWithKey(*key_.key)}})),
            Reason::kSubjectMismatch);
}

// The largest that the protocol promises to carry: three ES256 keys at a gate whose audience has
// all of its 255 bytes, and three RS256 keys at one of 64.
TEST_F(TwoTokensTest, ThreeAssertionsFitIntoAPrefix) {
  for (const auto& [algorithm, size] :
       {std::pair(Algorithm::kEs256, size_t{255}), std::pair(Algorithm::kRs256, size_t{64})}) {
    DeviceProofDraft draft = Draft({});
    draft.key_share = std::string(32, 'k');
    draft.request_digest = std::string(32, 'd');
    std::map<std::string, SoftAssertion> assertions;
    for (char id : {'a', 'b', 'c'}) {
      SoftAssertionDraft assertion = AssertionOver("statement");
      assertion.origin = absl::StrCat("forekey://", std::string(size, 'o'));
      assertion.more_json = ",\"crossOrigin\":false";
      assertions[std::string(32, id)] = assertion.SignWithKey(SoftwareKey::Generate(algorithm));
    }
    EXPECT_LE(SerializeWith(draft, assertions).size(), kMaxPrefixSize) << AlgorithmName(algorithm);
  }
}

}  // namespace
}  // namespace forekey::testing
