// SPDX-License-Identifier: Apache-2.0
// What whoever writes a kind of token can't get wrong, because the gate does it for every kind;
// each with the reason in the audit log. And numbers of kinds that nobody listed.
#include "tests/toy/toy_kind.h"

#include <sqlite3.h>

#include <fstream>

#include "absl/strings/escaping.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/gate/audit/audit_verify.h"
#include "src/wire/invite.h"
#include "src/wire/statement.h"
#include "tests/unit/gate/support/gate_fixture.h"
#include "tests/unit/gate/support/soft_fido2.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

// The client's half of one enrolment of a toy; tests spoil a field before it is sent.
struct ToyEnrolment {
  std::shared_ptr<const Invite> invite;
  std::shared_ptr<const SoftwareKey> key =
      std::make_shared<const SoftwareKey>(SoftwareKey::Generate(Algorithm::kEs256));
  v1::EnrollmentOpening opening;
  v1::EnrollmentDemand demand;
  v1::EnrollmentProof proof;

  std::string Statement() const {
    return BuildStatement(EnrollStatement{kAudience, demand.enrollment_id(), demand.subject(),
                                          v1::TOKEN_KIND_CUSTOM, proof.spki(),
                                          opening.channel_binding(), opening.challenge()});
  }
  void Sign() { proof.mutable_possession()->set_signature(key->Sign(Statement())); }
};

class ToyKindTest : public GateFixture {
 protected:
  void Start(ToyMistakes mistakes = {}, bool with_simulator = false) {
    tokens_ = {std::make_shared<ToyVerifier>(
        vendor_.public_key(),
        with_simulator ? std::optional(simulator_.public_key()) : std::nullopt, mistakes)};
    StartGate();
  }
  std::vector<std::shared_ptr<const TokenVerifier>> Tokens() override { return tokens_; }

  ToyEnrolment Opened(std::vector<TokenKind> kinds = {}) {
    v1::CreateInviteRequest request;
    request.set_subject("ada");
    for (TokenKind kind : kinds) request.add_kinds(kind);
    const auto created = gate().admin().CreateInvite(request, "uid 0");
    EXPECT_TRUE(created.ok()) << created.status();
    ToyEnrolment toy{std::make_shared<const Invite>(*Invite::Parse(created->invite()))};
    toy.opening.set_challenge(Challenge(v1::GetChallengeRequest::PURPOSE_ENROLL));
    toy.opening.set_channel_binding(certificate_.binding);
    toy.opening.set_key_share(share_.public_key());
    toy.opening.set_gate_identity(toy.invite->identity_fingerprint);
    toy.opening.set_kind(v1::TOKEN_KIND_CUSTOM);
    toy.opening.set_custom("toy 7");
    return toy;
  }
  absl::Status Begin(ToyEnrolment& toy) {
    const SoftwareKey key = *toy.invite->SigningKey();
    v1::BeginEnrollmentRequest request;
    request.set_payload(toy.opening.SerializeAsString());
    request.set_invite_public_key(
        key.public_key().spki().substr(key.public_key().spki().size() - 32));
    request.set_invite_signature(
        key.Sign(BuildInviteStatement(label::kInviteBegin, kAudience, request.payload())));
    const auto response = gate().peers().BeginEnrollment(request, kPeer);
    if (!response.ok()) return response.status();
    EXPECT_TRUE(toy.demand.ParseFromString(response->payload()));
    return absl::OkStatus();
  }
  // Everything as it should be, by the vendor or by the simulators' one.
  ToyEnrolment Proved(const SoftwareKey* attester = nullptr) {
    ToyEnrolment toy = Opened();
    const absl::Status begun = Begin(toy);
    EXPECT_TRUE(begun.ok()) << begun;
    toy.proof.set_ticket(toy.demand.ticket());
    toy.proof.set_spki(toy.key->public_key().spki());
    toy.proof.set_custom((attester != nullptr ? *attester : vendor_)
                             .Sign(ToyAttestation(toy.demand.custom(), toy.Statement())));
    toy.Sign();
    return toy;
  }
  std::optional<Reason> WhyNotBegun(ToyEnrolment toy) {
    const absl::Status status = Begin(toy);
    return status.ok() ? std::nullopt : AuditedReason(status);
  }
  std::optional<Reason> WhyNotFinished(const ToyEnrolment& toy) {
    v1::FinishEnrollmentRequest request;
    request.set_payload(toy.proof.SerializeAsString());
    request.set_invite_signature(toy.invite->SigningKey()->Sign(
        BuildInviteStatement(label::kInviteFinish, kAudience, request.payload())));
    const auto response = gate().peers().FinishEnrollment(request, kPeer);
    return response.ok() ? std::nullopt : AuditedReason(response.status());
  }
  Token TokenOf(const ToyEnrolment& toy) {
    return Token{toy.key, "ada", CredentialId(kAudience, "ada", toy.proof.spki())};
  }

