// SPDX-License-Identifier: Apache-2.0
// The administrator's calls, the audit's failures, and the gate's starting.
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "src/crypto/random.h"
#include "src/gate/token/tpm_config.h"
#include "src/wire/invite.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

class AdminTest : public GateFixture {
 protected:
  AdminTest() { StartGate(); }
  v1::CreateInviteRequest InviteFor(const std::string& subject) {
    v1::CreateInviteRequest request;
    request.set_subject(subject);
    return request;
  }
};

TEST_F(AdminTest, AnInviteIsKeptWithoutItsSecret) {
  v1::CreateInviteRequest request = InviteFor("ada");
  request.add_roles("b");
  request.add_roles("a");
  request.add_roles("a");
  const auto created = gate().admin().CreateInvite(request, "uid 1000");
  ASSERT_TRUE(created.ok()) << created.status();
  const auto invite = Invite::Parse(created->invite());
  ASSERT_TRUE(invite.ok());
  EXPECT_EQ(invite->audience, kAudience);
  EXPECT_EQ(invite->identity_fingerprint, gate().identities().current()->fingerprint());
  EXPECT_EQ(created->expires_unix_s(), absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
  const auto invites = gate().admin().ListInvites(v1::ListInvitesRequest());
  ASSERT_TRUE(invites.ok());
  ASSERT_EQ(invites->invites_size(), 1);
  EXPECT_EQ(invites->invites(0).subject(), "ada");
  EXPECT_EQ(invites->invites(0).roles_size(), 2);
  const Decision decision = audit_->decisions().back();
  EXPECT_EQ(decision.event, AuditEvent::kAdmin);
  EXPECT_EQ(decision.peer, "uid 1000");
  const std::string line = DecisionToJson(decision);
  EXPECT_EQ(line.find(created->invite()), std::string::npos);
  EXPECT_EQ(line.find(absl::BytesToHexString(invite->seed.view())), std::string::npos);
}

TEST_F(AdminTest, RefusesMalformedInvites) {
  auto refuses = [&](const v1::CreateInviteRequest& request) {
    return absl::IsInvalidArgument(gate().admin().CreateInvite(request, "uid 0").status());
  };
  EXPECT_TRUE(refuses(InviteFor("")));
  EXPECT_TRUE(refuses(InviteFor("a b")));
  EXPECT_TRUE(refuses(InviteFor("-ada")));
  v1::CreateInviteRequest request = InviteFor("ada");
  request.set_lifetime_s(31 * 24 * 3600);
  EXPECT_TRUE(refuses(request));
  request = InviteFor("ada");
  request.add_kinds(static_cast<v1::TokenKind>(9));
  EXPECT_TRUE(refuses(request));
  request = InviteFor("ada");
  request.set_pinned_device("short");
  EXPECT_TRUE(refuses(request));
  request = InviteFor("ada");
  request.set_replaces_credential("short");
  EXPECT_TRUE(refuses(request));
}

TEST_F(AdminTest, ListsSubjectsAndCredentials) {
  Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"});
  const Token second = Enroll("ada");
  Revoke(second);
  const auto subjects = gate().admin().ListSubjects(v1::ListSubjectsRequest());
  ASSERT_TRUE(subjects.ok());
  ASSERT_EQ(subjects->subjects_size(), 1);
  EXPECT_EQ(subjects->subjects(0).live_credentials(), 1u);
  EXPECT_EQ(subjects->subjects(0).roles(0), "buyer");
  v1::ListCredentialsRequest request;
  request.set_subject("ada");
  const auto credentials = gate().admin().ListCredentials(request);
  ASSERT_TRUE(credentials.ok());
  ASSERT_EQ(credentials->credentials_size(), 2);
  EXPECT_EQ(credentials->credentials(0).algorithm(), "ES256");
}

TEST_F(AdminTest, RevokesASubjectsCredentialsAndNamesOneOrTheOther) {
  const Token first = Enroll("ada"), second = Enroll("ada"), foreign = Enroll("eve");
  ClientSession session = Open(first);
  v1::RevokeCredentialRequest request;
  EXPECT_TRUE(absl::IsInvalidArgument(gate().admin().RevokeCredential(request, "uid 0").status()));
  request.set_subject("nobody");
  EXPECT_TRUE(absl::IsNotFound(gate().admin().RevokeCredential(request, "uid 0").status()));
  request.set_subject("ada");
  request.set_note("stolen");
  const auto revoked = gate().admin().RevokeCredential(request, "uid 0");
  ASSERT_TRUE(revoked.ok());
  EXPECT_EQ(revoked->revoked(), 2u);
  EXPECT_EQ(revoked->sessions_ended(), 1u);
  EXPECT_EQ(gate().admin().RevokeCredential(request, "uid 0")->revoked(), 0u);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kCredentialRevoked);
  EXPECT_EQ(WhyRefused(Draft({&second}).SignAndSerialize()), Reason::kCredentialRevoked);
  EXPECT_EQ(WhyRefused(Draft({&foreign}).SignAndSerialize()), std::nullopt);
  request.set_credential_id(first.id);
  EXPECT_TRUE(absl::IsInvalidArgument(gate().admin().RevokeCredential(request, "uid 0").status()));
}

