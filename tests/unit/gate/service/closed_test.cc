// SPDX-License-Identifier: Apache-2.0
// LAW 5: what is full, gone or can't answer refuses, and stops nobody else.
#include <filesystem>

#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/wire/statement.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

// Answers nothing.
class DeadRegistry final : public Registry {
 public:
  using Registry::Enroll;
  absl::StatusOr<InviteRecord> FindInvite(absl::string_view) override { return Dead(); }
  absl::Status AddInvite(const InviteRecord&) override { return Dead(); }
  absl::Status CancelInvite(absl::string_view) override { return Dead(); }
  absl::StatusOr<std::vector<InviteRecord>> ListInvites() override { return Dead(); }
  absl::Status Enroll(const Enrollment&, Enrolled*) override { return Dead(); }
  absl::StatusOr<CredentialRecord> FindCredential(absl::string_view) override { return Dead(); }
  absl::StatusOr<SubjectRecord> FindSubject(absl::string_view) override { return Dead(); }
  absl::StatusOr<std::vector<SubjectRecord>> ListSubjects() override { return Dead(); }
  absl::StatusOr<std::vector<CredentialRecord>> ListCredentials(absl::string_view) override {
    return Dead();
  }
  absl::StatusOr<std::vector<std::string>> ListLiveCredentialIds(absl::string_view,
                                                                 size_t) override {
    return Dead();
  }
  absl::StatusOr<bool> RevokeCredential(absl::string_view, absl::string_view, absl::Time,
                                        ChangePosition*) override {
    return Dead();
  }
  absl::Status SetRoles(absl::string_view, const std::vector<std::string>&,
                        ChangePosition*) override {
    return Dead();
  }
  absl::Status SetDisabled(absl::string_view, bool, ChangePosition*) override { return Dead(); }
  absl::StatusOr<std::string> FindPasswordHash(absl::string_view) override { return Dead(); }
  absl::Status SetPasswordHash(absl::string_view, absl::string_view, absl::Time) override {
    return Dead();
  }
  absl::StatusOr<std::vector<OidcIdentity>> FindOidcIdentities(absl::string_view) override {
    return Dead();
  }
  absl::StatusOr<RevokedSubject> RevokeSubject(absl::string_view, absl::string_view,
                                               absl::Time) override {
    return Dead();
  }
  absl::Status SetOidcIdentity(absl::string_view, const OidcIdentity&, absl::Time) override {
    return Dead();
  }
  absl::Status ClearOidcIdentities(absl::string_view, absl::string_view) override { return Dead(); }
  absl::Status UseIdToken(const IdTokenUse&) override { return Dead(); }
  absl::StatusOr<bool> TakeFactorTry(const FactorTry&) override { return Dead(); }
  absl::Status GiveFactorTriesBack(absl::Span<const std::string>, absl::string_view) override {
    return Dead();
  }
  absl::Status AdvanceSignCount(absl::string_view, uint32_t) override { return Dead(); }
  absl::StatusOr<Counts> Count() override { return Dead(); }

 private:
  static absl::Status Dead() { return Refuse(Reason::kStoreUnavailable, "dead"); }
};

class ClosedTest : public GateFixture {
 protected:
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.challenges.remembered = remembered_;
    config.sessions.limits.total = total_;
    config.tls.accepted_certificates = accepted_;
    return config;
  }
  size_t remembered_ = 100'000;
  size_t total_ = 1000;
  std::string accepted_;
};