  const SoftwareKey vendor_ = SoftwareKey::Generate(Algorithm::kEdDsa);
  const SoftwareKey simulator_ = SoftwareKey::Generate(Algorithm::kEdDsa);
  const X25519PrivateKey share_ = X25519PrivateKey::Generate();
  std::vector<std::shared_ptr<const TokenVerifier>> tokens_;
};

TEST_F(ToyKindTest, IsEnrolledSignsCallsOpensSessionsAndIsInTheAuditLog) {
  Start();
  const ToyEnrolment toy = Proved();
  ASSERT_EQ(WhyNotFinished(toy), std::nullopt);
  const Token token = TokenOf(toy);
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), std::nullopt);
  EXPECT_EQ(audit_->decisions().back().tokens.at(0)->kind, "custom");
  ClientSession session = Open(token);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
}

TEST_F(ToyKindTest, AKindThatForgetsPossessionIsAskedForItAllTheSame) {
  Start({.checks_nothing = true});
  ToyEnrolment honest = Proved();
  ToyEnrolment toy = honest;
  toy.proof.mutable_possession()->set_signature(
      SoftwareKey::Generate(Algorithm::kEs256).Sign(toy.Statement()));
  EXPECT_EQ(WhyNotFinished(toy), Reason::kPossessionInvalid);
  // A key that somebody else holds.
  toy = honest;
  toy.proof.set_spki(SoftwareKey::Generate(Algorithm::kEs256).public_key().spki());
  toy.Sign();
  EXPECT_EQ(WhyNotFinished(toy), Reason::kPossessionInvalid);
  // Of another enrolment.
  toy = honest;
  toy.proof.mutable_possession()->set_signature(Proved().proof.possession().signature());
  EXPECT_EQ(WhyNotFinished(toy), Reason::kPossessionInvalid);
  EXPECT_EQ(WhyNotFinished(honest), std::nullopt);
}

TEST_F(ToyKindTest, AKindThatAttestsAnotherKeyEnrolsNone) {
  Start({.attests = SoftwareKey::Generate(Algorithm::kEs256).public_key()});
  EXPECT_EQ(WhyNotFinished(Proved()), Reason::kCredentialMismatch);
}

// The attested key is another one whose holder does sign: only the comparison stands against it.
TEST_F(ToyKindTest, AnAttestedKeyThatSignsForAnotherOneEnrolsNone) {
  const SoftwareKey other = SoftwareKey::Generate(Algorithm::kEs256);
  Start({.attests = other.public_key()});
  ToyEnrolment toy = Proved();
  toy.proof.mutable_possession()->set_signature(other.Sign(toy.Statement()));
  EXPECT_EQ(WhyNotFinished(toy), Reason::kCredentialMismatch);
}

TEST_F(ToyKindTest, AKindThatSaysItIsAnotherEnrolsNone) {
  Start({.says_it_is = v1::TOKEN_KIND_TPM});
  EXPECT_EQ(WhyNotFinished(Proved()), Reason::kCredentialMismatch);
}

TEST_F(ToyKindTest, FieldsThatTheKindDoesNotHaveAreRefused) {
  Start();
  ToyEnrolment toy = Proved();
  toy.proof.mutable_possession()->set_authenticator_data("x");
  EXPECT_EQ(WhyNotFinished(toy), Reason::kPossessionInvalid);
  toy = Proved();
  toy.proof.mutable_possession()->set_client_data_json("{}");
  EXPECT_EQ(WhyNotFinished(toy), Reason::kPossessionInvalid);
  toy = Proved();
  ASSERT_EQ(WhyNotFinished(toy), std::nullopt);
  const Token token = TokenOf(toy);
  const DeviceProofDraft draft = Draft({&token});
  SoftAssertion assertion{toy.key->Sign(draft.Statement()), "", "{}"};
  EXPECT_EQ(WhyRefused(SerializeWith(draft, {{token.id, assertion}})), Reason::kPrefixMalformed);
  assertion = {assertion.signature, std::string(37, 'a'), ""};
  EXPECT_EQ(WhyRefused(SerializeWith(draft, {{token.id, assertion}})), Reason::kPrefixMalformed);
  assertion = {assertion.signature, "", ""};
  EXPECT_EQ(WhyRefused(SerializeWith(draft, {{token.id, assertion}})), std::nullopt);
}

TEST_F(ToyKindTest, OneRuleSaysWhoseRefusalIsToldAndMarksSimulators) {
  const SoftwareKey stranger = SoftwareKey::Generate(Algorithm::kEdDsa);
  Start({}, /*with_simulator=*/true);
  EXPECT_EQ(WhyNotFinished(Proved(&stranger)), Reason::kCertificateUntrusted);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("no vendor's"));
  const ToyEnrolment simulated = Proved(&simulator_);
  ASSERT_EQ(WhyNotFinished(simulated), std::nullopt);
  const auto record = registry_->FindCredential(TokenOf(simulated).id);
  ASSERT_TRUE(record.ok());
  EXPECT_THAT(record->proved_json, HasSubstr("\"insecure_simulator\":true"));
  // Without simulators in the configuration nobody asks them.
  Start();
  EXPECT_EQ(WhyNotFinished(Proved(&simulator_)), Reason::kCertificateUntrusted);
}

