// SPDX-License-Identifier: Apache-2.0
// The ID token as a factor: whose it is, which opening it is for, that it is good once, and what
// happens when the provider's keys change or can't be had.
#include <csignal>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "src/gate/audit/audit.h"
#include "src/gate/factor/oidc_config.h"
#include "src/gate/factor/password_config.h"
#include "src/wire/id_token.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/statement.h"
#include "tests/support/https_server.h"
#include "tests/support/id_provider.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

constexpr char kIssuer[] = "https://idp.test";
constexpr char kClient[] = "gate-client";

const IdpKey& FirstKey() {
  static const IdpKey& key = *new IdpKey(IdpKey::New("first", "ES256"));
  return key;
}

class OidcTest : public GateFixture {
 protected:
  OidcTest() {
    Publish({FirstKey()});
    OidcProviderConfig& provider = oidc_.providers.emplace_back();
    provider.token.issuer = kIssuer;
    provider.token.client_id = kClient;
    provider.jwks_file = folder_.File("jwks.json");
    oidc_.tries = 100;
  }
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.factors.Get<OidcSection>().config = oidc_;
    config.factors.Get<PasswordSection>().policy.enabled = passwords_;
    config.factors.Get<PasswordSection>().policy.memory_mib = 8;
    config.factors.Get<PasswordSection>().policy.passes = 1;
    MethodRule rule;
    rule.methods = {std::string(kMethod)};
    rule.factors = {{{"tpm"}, {"oidc", absl::Minutes(15)}}};
    config.rules.rules = {rule};
    return config;
  }
  void Publish(const std::vector<IdpKey>& keys) {
    WriteText(folder_.File("jwks.json"), JwksOf(keys));
  }
  absl::Status SetIdentity(const std::string& subject, const std::string& identity,
                           const std::string& issuer = "") {
    v1::SetOidcIdentityRequest request;
    request.set_subject(subject);
    request.set_identity(identity);
    request.set_issuer(issuer);
    return gate().admin().SetOidcIdentity(request, "uid 0").status();
  }
  // Starts the gate with ada enrolled, who is "ada-at-idp".
  Token StartWithAda() {
    StartGate();
    Token token = Enroll("ada");
    EXPECT_TRUE(SetIdentity("ada", "ada-at-idp").ok());
    return token;
  }

  // Opens with the token that `make` gives for the nonce, and a password.
  using MakeToken = std::function<std::string(const std::string& nonce)>;
  absl::StatusOr<ClientSession> OpenWith(const Token& token, const MakeToken& make,
                                         const std::string& password = "") {
    OpenOptions options;
    options.seal_for = [&](absl::string_view challenge, absl::string_view key_share) {
      const std::vector<absl::string_view> ids = {token.id};
      FurtherFactors factors;
      last_token_ = make ? make(IdTokenNonce(kAudience, key_share, ids)) : "";
      factors.id_token = Secret::CopyOf(last_token_);
      factors.password = Secret::CopyOf(password);
      return SealFactors(factors, FactorContext{kAudience, challenge, ids},
                         gate().identities().current()->public_key())
          .value();
    };
    return Open({&token}, std::move(options));
  }
  // The same from several threads at once.
  absl::StatusOr<ClientSession> OpenWithOwn(const Token& token, const MakeToken& make) {
    OpenOptions options;
    options.seal_for = [&](absl::string_view challenge, absl::string_view key_share) {
      const std::vector<absl::string_view> ids = {token.id};
      FurtherFactors factors;
      factors.id_token = Secret::CopyOf(make(IdTokenNonce(kAudience, key_share, ids)));
      return SealFactors(factors, FactorContext{kAudience, challenge, ids},
                         gate().identities().current()->public_key())
          .value();
    };
    return Open({&token}, std::move(options));
  }
  // An honest provider, after `change`.
  MakeToken Honest(const std::string& subject = "ada-at-idp",
                   std::function<void(Json&)> change = nullptr, const IdpKey& key = FirstKey()) {
    return [=, this](const std::string& nonce) {
      Json claims = HonestClaims(kIssuer, kClient, subject, nonce, clock_.WallNow());
      if (change) change(claims);
      return MakeJwt(key, claims);
    };
  }
  std::optional<Reason> WhyNotOpened(const absl::StatusOr<ClientSession>& session) {
    if (session.ok()) return std::nullopt;
    return AuditedReason(session.status());
  }
  Decision LastDecision() { return audit_->decisions().back(); }

  OidcConfig oidc_;
  bool passwords_ = false;
  std::string last_token_;
};