TEST_F(ClosedTest, ARegistryThatCantAnswerAdmitsNobody) {
  const Token token = Enroll("ada");
  registry_ = std::make_shared<DeadRegistry>();
  StartGate();
  const Judgement judgement = Judge(Draft({&token}).SignAndSerialize());
  EXPECT_EQ(judgement.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(WhyRefused(judgement), Reason::kStoreUnavailable);
  v1::RevokeCredentialRequest request;
  request.set_credential_id(token.id);
  EXPECT_EQ(ReasonOf(gate().admin().RevokeCredential(request, "uid 0").status()),
            Reason::kStoreUnavailable)
      << "a revocation is acknowledged only when the registry has it";
}

TEST_F(ClosedTest, AFullReplayStoreRefusesRatherThanForgets) {
  remembered_ = 1;
  StartGate();
  const Token token = Enroll("ada", Algorithm::kEdDsa);
  ClientSession session = Open(token);
  std::optional<Reason> why;
  std::string first;
  for (int i = 0; i < 10'000 && !why; ++i) {
    const std::string prefix = Draft({&token}).SignAndSerialize();
    if (first.empty()) first = prefix;
    why = WhyRefused(prefix);
  }
  EXPECT_EQ(why, Reason::kReplayStoreFull);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt) << "sessions go on";
  EXPECT_NE(WhyRefused(first), std::nullopt);
  clock_.Advance(absl::Seconds(121));
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), std::nullopt);
}

TEST_F(ClosedTest, AFullSessionTableNeverTakesAnothersSession) {
  total_ = 1;
  StartGate();
  const Token ada = Enroll("ada"), eve = Enroll("eve");
  ClientSession session = Open(ada);
  auto refused = Open({&eve}, OpenOptions());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(AuditedReason(refused.status()), Reason::kSessionTableFull);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
}

TEST_F(ClosedTest, RemovingACertificateRefusesItsSessionsAtOnce) {
  accepted_ = folder_.File("accepted");
  std::filesystem::create_directory(accepted_);
  const TestCertificate balancer = MakeTlsCertificate("balancer");
  WriteText(accepted_ + "/balancer.pem", balancer.pem);
  StartGate();
  const Token token = Enroll("ada");
  ClientSession own = Open(token);
  certificate_ = balancer;
  ClientSession behind = Open(token);
  const std::string device = Draft({&token}).SignAndSerialize();
  EXPECT_EQ(WhyRefused(behind.NextProof(kMethod)), std::nullopt);
  std::filesystem::remove(accepted_ + "/balancer.pem");
  gate().maintenance().Once();
  EXPECT_EQ(WhyRefused(behind.NextProof(kMethod)), Reason::kChannelBindingUnknown);
  EXPECT_EQ(WhyRefused(device), Reason::kChannelBindingUnknown);
  EXPECT_EQ(WhyRefused(own.NextProof(kMethod)), std::nullopt);
}

TEST_F(ClosedTest, ACertificateThatCantBeReadIsToldOnceAndTheOldOneStays) {
  StartGate();
  const Token token = Enroll("ada");
  WriteText(folder_.File("tls.pem"), "rubbish");
  gate().maintenance().Once();
  gate().maintenance().Once();
  ASSERT_EQ(audit_->decisions().size(), 1u);
  EXPECT_EQ(audit_->decisions()[0].event, AuditEvent::kGate);
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), std::nullopt);
}

TEST_F(ClosedTest, ASessionThatCouldNotBeWrittenIsNotOpened) {
  StartGate();
  const Token token = Enroll("ada");
  v1::OpenSessionPayload payload;
  payload.set_gate_identity(gate().identities().current()->fingerprint());
  v1::OpenSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  DeviceProofDraft draft = Draft({&token});
  draft.method = std::string(kOpenSessionMethod);
  draft.key_share = X25519PrivateKey::Generate().public_key();
  draft.request_digest = Sha256(request.payload());
  const Judgement judgement = Judge(draft.SignAndSerialize(), kOpenSessionMethod);
  ASSERT_TRUE(judgement.status.ok());
  audit_->FailWith(absl::UnavailableError("disk full"));
  EXPECT_EQ(gate().peers().OpenSession(*judgement.call, request, kPeer).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(gate().sessions().size(), 0u);
}

TEST_F(ClosedTest, ADeviceProofThatCouldNotBeWrittenIsRefused) {
  StartGate();
  const Token token = Enroll("ada");
  audit_->FailWith(absl::UnavailableError("disk full"));
  const Judgement judgement = Judge(Draft({&token}).SignAndSerialize());
  EXPECT_FALSE(judgement.call.has_value());
  EXPECT_EQ(judgement.status.code(), PublicCode(Reason::kAuditUnavailable));
}

}  // namespace
}  // namespace forekey::testing