TEST_F(ToyKindTest, AGateThatDoesNotListTheKindRefusesItAtEnrolmentAndAtCalls) {
  Start();
  const ToyEnrolment toy = Proved();
  ASSERT_EQ(WhyNotFinished(toy), std::nullopt);
  tokens_.clear();
  StartGate();
  const Token token = TokenOf(toy);
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), Reason::kTokenKindNotAllowed);
  EXPECT_EQ(WhyNotBegun(Opened()), Reason::kTokenKindNotAllowed);
}

TEST_F(ToyKindTest, NumbersOfTheWireThatNobodyListedAreRefused) {
  Start();
  for (int number : {4, 99, 101, 255, 256 + 1, 256 + 100, INT32_MAX, -1, INT32_MIN}) {
    ToyEnrolment toy = Opened();
    toy.opening.set_kind(static_cast<TokenKind>(number));
    EXPECT_EQ(WhyNotBegun(toy), Reason::kTokenKindNotAllowed) << number;
    v1::CreateInviteRequest request;
    request.set_subject("ada");
    request.add_kinds(static_cast<TokenKind>(number));
    EXPECT_EQ(gate().admin().CreateInvite(request, "uid 0").status().code(),
              absl::StatusCode::kInvalidArgument)
        << number;
  }
  ToyEnrolment none = Opened();
  none.opening.set_kind(v1::TOKEN_KIND_UNSPECIFIED);
  EXPECT_EQ(WhyNotBegun(none), Reason::kRequestMalformed);
  // The right number with another kind's messages.
  ToyEnrolment mixed = Opened();
  mixed.opening.mutable_piv()->set_slot(0x9c);
  EXPECT_EQ(WhyNotBegun(mixed), Reason::kRequestMalformed);
}

TEST_F(ToyKindTest, AnInviteForAnotherKindTakesNoToy) {
  Start();
  EXPECT_EQ(WhyNotBegun(Opened({v1::TOKEN_KIND_PIV})), Reason::kTokenKindNotAllowed);
  EXPECT_EQ(WhyNotBegun(Opened({v1::TOKEN_KIND_CUSTOM})), std::nullopt);
}

// Also one that would be a listed kind if it lost its upper half.
TEST_F(ToyKindTest, NumbersOfTheRegistryThatNobodyListedAreRefused) {
  Start();
  for (const char* number : {"0", "4", "-1", "257", "4294967297", "4294967396"}) {
    const Token token = Enroll("ada");
    sqlite3* raw = nullptr;
    const std::string file = folder_.File("state") + "/registry.sqlite";
    ASSERT_EQ(sqlite3_open(file.c_str(), &raw), SQLITE_OK);
    const std::string update =
        absl::StrCat("UPDATE credentials SET kind = ", number, " WHERE id = x'",
                     absl::BytesToHexString(token.id), "'");
    EXPECT_EQ(sqlite3_exec(raw, update.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(raw);
    EXPECT_EQ(sqlite3_changes(raw), 1);
    sqlite3_close(raw);
    StartGate();
    EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), Reason::kTokenKindNotAllowed)
        << number;
  }
}

TEST_F(ToyKindTest, AReadingOfTheConfigurationReachesTheKindsOwnSection) {
  const std::string toml = R"(
audience = "gate.test"
[listen]
address = "127.0.0.1:0"
[tls]
certificate = "c"
private_key = "k"
[state]
directory = "state"
[attestation.custom]
vendor = "toys/vendor"
)";
  EXPECT_THAT(std::string(GateConfig::Parse(toml, "g.toml", "/etc").status().message()),
              HasSubstr("attestation.custom"))
      << "a gate without toys knows no such section";
  TokenSettings kinds;
  kinds.Put(std::make_unique<ToyConfig>());
  const auto config = GateConfig::Parse(toml, "g.toml", "/etc", kinds);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tokens.Get<ToyConfig>().vendor, "/etc/toys/vendor");
  const TokenSettings copy = config->tokens;
  EXPECT_EQ(copy.Get<ToyConfig>().vendor, "/etc/toys/vendor");
  EXPECT_EQ(copy.Fresh().Get<ToyConfig>().vendor, "");
  const auto misspelt =
      GateConfig::Parse(absl::StrCat(toml, "vendors = \"x\"\n"), "g.toml", "/etc", kinds);
  EXPECT_THAT(std::string(misspelt.status().message()), HasSubstr("vendors"));
}

}  // namespace
}  // namespace forekey::testing