TEST_F(OidcTest, ASessionThatProvedItMeetsTheRuleUntilTheTokenIsOld) {
  const Token ada = StartWithAda();
  ClientSession without = Open(ada);
  EXPECT_EQ(WhyRefused(without.NextProof(kMethod)), Reason::kFactorRequired);
  // Issued four minutes ago: the factor is as old as the token.
  auto session = OpenWith(ada, Honest("ada-at-idp", [this](Json& claims) {
                            claims["iat"] = absl::ToUnixSeconds(clock_.WallNow()) - 240;
                          }));
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), std::nullopt);
  clock_.Advance(absl::Minutes(11));
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod, 11 * 60)), std::nullopt);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod, 11 * 60 + 1)), Reason::kFactorStale);
}

TEST_F(OidcTest, TheAuditLogSaysWhoseTokenItWasAndNeverTheToken) {
  const Token ada = StartWithAda();
  ASSERT_TRUE(OpenWith(ada, Honest()).ok());
  const Decision opened = LastDecision();
  EXPECT_EQ(opened.event, AuditEvent::kSessionOpened);
  EXPECT_THAT(opened.detail, HasSubstr("ID token of https://idp.test, sub ada-at-idp"));
  EXPECT_THAT(opened.factors, ::testing::ElementsAre("tpm", "oidc"));
  const std::string good = last_token_;
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("eve-at-idp"))), Reason::kIdTokenSubject);
  EXPECT_THAT(LastDecision().detail, HasSubstr("ID token of https://idp.test, sub eve-at-idp"));
  const std::string bad = last_token_;
  for (const std::string& token : {good, bad}) {
    const std::string claims = token.substr(token.find('.') + 1, 40),
                      signature = token.substr(token.size() - 40);
    for (const Decision& decision : audit_->decisions()) {
      const std::string line = DecisionToJson(decision);
      EXPECT_THAT(line, Not(HasSubstr(claims)));
      EXPECT_THAT(line, Not(HasSubstr(signature)));
    }
  }
}

TEST_F(OidcTest, OnlyTheSubjectsOwnIdentityCounts) {
  const Token ada = StartWithAda();
  const Token bob = Enroll("bob");
  EXPECT_EQ(WhyNotOpened(OpenWith(bob, Honest())), Reason::kIdTokenSubject) << "bob has none";
  ASSERT_TRUE(SetIdentity("bob", "bob-at-idp").ok());
  EXPECT_EQ(WhyNotOpened(OpenWith(bob, Honest())), Reason::kIdTokenSubject) << "it is ada's";
  EXPECT_EQ(WhyNotOpened(OpenWith(bob, Honest("ADA-AT-IDP"))), Reason::kIdTokenSubject);
  EXPECT_EQ(WhyNotOpened(OpenWith(bob, Honest("bob-at-idp"))), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
}

TEST_F(OidcTest, AnIdentityIsOneOfAnIssuerAndAClaim) {
  const Token ada = StartWithAda();
  oidc_.providers[0].token.claim = "preferred_username";
  StartGate();
  const auto named = [](Json& claims) { claims["preferred_username"] = "ada-at-idp"; };
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("x", named))), Reason::kIdTokenSubject)
      << "the same value of another claim";
  ASSERT_TRUE(SetIdentity("ada", "ada-at-idp").ok());
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("x", named))), std::nullopt);
  oidc_.providers[0].token.issuer = "https://new.test";
  StartGate();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("x",
                                              [&](Json& claims) {
                                                named(claims);
                                                claims["iss"] = "https://new.test";
                                              }))),
            Reason::kIdTokenSubject)
      << "the same value at another provider";
}