TEST_F(AdminTest, RolesChangeAtTheNextCallOfALiveSession) {
  const Token token = Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"});
  ClientSession session = Open(token);
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_roles(true);
  request.add_roles("seller");
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  const Judgement judgement = Judge(session.NextProof(kMethod));
  ASSERT_TRUE(judgement.status.ok());
  EXPECT_THAT(*judgement.call->subject().roles(), ::testing::ElementsAre("seller"));
  request.set_subject("nobody");
  EXPECT_TRUE(absl::IsNotFound(gate().admin().SetSubject(request, "uid 0").status()));
}

TEST_F(AdminTest, CountsAndTellsItsStatus) {
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  ASSERT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(WhyRefused("rubbish"), Reason::kPrefixMalformed);
  const auto status = gate().admin().GetGateStatus(v1::GetGateStatusRequest());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->admitted(), 2u);
  EXPECT_EQ(status->refused(), 1u);
  EXPECT_EQ(status->sessions(), 1u);
  EXPECT_EQ(status->subjects(), 1u);
  EXPECT_EQ(status->credentials(), 1u);
  EXPECT_FALSE(status->version().empty());
}

// ---- Audit ----

TEST_F(AdminTest, SessionCallsAreCountedAndEverythingElseIsWritten) {
  const Token token = Enroll("ada");
  ASSERT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), std::nullopt);
  EXPECT_EQ(audit_->decisions().back().event, AuditEvent::kCall);
  EXPECT_EQ(audit_->decisions().back().subject, "ada");
  EXPECT_TRUE(audit_->decisions().back().admitted);
  ClientSession session = Open(token);
  EXPECT_EQ(audit_->decisions().back().event, AuditEvent::kSessionOpened);
  EXPECT_EQ(audit_->decisions().back().session, session.id);
  const size_t lines = audit_->decisions().size();
  ASSERT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(audit_->decisions().size(), lines);
}

TEST_F(AdminTest, AFailingAuditLogClosesTheGateButNotRevocation) {
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  const std::string proof = Draft({&token}).SignAndSerialize();
  audit_->FailWith(absl::UnavailableError("disk full"));
  const Judgement judgement = Judge(proof);
  EXPECT_EQ(judgement.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(judgement.call.has_value());
  EXPECT_FALSE(gate().admin().CreateInvite(InviteFor("bob"), "uid 0").ok());
  EXPECT_TRUE(gate().admin().ListInvites(v1::ListInvitesRequest())->invites().empty() ||
              gate().admin().ListInvites(v1::ListInvitesRequest())->invites_size() == 1);
  v1::RevokeCredentialRequest request;
  request.set_credential_id(token.id);
  EXPECT_EQ(gate().admin().RevokeCredential(request, "uid 0")->revoked(), 1u);
  EXPECT_FALSE(Judge(session.NextProof(kMethod)).status.ok());
  EXPECT_GT(gate().audit().failed_writes(), 0u);
}

class OpenAuditTest : public AdminTest {
 protected:
  GateConfig Config() override {
    GateConfig config = AdminTest::Config();
    config.audit.options.fail_closed = false;
    config.audit.options.all_calls = true;
    return config;
  }
};

TEST_F(OpenAuditTest, GoesOnAndCountsWhenSoConfigured) {
  StartGate();  // the constructor of the base used the base's Config
  const Token token = Enroll("ada");
  ClientSession session = Open(token);
  ASSERT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(audit_->decisions().back().session, session.id) << "all calls are written";
  audit_->FailWith(absl::UnavailableError("disk full"));
  EXPECT_TRUE(Judge(session.NextProof(kMethod)).status.ok());
  EXPECT_EQ(gate().audit().failed_writes(), 1u);
}

// ---- Rules ----

class RulesTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.rules.exempt = {"/grpc.health.v1.Health/Check"};
    config.rules.rules.push_back({{std::string(kMethod)}, {"buyer"}, false});
    config.rules.rules.push_back({{"/shop.Orders/Refund"}, {}, true});
    return config;
  }
};

