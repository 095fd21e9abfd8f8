// SPDX-License-Identifier: Apache-2.0
// A process that is stopped while a call's rules are asked, and goes on once its lease is a new one
// and its rights are others: it admits nothing by the roles that it had read before.
#include <utility>

#include "src/crypto/random.h"
#include "src/gate/call/call_verifier.h"
#include "src/gate/token/tpm_config.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

// Wants the role "buyer"; something happens, once, after it has looked for it.
class InterruptedPolicy final : public CallPolicy {
 public:
  bool IsExempt(absl::string_view) const override { return false; }
  absl::Status Authorize(absl::string_view, const CallFacts& facts) const override {
    const bool may = facts.HasRole("buyer");
    if (const auto happens = std::exchange(happens_, nullptr)) happens();
    return may ? absl::OkStatus() : Refuse(Reason::kMethodNotPermitted);
  }
  RuleMatch Match(absl::string_view) const override { return {}; }
  void Then(std::function<void()> happens) { happens_ = std::move(happens); }

 private:
  mutable std::function<void()> happens_;
};

// A verifier with a lease, over the fixture's registry and clock.
class LeaseTest : public GateFixture {
 protected:
  LeaseTest() {
    const GateConfig config = Config();
    auto certificates =
        AcceptedCertificates::New(AcceptedCertificatesOptions{{config.tls.certificate}}, clock_);
    EXPECT_TRUE(certificates.ok()) << certificates.status();
    certificates_ = *std::move(certificates);
    auto tokens =
        GateTokens::New(config.tokens, {config.audience, config.state.directory, &clock_});
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    tokens_ = *std::move(tokens);
    TicketKeysNeeds needs;
    needs.audience = config.audience;
    needs.clock = &clock_;
    needs.registry = registry_.get();
    needs.identity = [] { return TicketIdentity{std::string(32, 'f'), Secret("key of 32 bytes")}; };
    needs.longest = absl::Minutes(30);
    auto tickets = TicketKeys::New(std::move(needs));
    EXPECT_TRUE(tickets.ok()) << tickets.status();
    tickets_ = *std::move(tickets);
    verifier_ = std::make_unique<CallVerifier>(CallVerifierNeeds{
        config.audience, &clock_, &challenges_, certificates_.get(), &credentials_, replay_.get(),
        &sessions_, &policy_, tokens_.get(), &strangers_, &lease_, tickets_.get()});
    lease_.Extend(clock_.BootNow() + absl::Seconds(3));
  }

  Verdict Verify(const std::string& prefix, absl::string_view method) {
    const absl::string_view sent = prefix;
    return verifier_->Verify({absl::MakeConstSpan(&sent, 1), method, kPeer});
  }
  std::string DeviceProof() {
    DeviceProofDraft draft;
    draft.challenge = challenges_.Issue(ChallengePurpose::kCall);
    draft.channel_binding = certificate_.binding;
    draft.signers = {&ada_};
    return draft.SignAndSerialize();
  }
  std::string ResumptionProof() {
    SessionTicket ticket;
    ticket.session_id = RandomBytes(16);
    ticket.key = Secret(RandomBytes(32));
    ticket.lineage.family = RandomBytes(16);
    ticket.issued_at = clock_.WallNow();
    ticket.lineage.ends_at = ticket.good_until = clock_.WallNow() + absl::Minutes(10);
    ticket.idle_s = 600;
    ticket.credential_ids = {ada_.id};
    const std::string sealed = tickets_->Seal(ticket), share = RandomBytes(32),
                      challenge = challenges_.Issue(ChallengePurpose::kCall),
                      digest = RandomBytes(32);
    const std::string statement =
        BuildStatement(ResumptionStatement{std::string(kAudience), kResumeSessionMethod, sealed,
                                           challenge, certificate_.binding, share, digest});
    const std::string mac = ComputeResumptionMac(ticket.key.view(), statement);
    return SerializePrefix(
        ResumptionProofView{sealed, challenge, certificate_.binding, share, digest, mac});
  }
  // It is stopped for longer than its lease; another thread of it goes on first, renews the lease,
  // and hears that the role is gone.
  void StopWhileRulesAreAsked() {
    policy_.Then([this] {
      clock_.Advance(absl::Seconds(4));
      ASSERT_TRUE(credentials_.SetRoles("ada", {}).ok());
      lease_.Extend(clock_.BootNow() + absl::Seconds(3));
    });
  }

  const Token ada_ = Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"});
  const ChallengeIssuer challenges_{kAudience, clock_};
  std::unique_ptr<AcceptedCertificates> certificates_;
  LiveCredentials credentials_{registry_};
  const std::unique_ptr<ReplayStore> replay_ = NewMemoryReplayStore(1000);
  SessionTable sessions_{SessionLimits()};
  InterruptedPolicy policy_;
  std::unique_ptr<GateTokens> tokens_;
  StrangerLimit strangers_{StrangerLimitOptions()};
  AdmissionLease lease_;
  std::unique_ptr<TicketKeys> tickets_;
  std::unique_ptr<CallVerifier> verifier_;
};

TEST_F(LeaseTest, ADeviceProofIsNotAdmittedByTheRolesOfALeaseThatEnded) {
  EXPECT_TRUE(Verify(DeviceProof(), kMethod).status().ok());
  const std::string proof = DeviceProof();
  StopWhileRulesAreAsked();
  EXPECT_EQ(ReasonOf(Verify(proof, kMethod).status()), Reason::kLeaseEnded);
  EXPECT_EQ(ReasonOf(Verify(DeviceProof(), kMethod).status()), Reason::kMethodNotPermitted);
}

TEST_F(LeaseTest, AResumptionIsNotAdmittedByTheRolesOfALeaseThatEnded) {
  EXPECT_TRUE(Verify(ResumptionProof(), kResumeSessionMethod).status().ok());
  const std::string proof = ResumptionProof();
  StopWhileRulesAreAsked();
  EXPECT_EQ(ReasonOf(Verify(proof, kResumeSessionMethod).status()), Reason::kLeaseEnded);
}

TEST_F(LeaseTest, ALiveCallDoesNotGoOnByTheRolesOfALeaseThatEnded) {
  const VerifiedCall call = Verify(DeviceProof(), kMethod).caller();
  EXPECT_TRUE(verifier_->StillAllowed(call, kMethod).ok());
  StopWhileRulesAreAsked();
  EXPECT_EQ(ReasonOf(verifier_->StillAllowed(call, kMethod)), Reason::kLeaseEnded);
  EXPECT_EQ(ReasonOf(verifier_->StillAllowed(call, kMethod)), Reason::kMethodNotPermitted);
}

}  // namespace
}  // namespace forekey::testing