TEST_F(OidcTest, ATokenIsForOneOpeningByOneHardwareAtOneGate) {
  const Token ada = StartWithAda();
  const Token other = Enroll("ada");
  ASSERT_TRUE(OpenWith(ada, Honest()).ok());
  const std::string stolen = last_token_;
  const auto replay = [&](const std::string&) { return stolen; };
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, replay)), Reason::kIdTokenNonce);
  EXPECT_EQ(WhyNotOpened(OpenWith(other, replay)), Reason::kIdTokenNonce);
  EXPECT_EQ(WhyNotOpened(
                OpenWith(ada, Honest("ada-at-idp", [](Json& claims) { claims.erase("nonce"); }))),
            Reason::kIdTokenNonce);
}

TEST_F(OidcTest, WithoutANonceItIsStillGoodOnceAlsoAfterARestart) {
  oidc_.providers[0].token.nonce_required = false;
  const Token ada = StartWithAda();
  const Token other = Enroll("ada");
  const std::string token = Honest("ada-at-idp", [](Json& claims) { claims.erase("nonce"); })("");
  const auto same = [&](const std::string&) { return token; };
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, same)), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, same)), Reason::kIdTokenReplayed);
  EXPECT_EQ(WhyNotOpened(OpenWith(other, same)), Reason::kIdTokenReplayed);
  StartGate();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, same)), Reason::kIdTokenReplayed);
  // Signed once more, it is the same token.
  const std::string input = token.substr(0, token.rfind('.'));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada,
                                  [&](const std::string&) {
                                    return WithSignature(input, FirstKey().Sign("ES256", input));
                                  })),
            Reason::kIdTokenReplayed);
}

TEST_F(OidcTest, AFullMemoryOfUsedTokensRefuses) {
  oidc_.remembered = 2;
  const Token ada = StartWithAda();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), Reason::kReplayStoreFull);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("eve-at-idp"))), Reason::kIdTokenSubject)
      << "tokens that are refused take no room";
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
}

TEST_F(OidcTest, EachReasonOfTheVerifierReachesTheAuditLog) {
  const Token ada = StartWithAda();
  const auto with = [&](const std::string& name, const Json& value) {
    return WhyNotOpened(
        OpenWith(ada, Honest("ada-at-idp", [&](Json& claims) { claims[name] = value; })));
  };
  EXPECT_EQ(with("iss", "https://evil.test"), Reason::kIdTokenIssuer);
  EXPECT_EQ(with("aud", Json::array({kClient, "other"})), Reason::kIdTokenAudience);
  EXPECT_EQ(with("exp", 1), Reason::kIdTokenExpired);
  EXPECT_EQ(with("iat", 1), Reason::kIdTokenExpired);
  EXPECT_EQ(with("nonce", "another"), Reason::kIdTokenNonce);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, [](const std::string&) { return std::string("a.b.c"); })),
            Reason::kIdTokenMalformed);
  EXPECT_EQ(
      WhyNotOpened(OpenWith(ada, Honest("ada-at-idp", nullptr, IdpKey::New("first", "ES256")))),
      Reason::kIdTokenSignature);
  EXPECT_EQ(
      WhyNotOpened(OpenWith(ada, Honest("ada-at-idp", nullptr, IdpKey::New("first", "ES384")))),
      Reason::kIdTokenAlgorithm);
  EXPECT_EQ(
      WhyNotOpened(OpenWith(ada, Honest("ada-at-idp", nullptr, IdpKey::New("unknown", "ES256")))),
      Reason::kIdTokenKeyUnknown);
}

TEST_F(OidcTest, ARotatedKeyIsTakenAtOnceAndTheOldOneNoLonger) {
  const Token ada = StartWithAda();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
  const IdpKey second = IdpKey::New("second", "ES256");
  Publish({second});
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("ada-at-idp", nullptr, second))), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), Reason::kIdTokenKeyUnknown);
}

TEST_F(OidcTest, AnOutageKeepsTheGoodKeysThenFailsClosed) {
  const Token ada = StartWithAda();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
  WriteText(folder_.File("jwks.json"), "<html>be right back</html>");
  clock_.Advance(absl::Hours(23));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), Reason::kIdentityProviderUnavailable);
  // What needs no token goes on.
  Open(ada);
  Publish({FirstKey()});
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
}

TEST_F(OidcTest, AGateWhoseKeyFileCantBeReadDoesNotStart) {
  std::filesystem::remove(folder_.File("jwks.json"));
  GateCore::StandIns parts;
  parts.clock = &clock_;
  parts.registry = registry_;
  parts.audit = std::make_unique<MemoryAuditSink>();
  const auto made = GateCore::New(Config(), std::move(parts));
  EXPECT_EQ(made.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("jwks.json"));
}