TEST_F(RulesTest, RulesAreAskedAfterTheProof) {
  StartGate();
  const Token buyer = Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"});
  const Token other = Enroll("eve");
  EXPECT_EQ(WhyRefused(Draft({&buyer}).SignAndSerialize()), std::nullopt);
  const std::string refused = Draft({&other}).SignAndSerialize();
  EXPECT_EQ(WhyRefused(refused), Reason::kMethodNotPermitted);
  EXPECT_EQ(WhyRefused(refused), Reason::kChallengeReplayed);
  ClientSession session = Open(buyer);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  EXPECT_EQ(WhyRefused(session.NextProof("/shop.Orders/Refund"), "/shop.Orders/Refund"),
            Reason::kFactorRequired);
  DeviceProofDraft fresh = Draft({&buyer});
  fresh.method = "/shop.Orders/Refund";
  EXPECT_EQ(WhyRefused(fresh.SignAndSerialize(), "/shop.Orders/Refund"), std::nullopt);
  EXPECT_TRUE(gate().calls().Judge(CallInput{{}, "/grpc.health.v1.Health/Check", kPeer}).exempt);
  EXPECT_EQ(WhyRefused(gate().calls().Judge(CallInput{{}, "/grpc.health.v1.Health/Watch", kPeer})),
            Reason::kPrefixMissing);
}

// ---- Starting ----

TEST_F(AdminTest, StartsOnEmbeddedDefaultsAndKeepsItsIdentity) {
  gate_.reset();
  registry_.reset();
  GateConfig config = Config();
  config.state.directory = folder_.File("fresh");
  std::string fingerprint;
  {
    auto gate = GateCore::New(config);
    ASSERT_TRUE(gate.ok()) << gate.status();
    fingerprint = (*gate)->identities().current()->fingerprint();
    EXPECT_FALSE(GateCore::New(config).ok()) << "two gates on one state";
  }
  auto gate = GateCore::New(config);
  ASSERT_TRUE(gate.ok()) << gate.status();
  EXPECT_EQ((*gate)->identities().current()->fingerprint(), fingerprint);
  struct stat info;
  ASSERT_EQ(stat(folder_.File("fresh").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(AdminTest, DoesNotStartHalf) {
  gate_.reset();
  auto fails = [&](const GateConfig& config, const std::string& what) {
    GateCore::StandIns parts;
    parts.registry = registry_;
    parts.maintenance_thread = false;
    const auto gate = GateCore::New(config, std::move(parts));
    ASSERT_FALSE(gate.ok());
    EXPECT_THAT(std::string(gate.status().message()), HasSubstr(what));
  };
  GateConfig config = Config();
  config.tls.certificate = folder_.File("missing.pem");
  fails(config, "missing.pem");
  config = Config();
  config.tokens.Get<TpmConfig>().trust = folder_.File("no-roots");
  fails(config, "no-roots");
  std::filesystem::create_directory(folder_.File("no-roots"));
  fails(config, "holds no certificate");
  config = Config();
  config.state.directory = folder_.File("open");
  std::filesystem::create_directory(config.state.directory);
  ASSERT_EQ(chmod(config.state.directory.c_str(), 0755), 0);
  fails(config, "open");
}

}  // namespace
}  // namespace forekey::testing