TEST_F(OidcTest, OneCredentialsTriesAreLimitedAndNobodyElses) {
  oidc_.tries = 3;
  const Token ada = StartWithAda();
  const Token other = Enroll("ada");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("eve-at-idp"))), Reason::kIdTokenSubject);
  }
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), Reason::kRateLimited);
  EXPECT_EQ(WhyNotOpened(OpenWith(other, Honest())), std::nullopt);
  clock_.Advance(oidc_.per);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), std::nullopt);
}

TEST_F(OidcTest, AWrongPasswordDoesNotUseTheTokenUp) {
  passwords_ = true;
  oidc_.providers[0].token.nonce_required = false;
  const Token ada = StartWithAda();
  v1::SetPasswordRequest request;
  request.set_subject("ada");
  request.set_password("correct horse");
  ASSERT_TRUE(gate().admin().SetPassword(request, "uid 0").ok());
  const std::string token = Honest("ada-at-idp", [](Json& claims) { claims.erase("nonce"); })("");
  const auto same = [&](const std::string&) { return token; };
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, same, "wrong horse")), Reason::kPasswordWrong);
  auto session = OpenWith(ada, same, "correct horse");
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_THAT(LastDecision().factors, ::testing::ElementsAre("tpm", "oidc", "password"));
  // A wrong token is no try of the password.
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, same, "correct horse")), Reason::kIdTokenReplayed);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest("eve-at-idp"), "wrong horse")),
            Reason::kIdTokenSubject);
}

TEST_F(OidcTest, AGateTakesOnlyTheFactorsThatItIsConfiguredFor) {
  const Token ada = StartWithAda();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, nullptr, "correct horse")), Reason::kRequestMalformed);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest(), "correct horse")), Reason::kRequestMalformed);
  oidc_.providers.clear();
  passwords_ = true;
  StartGate();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), Reason::kRequestMalformed);
  EXPECT_FALSE(SetIdentity("ada", "x").ok());
  EXPECT_TRUE(SetIdentity("ada", "").ok()) << "taking away is always possible";
}

TEST_F(OidcTest, AnotherIdentityOrNoneEndsTheSessionsThatProvedOne) {
  const Token ada = StartWithAda();
  auto session = OpenWith(ada, Honest());
  ASSERT_TRUE(session.ok());
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), std::nullopt);
  ClientSession without = Open(ada);
  ASSERT_TRUE(SetIdentity("ada", "").ok());
  EXPECT_EQ(WhyRefused(without.NextProof(kOtherMethod), kOtherMethod), Reason::kMethodNotPermitted)
      << "goes on";
  EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, Honest())), Reason::kIdTokenSubject);
  EXPECT_TRUE(absl::IsNotFound(SetIdentity("nobody", "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(SetIdentity("ada", std::string(256, 'x'))));
}

// A second provider, whose key has the same id as the first one's.
class TwoProvidersTest : public OidcTest {
 protected:
  static constexpr char kOtherIssuer[] = "https://b.test";
  static constexpr char kOtherClient[] = "gate-at-b";
  static const IdpKey& OtherKey() {
    static const IdpKey& key = *new IdpKey(IdpKey::New("first", "ES256"));
    return key;
  }
  TwoProvidersTest() {
    PublishOther({OtherKey()});
    OidcProviderConfig& provider = oidc_.providers.emplace_back();
    provider.token.issuer = kOtherIssuer;
    provider.token.client_id = kOtherClient;
    provider.jwks_file = folder_.File("other-jwks.json");
  }
  void PublishOther(const std::vector<IdpKey>& keys) {
    WriteText(folder_.File("other-jwks.json"), JwksOf(keys));
  }
  // A token as it would be asked of that provider, signed by any key.
  MakeToken From(const std::string& issuer, const std::string& client, const IdpKey& key,
                 std::function<void(Json&)> change = nullptr) {
    return [=, this](const std::string& nonce) {
      Json claims = HonestClaims(issuer, client, "4711", nonce, clock_.WallNow());
      if (change) change(claims);
      return MakeJwt(key, claims);
    };
  }
  MakeToken FromA(std::function<void(Json&)> change = nullptr) {
    return From(kIssuer, kClient, FirstKey(), std::move(change));
  }
  MakeToken FromB(std::function<void(Json&)> change = nullptr) {
    return From(kOtherIssuer, kOtherClient, OtherKey(), std::move(change));
  }
};

TEST_F(TwoProvidersTest, TheSameSubAtAnotherProviderIsSomebodyElse) {
  StartGate();
  const Token ada = Enroll("ada"), bob = Enroll("bob");
  ASSERT_TRUE(SetIdentity("ada", "4711", kIssuer).ok());
  ASSERT_TRUE(SetIdentity("bob", "4711", kOtherIssuer).ok());
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromA())), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(bob, FromB())), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB())), Reason::kIdTokenSubject);
  EXPECT_THAT(LastDecision().detail,
              HasSubstr("ID token of https://b.test, sub 4711, key first, and the "
                        "subject has no identity there"));
  EXPECT_EQ(WhyNotOpened(OpenWith(bob, FromA())), Reason::kIdTokenSubject);
  // Who has an identity at both may use either, and each is compared with its own.
  ASSERT_TRUE(SetIdentity("ada", "0815", kOtherIssuer).ok());
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB())), Reason::kIdTokenSubject);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB([](Json& claims) { claims["sub"] = "0815"; }))),
            std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromA())), std::nullopt);
  ASSERT_TRUE(SetIdentity("ada", "", kIssuer).ok());
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromA())), Reason::kIdTokenSubject);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB([](Json& claims) { claims["sub"] = "0815"; }))),
            std::nullopt);
}

TEST_F(TwoProvidersTest, NoKeyClientOrTokenOfOneCountsAtTheOther) {
  StartGate();
  const Token ada = Enroll("ada");
  ASSERT_TRUE(SetIdentity("ada", "4711", kIssuer).ok());
  ASSERT_TRUE(SetIdentity("ada", "4711", kOtherIssuer).ok());
  // A's token, for the client that the gate is at B, and the other way round.
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From(kIssuer, kOtherClient, FirstKey()))),
            Reason::kIdTokenAudience);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From(kOtherIssuer, kClient, OtherKey()))),
            Reason::kIdTokenAudience);
  // A signs what B is said to have issued: the key's id is the same, the key is not.
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From(kOtherIssuer, kOtherClient, FirstKey()))),
            Reason::kIdTokenSignature);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From(kIssuer, kClient, OtherKey()))),
            Reason::kIdTokenSignature);
  // And where only A has a key of that id.
  const IdpKey renamed{"of-a-alone", FirstKey().alg, FirstKey().key};
  Publish({renamed});
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From(kIssuer, kClient, renamed))), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From(kOtherIssuer, kOtherClient, renamed))),
            Reason::kIdTokenKeyUnknown);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, From("https://c.test", kClient, FirstKey()))),
            Reason::kIdTokenIssuer);
}

TEST_F(TwoProvidersTest, ATokensNumberIsUsedUpAtItsProviderAlone) {
  for (OidcProviderConfig& provider : oidc_.providers) provider.token.nonce_required = false;
  StartGate();
  const Token ada = Enroll("ada");
  ASSERT_TRUE(SetIdentity("ada", "4711", kIssuer).ok());
  ASSERT_TRUE(SetIdentity("ada", "4711", kOtherIssuer).ok());
  const auto numbered = [](Json& claims) {
    claims.erase("nonce");
    claims["jti"] = "1";
  };
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromA(numbered))), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB(numbered))), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromA(numbered))), Reason::kIdTokenReplayed);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB(numbered))), Reason::kIdTokenReplayed);
}

TEST_F(TwoProvidersTest, AnOutageOfOneIsNoneOfTheOther) {
  StartGate();
  const Token ada = Enroll("ada");
  ASSERT_TRUE(SetIdentity("ada", "4711", kIssuer).ok());
  ASSERT_TRUE(SetIdentity("ada", "4711", kOtherIssuer).ok());
  WriteText(folder_.File("other-jwks.json"), "gone");
  clock_.Advance(absl::Hours(25));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB())), Reason::kIdentityProviderUnavailable);
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromA())), std::nullopt);
  bool told = false;
  for (const Decision& decision : audit_->decisions()) {
    told = told || (!decision.admitted &&
                    absl::StrContains(decision.detail, "https://b.test: the identity provider's"));
  }
  EXPECT_TRUE(told);
}

TEST_F(TwoProvidersTest, AnAdministratorNamesTheProviderAndFetchesKeysThatWereTakenBack) {
  StartGate();
  const Token ada = Enroll("ada");
  EXPECT_TRUE(absl::IsInvalidArgument(SetIdentity("ada", "4711"))) << "which one?";
  EXPECT_TRUE(absl::IsInvalidArgument(SetIdentity("ada", "4711", "https://c.test")));
  ASSERT_TRUE(SetIdentity("ada", "4711", kOtherIssuer).ok());
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB())), std::nullopt);
  PublishOther({IdpKey::New("second", "ES256")});
  v1::ListIdentityProvidersRequest request;
  request.set_refresh(true);
  const auto providers = gate().admin().ListIdentityProviders(request, "uid 0");
  ASSERT_TRUE(providers.ok()) << providers.status();
  ASSERT_EQ(providers->providers_size(), 2);
  EXPECT_EQ(providers->providers(1).issuer(), kOtherIssuer);
  EXPECT_EQ(providers->providers(1).client_id(), kOtherClient);
  EXPECT_EQ(providers->providers(1).keys(), 1u);
  EXPECT_EQ(providers->providers(1).age_s(), 0);
  EXPECT_EQ(providers->providers(1).error(), "");
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromB())), Reason::kIdTokenKeyUnknown);
  std::filesystem::remove(folder_.File("other-jwks.json"));
  EXPECT_THAT(gate().admin().ListIdentityProviders(request, "uid 0")->providers(1).error(),
              HasSubstr("other-jwks.json"));
}

// A provider that is found by its own document.
class DiscoveryTest : public OidcTest {
 protected:
  DiscoveryTest()
      : server_([this](const std::string& request, const HttpsServer::Send& send) {
          absl::MutexLock lock(&mutex_);
          const bool document = absl::StartsWith(request, "GET /.well-known/openid-configuration ");
          send(HttpAnswer(down_ ? "503 Busy" : "200 OK",
                          document ? document_.dump() : JwksOf({FirstKey()})));
        }) {
    signal(SIGPIPE, SIG_IGN);
    WriteText(folder_.File("ca.pem"), server_.ca_pem());
    document_ = {{"issuer", Issuer()}, {"jwks_uri", server_.Url("/keys")}};
    OidcProviderConfig& provider = oidc_.providers[0];
    provider.token.issuer = Issuer();
    provider.jwks_file.clear();
    provider.ca = folder_.File("ca.pem");
  }
  std::string Issuer() const { return server_.Url(""); }
  MakeToken FromIt() {
    return Honest("ada-at-idp", [this](Json& claims) { claims["iss"] = Issuer(); });
  }
  void Change(const std::function<void()>& change) {
    absl::MutexLock lock(&mutex_);
    change();
  }
  // The provider's error after it was asked again.
  std::string ErrorNow() {
    v1::ListIdentityProvidersRequest request;
    request.set_refresh(true);
    return gate().admin().ListIdentityProviders(request, "uid 0")->providers(0).error();
  }
  absl::Mutex mutex_;
  Json document_;
  bool down_ = false;
  HttpsServer server_;
};

TEST_F(DiscoveryTest, KeysAreFoundByTheIssuerAndGoodOnesOutliveAnOutage) {
  const Token ada = StartWithAda();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromIt())), std::nullopt);
  Change([this] { down_ = true; });
  EXPECT_THAT(ErrorNow(), HasSubstr("/.well-known/openid-configuration: HTTP 503"));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromIt())), std::nullopt);
  clock_.Advance(oidc_.providers[0].max_stale + absl::Seconds(1));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromIt())), Reason::kIdentityProviderUnavailable);
}

TEST_F(DiscoveryTest, ADocumentOfAnotherIssuerOrKeysInTheClearAreNotTaken) {
  document_["issuer"] = Issuer() + "/";
  const Token ada = StartWithAda();
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromIt())), Reason::kIdentityProviderUnavailable);
  EXPECT_THAT(ErrorNow(), HasSubstr("document of another issuer"));
  Change([this] {
    document_["issuer"] = Issuer();
    document_["jwks_uri"] = absl::StrCat("http://localhost:", server_.port(), "/keys");
  });
  EXPECT_THAT(ErrorNow(), HasSubstr("no jwks_uri that is https"));
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromIt())), Reason::kIdentityProviderUnavailable);
  Change([this] { document_["filling"] = std::string(kMaxJwkSetSize, 'x'); });
  EXPECT_THAT(ErrorNow(), HasSubstr("more than 262144 bytes"));
  Change([this] { document_ = {{"issuer", Issuer()}, {"jwks_uri", server_.Url("/keys")}}; });
  EXPECT_EQ(ErrorNow(), "");
  EXPECT_EQ(WhyNotOpened(OpenWith(ada, FromIt())), std::nullopt);
}

// One provider that takes connections and says nothing, beside one that is well.
class HangingProviderTest : public TwoProvidersTest {
 protected:
  HangingProviderTest()
      : server_([this](const std::string&, const HttpsServer::Send& send) {
          if (!asked_.HasBeenNotified()) asked_.Notify();
          go_on_.WaitForNotification();
          send(HttpAnswer("200 OK", JwksOf({OtherKey()})));
        }) {
    signal(SIGPIPE, SIG_IGN);
    WriteText(folder_.File("ca.pem"), server_.ca_pem());
    OidcProviderConfig& provider = oidc_.providers[1];
    provider.jwks_file.clear();
    provider.jwks_url = server_.Url();
    provider.ca = folder_.File("ca.pem");
    provider.timeout = provider.longest_wait = absl::Minutes(5);
  }
  ~HangingProviderTest() override {
    if (!go_on_.HasBeenNotified()) go_on_.Notify();
  }
  absl::Notification asked_, go_on_;
  HttpsServer server_;
};

TEST_F(HangingProviderTest, HoldsAFewOpeningsOfItsOwnAndNobodyElses) {
  StartGate();
  std::vector<Token> tokens;
  for (int i = 0; i < 5; ++i) {
    const std::string name = absl::StrCat("subject", i);
    tokens.push_back(Enroll(name));
    ASSERT_TRUE(SetIdentity(name, "4711", kOtherIssuer).ok());
    ASSERT_TRUE(SetIdentity(name, "4711", kIssuer).ok());
  }
  asked_.WaitForNotification();
  const Token eve = Enroll("eve");
  ASSERT_TRUE(SetIdentity("eve", "4711", kIssuer).ok());
  std::atomic<int> opened{0}, busy{0};
  std::vector<std::thread> waiting;
  // Five want its keys; there are places for four, which they keep until it answers.
  for (const Token& token : tokens) {
    waiting.emplace_back([&, token] {
      const auto session = OpenWithOwn(token, FromB());
      opened += session.ok();
      busy += !session.ok() && AuditedReason(session.status()) == Reason::kFactorBusy;
    });
  }
  while (busy == 0) std::this_thread::yield();
  // Those who need nothing of it, tokens of another provider included, are through meanwhile.
  EXPECT_EQ(WhyNotOpened(OpenWithOwn(eve, FromA())), std::nullopt);
  EXPECT_EQ(WhyNotOpened(OpenWithOwn(eve, FromB())), Reason::kFactorBusy);
  Open(eve);
  EXPECT_EQ(opened, 0);
  go_on_.Notify();
  for (std::thread& thread : waiting) thread.join();
  EXPECT_EQ(opened, 4);
  EXPECT_EQ(busy, 1);
}

TEST_F(OidcTest, SubjectsAreListedWithTheirIdentity) {
  StartWithAda();
  const auto subjects = gate().admin().ListSubjects(v1::ListSubjectsRequest());
  ASSERT_TRUE(subjects.ok());
  EXPECT_EQ(subjects->subjects(0).oidc_identities(0), "sub=ada-at-idp at https://idp.test");
  bool audited = false;
  for (const Decision& decision : audit_->decisions()) {
    audited = audited || (decision.method == "SetOidcIdentity" && decision.subject == "ada" &&
                          decision.detail == "is now sub ada-at-idp at https://idp.test");
  }
  EXPECT_TRUE(audited);
}

}  // namespace
}  // namespace forekey::testing
