// SPDX-License-Identifier: Apache-2.0
// Sessions: opening, per-call proofs, children, ending, revocation.
#include <atomic>
#include <thread>

#include "absl/strings/escaping.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/random.h"
#include "src/wire/statement.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

class SessionTest : public GateFixture {
 protected:
  SessionTest() {
    StartGate();
    tokens_.push_back(Enroll("ada", Algorithm::kEs256, v1::TOKEN_KIND_TPM, {"buyer"}));
    tokens_.push_back(Enroll("ada", Algorithm::kEdDsa, v1::TOKEN_KIND_PIV));
    tokens_.push_back(Enroll("eve"));
  }
  const Token& ada() const { return tokens_[0]; }
  const Token& ada_second() const { return tokens_[1]; }
  const Token& eve() const { return tokens_[2]; }
  std::optional<Reason> WhyNotOpened(const absl::StatusOr<ClientSession>& session) {
    return session.ok() ? std::nullopt : AuditedReason(session.status());
  }
  // An opening whose proof, request or payload a test spoils.
  struct Opening {
    DeviceProofDraft draft;
    v1::OpenSessionRequest request;
  };
  Opening MakeOpening(const std::string& key_share) {
    Opening opening{Draft({&ada()}), {}};
    v1::OpenSessionPayload payload;
    payload.set_gate_identity(gate().identities().current()->fingerprint());
    opening.request.set_payload(payload.SerializeAsString());
    opening.draft.method = std::string(kOpenSessionMethod);
    opening.draft.key_share = key_share;
    opening.draft.request_digest = Sha256(opening.request.payload());
    return opening;
  }
  std::optional<Reason> WhyNotOpened(const Opening& opening) {
    const Judgement judgement = Judge(opening.draft.SignAndSerialize(), kOpenSessionMethod);
    if (!judgement.status.ok()) return AuditedReason(judgement.status);
    const auto response = gate().peers().OpenSession(*judgement.call, opening.request, kPeer);
    return response.ok() ? std::nullopt : AuditedReason(response.status());
  }
  std::vector<Token> tokens_;
};

TEST_F(SessionTest, OpensAndAdmitsCallsAsTheSubject) {
  auto session = Open({&ada(), &ada_second()}, OpenOptions());
  ASSERT_TRUE(session.ok()) << session.status();
  for (int i = 0; i < 100; ++i) {
    const Judgement judgement = Judge(session->NextProof(kMethod));
    ASSERT_TRUE(judgement.status.ok()) << judgement.status;
    EXPECT_EQ(judgement.call->subject().name(), "ada");
    EXPECT_EQ(judgement.call->session()->id(), session->id);
    EXPECT_EQ(judgement.call->credentials().size(), 2u);
    EXPECT_EQ(judgement.call->factors().size(), 2u);
    EXPECT_EQ(judgement.call->device(), nullptr);
  }
}

TEST_F(SessionTest, WhoAmITellsWhatTheGateKnows) {
  ClientSession session = Open(ada());
  const Judgement judgement = Judge(session.NextProof(kWhoAmIMethod), kWhoAmIMethod);
  ASSERT_TRUE(judgement.status.ok());
  const auto response = gate().peers().WhoAmI(*judgement.call, v1::WhoAmIRequest());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->subject(), "ada");
  ASSERT_EQ(response->roles_size(), 1);
  EXPECT_EQ(response->roles(0), "buyer");
  ASSERT_EQ(response->factors_size(), 1);
  EXPECT_EQ(response->factors(0).name(), "tpm");
  EXPECT_EQ(response->session(), absl::BytesToHexString(session.id));
  EXPECT_FALSE(response->child_session());
  EXPECT_EQ(response->session_expires_unix_s(),
            absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(12)));
}

TEST_F(SessionTest, RefusesAnyChangedBitOfTheProof) {
  ClientSession session = Open(ada());
  const std::string good = session.Proof(kMethod, 1, 0);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_NE(WhyRefused(changed), std::nullopt) << at;
  }
  EXPECT_EQ(WhyRefused(good), std::nullopt);
}

TEST_F(SessionTest, RefusesAForgedMacAndAnotherMethodOrSessionOrCertificate) {
  ClientSession session = Open(ada());
  ClientSession other = Open(eve());
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod), kOtherMethod), Reason::kMacInvalid);
  ClientSession forged = session;
  forged.key[0] = static_cast<char>(forged.key[0] ^ 1);
  EXPECT_EQ(WhyRefused(forged.NextProof(kMethod)), Reason::kMacInvalid);
  forged = session;
  forged.id = other.id;
  EXPECT_EQ(WhyRefused(forged.NextProof(kMethod)), Reason::kMacInvalid);
  forged = session;
  forged.channel_binding = MakeTlsCertificate("proxy").binding;
  EXPECT_EQ(WhyRefused(forged.NextProof(kMethod)), Reason::kMacInvalid);
  forged = session;
  forged.id = RandomBytes(16);
  EXPECT_EQ(WhyRefused(forged.NextProof(kMethod)), Reason::kSessionUnknown);
}

TEST_F(SessionTest, AFailedMacTakesNoSequence) {
  ClientSession session = Open(ada());
  ClientSession forged = session;
  forged.key[0] = static_cast<char>(forged.key[0] ^ 1);
  EXPECT_EQ(WhyRefused(forged.Proof(kMethod, 1, 0)), Reason::kMacInvalid);
  EXPECT_EQ(WhyRefused(forged.Proof(kMethod, 1'000'000, 0)), Reason::kMacInvalid);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 1, 0)), std::nullopt);
}

TEST_F(SessionTest, SequencesComeOnceAndWithinTheWindow) {
  ClientSession session = Open(ada());
  EXPECT_EQ(session.window, 1024u);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 2000, 0)), std::nullopt);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 2000, 0)), Reason::kSequenceReplayed);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 1500, 0)), std::nullopt);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 1500, 0)), Reason::kSequenceReplayed);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 2000 - 1024, 0)), Reason::kSequenceTooOld);
  EXPECT_EQ(WhyRefused(session.Proof(kMethod, 1, 0)), Reason::kSequenceTooOld);
}

TEST_F(SessionTest, AProofThatWasHeldBackDies) {
  ClientSession session = Open(ada());
  const std::string held = session.NextProof(kMethod, 0);
  clock_.Advance(absl::Seconds(31));
  EXPECT_EQ(WhyRefused(held), Reason::kAgeDrift);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, 62)), Reason::kAgeDrift);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, 1)), std::nullopt);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, 61)), std::nullopt);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, UINT32_MAX)), Reason::kAgeDrift);
}

TEST_F(SessionTest, DigestsStandExactlyWhereTheyBelong) {
  ClientSession session = Open(ada());
  const std::string digest = RandomBytes(32);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod, 0, digest)), Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused(session.NextProof(kWhoAmIMethod, 0, digest), kWhoAmIMethod),
            Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused(session.NextProof(kEndSessionMethod, 0, digest), kEndSessionMethod),
            Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused(session.NextProof(kOpenChildSessionMethod), kOpenChildSessionMethod),
            Reason::kPrefixMalformed);
  EXPECT_EQ(WhyRefused(session.NextProof(kOpenSessionMethod), kOpenSessionMethod),
            Reason::kPrefixWrongKind);
}

TEST_F(SessionTest, OpeningIsBoundToTheRequest) {
  Opening opening = MakeOpening(X25519PrivateKey::Generate().public_key());
  opening.request.set_payload(opening.request.payload() + std::string("\x10\x01", 2));
  EXPECT_EQ(WhyNotOpened(opening), Reason::kRequestDigestMismatch);
}

TEST_F(SessionTest, RefusesSwappedKeyShares) {
  // An active proxy puts its own share in: the share is in the statement.
  Opening opening = MakeOpening(X25519PrivateKey::Generate().public_key());
  const auto signatures = opening.draft.Sign(opening.draft.Statement());
  opening.draft.key_share = X25519PrivateKey::Generate().public_key();
  EXPECT_EQ(WhyRefused(opening.draft.Serialize(signatures), kOpenSessionMethod),
            Reason::kSignatureInvalid);
}

TEST_F(SessionTest, RefusesZeroSharesMalformedPayloadsAndForeignIdentities) {
  EXPECT_EQ(WhyNotOpened(MakeOpening(std::string(32, '\0'))), Reason::kKeyShareInvalid);
  Opening opening = MakeOpening(X25519PrivateKey::Generate().public_key());
  for (const std::string& payload : {std::string("\xff\xff"), std::string("\x7a\x01x")}) {
    Opening malformed = MakeOpening(X25519PrivateKey::Generate().public_key());
    malformed.request.set_payload(payload);
    malformed.draft.request_digest = Sha256(payload);
    EXPECT_EQ(WhyNotOpened(malformed), Reason::kRequestMalformed);
  }
  OpenOptions options;
  options.gate_identity = RandomBytes(32);
  // The helper looks the identity up to check the confirmation, which is never reached here.
  EXPECT_EQ(WhyNotOpened(Open({&ada()}, options)), Reason::kGateIdentityUnknown);
  options = OpenOptions();
  options.sealed_factors = "sealed";
  EXPECT_EQ(WhyNotOpened(Open({&ada()}, options)), Reason::kRequestMalformed);
}

TEST_F(SessionTest, AnOrdinaryCallOpensNothing) {
  const Judgement device = Judge(Draft({&ada()}).SignAndSerialize());
  ASSERT_TRUE(device.status.ok());
  EXPECT_EQ(AuditedReason(
                gate().peers().OpenSession(*device.call, v1::OpenSessionRequest(), kPeer).status()),
            Reason::kPrefixWrongKind);
  EXPECT_EQ(AuditedReason(gate()
                              .peers()
                              .OpenChildSession(*device.call, v1::OpenChildSessionRequest(), kPeer)
                              .status()),
            Reason::kPrefixWrongKind);
  EXPECT_EQ(AuditedReason(
                gate().peers().EndSession(*device.call, v1::EndSessionRequest(), kPeer).status()),
            Reason::kPrefixWrongKind);
  ClientSession session = Open(ada());
  const Judgement call = Judge(session.NextProof(kMethod));
  ASSERT_TRUE(call.status.ok());
  EXPECT_EQ(AuditedReason(
                gate().peers().OpenSession(*call.call, v1::OpenSessionRequest(), kPeer).status()),
            Reason::kPrefixWrongKind);
  EXPECT_EQ(AuditedReason(gate()
                              .peers()
                              .OpenChildSession(*call.call, v1::OpenChildSessionRequest(), kPeer)
                              .status()),
            Reason::kPrefixWrongKind);
}

TEST_F(SessionTest, LifetimesAreTheShorterOfAskedAndConfigured) {
  OpenOptions options;
  options.max_idle_s = 60;
  options.max_absolute_s = 100;
  auto session = Open({&ada()}, options);
  ASSERT_TRUE(session.ok());
  EXPECT_EQ(session->idle_s, 60u);
  EXPECT_EQ(session->absolute_s, 100u);
  options.max_idle_s = options.max_absolute_s = UINT32_MAX;
  auto greedy = Open({&ada()}, options);
  ASSERT_TRUE(greedy.ok());
  EXPECT_EQ(greedy->idle_s, 1800u);
  EXPECT_EQ(greedy->absolute_s, 12 * 3600u);
}

TEST_F(SessionTest, ExpiresIdleAndAbsolutely) {
  OpenOptions options;
  options.max_idle_s = 60;
  options.max_absolute_s = 100;
  auto idle = Open({&ada()}, options);
  auto busy = Open({&ada()}, options);
  ASSERT_TRUE(idle.ok() && busy.ok());
  clock_.Advance(absl::Seconds(50));
  EXPECT_EQ(WhyRefused(busy->NextProof(kMethod, 50)), std::nullopt);
  clock_.Advance(absl::Seconds(15));
  EXPECT_EQ(WhyRefused(idle->NextProof(kMethod, 65)), Reason::kSessionExpired);
  EXPECT_EQ(WhyRefused(busy->NextProof(kMethod, 65)), std::nullopt);
  clock_.Advance(absl::Seconds(36));
  EXPECT_EQ(WhyRefused(busy->NextProof(kMethod, 101)), Reason::kSessionExpired);
  gate().maintenance().Once();
  EXPECT_EQ(gate().sessions().size(), 0u);
  EXPECT_EQ(WhyRefused(busy->NextProof(kMethod, 101)), Reason::kSessionUnknown);
}

TEST_F(SessionTest, ARestartEndsEverySession) {
  ClientSession session = Open(ada());
  StartGate();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kSessionUnknown);
}

TEST_F(SessionTest, EndingEndsTheSessionAndItsChildren) {
  ClientSession session = Open(ada());
  auto child = OpenChild(session, OpenOptions());
  ASSERT_TRUE(child.ok()) << child.status();
  const Judgement judgement = Judge(session.NextProof(kEndSessionMethod), kEndSessionMethod);
  ASSERT_TRUE(judgement.status.ok());
  ASSERT_TRUE(gate().peers().EndSession(*judgement.call, v1::EndSessionRequest(), kPeer).ok());
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod)), Reason::kSessionEnded);
}

TEST_F(SessionTest, RevocationTakesEffectAtTheNextCall) {
  auto both = Open({&ada(), &ada_second()}, OpenOptions());
  ClientSession other = Open(ada_second());
  ASSERT_TRUE(both.ok());
  auto child = OpenChild(*both, OpenOptions());
  ASSERT_TRUE(child.ok());
  v1::RevokeCredentialRequest request;
  request.set_credential_id(ada().id);
  const auto response = gate().admin().RevokeCredential(request, "uid 0");
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->revoked(), 1u);
  EXPECT_EQ(response->sessions_ended(), 2u);
  for (ClientSession* session : {&*both, &*child}) {
    EXPECT_EQ(WhyRefused(session->NextProof(kMethod)), Reason::kCredentialRevoked);
  }
  EXPECT_EQ(WhyRefused(other.NextProof(kMethod)), std::nullopt);
}

TEST_F(SessionTest, DisablingASubjectEndsItsSessions) {
  ClientSession session = Open(ada());
  ClientSession foreign = Open(eve());
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kSubjectDisabled);
  EXPECT_EQ(WhyRefused(foreign.NextProof(kMethod)), std::nullopt);
}

TEST_F(SessionTest, ARevocationBetweenJudgingAndOpeningWins) {
  const Opening opening = MakeOpening(X25519PrivateKey::Generate().public_key());
  const Judgement judgement = Judge(opening.draft.SignAndSerialize(), kOpenSessionMethod);
  ASSERT_TRUE(judgement.status.ok());
  Revoke(ada());
  EXPECT_EQ(
      AuditedReason(gate().peers().OpenSession(*judgement.call, opening.request, kPeer).status()),
      Reason::kCredentialRevoked);
  EXPECT_EQ(gate().sessions().size(), 0u);
}

TEST_F(SessionTest, RevokingWhileManyOpenLeavesNoSessionAlive) {
  for (int round = 0; round < 20; ++round) {
    const Token token = Enroll("race");
    std::atomic<bool> go{false};
    std::vector<ClientSession> opened(3);
    std::vector<Opening> openings;
    for (size_t i = 0; i < opened.size(); ++i) {
      openings.push_back(MakeOpening(X25519PrivateKey::Generate().public_key()));
      openings.back().draft.signers = {&token};
    }
    std::vector<std::thread> threads;
    for (Opening& opening : openings) {
      threads.emplace_back([&, prefix = opening.draft.SignAndSerialize()] {
        while (!go) std::this_thread::yield();
        const Judgement judgement = Judge(prefix, kOpenSessionMethod);
        if (judgement.call)
          (void)gate().peers().OpenSession(*judgement.call, opening.request, kPeer);
      });
    }
    threads.emplace_back([&] {
      while (!go) std::this_thread::yield();
      Revoke(token);
    });
    go = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(gate().sessions().size(), 0u);
  }
}

// ---- Children ----

TEST_F(SessionTest, AChildCallsAsItsParentWithTheParentsFactorTimes) {
  ClientSession parent = Open(ada());
  const absl::Time proved_at = clock_.WallNow();
  clock_.Advance(absl::Minutes(20));
  auto child = OpenChild(parent, OpenOptions(), 20 * 60);
  ASSERT_TRUE(child.ok()) << child.status();
  const Judgement judgement = Judge(child->NextProof(kMethod));
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_EQ(judgement.call->subject().name(), "ada");
  ASSERT_EQ(judgement.call->factors().size(), 1u);
  EXPECT_EQ(judgement.call->factors()[0].proved_at, proved_at) << "a child is never fresher";
}

TEST_F(SessionTest, AChildDoesNotOutliveItsParent) {
  OpenOptions options;
  options.max_absolute_s = 100;
  auto parent = Open({&ada()}, options);
  ASSERT_TRUE(parent.ok());
  clock_.Advance(absl::Milliseconds(40'500));
  options.max_absolute_s = 0;
  auto child = OpenChild(*parent, options, 40);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->absolute_s, 59u);
  clock_.Advance(absl::Seconds(60));
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod, 60)), Reason::kSessionExpired);
}

TEST_F(SessionTest, AChildDoesNotKeepItsParentFresh) {
  OpenOptions options;
  options.max_idle_s = 60;
  auto parent = Open({&ada()}, options);
  ASSERT_TRUE(parent.ok());
  auto child = OpenChild(*parent, OpenOptions());
  ASSERT_TRUE(child.ok());
  clock_.Advance(absl::Seconds(50));
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod, 50)), std::nullopt);
  clock_.Advance(absl::Seconds(15));
  EXPECT_EQ(WhyRefused(parent->NextProof(kMethod, 65)), Reason::kSessionExpired);
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod, 65)), Reason::kSessionExpired);
}

TEST_F(SessionTest, AChildOpensNoChild) {
  ClientSession parent = Open(ada());
  auto child = OpenChild(parent, OpenOptions());
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(WhyNotOpened(OpenChild(*child, OpenOptions())), Reason::kChildNotAllowed);
}

TEST_F(SessionTest, AChildIsOpenedForAnAcceptedCertificateAlone) {
  ClientSession parent = Open(ada());
  EXPECT_EQ(WhyNotOpened(OpenChild(parent, OpenOptions(), 0, MakeTlsCertificate("proxy").binding)),
            Reason::kChannelBindingUnknown);
}

TEST_F(SessionTest, AChildsRequestIsTheOneThatWasProved) {
  ClientSession parent = Open(ada());
  v1::OpenChildSessionPayload payload;
  payload.set_gate_identity(gate().identities().current()->fingerprint());
  payload.set_channel_binding(certificate_.binding);
  payload.set_key_share(X25519PrivateKey::Generate().public_key());
  v1::OpenChildSessionRequest request;
  request.set_payload(payload.SerializeAsString());
  const Judgement judgement =
      Judge(parent.NextProof(kOpenChildSessionMethod, 0, Sha256(request.payload())),
            kOpenChildSessionMethod);
  ASSERT_TRUE(judgement.status.ok());
  payload.set_key_share(X25519PrivateKey::Generate().public_key());
  request.set_payload(payload.SerializeAsString());
  EXPECT_EQ(
      AuditedReason(gate().peers().OpenChildSession(*judgement.call, request, kPeer).status()),
      Reason::kRequestDigestMismatch);
}

// ---- Recall ----

TEST_F(SessionTest, RecallGivesTheCallerOfAnAdmittedCallAlone) {
  ClientSession session = Open(ada());
  const std::string admitted = session.NextProof(kMethod);
  const std::string unseen = session.NextProof(kMethod);
  ASSERT_EQ(WhyRefused(admitted), std::nullopt);
  auto recall = [&](const std::string& prefix, absl::string_view method) {
    const absl::string_view value = prefix;
    return gate().calls().Recall(absl::MakeConstSpan(&value, 1), method);
  };
  ASSERT_TRUE(recall(admitted, kMethod).ok());
  EXPECT_EQ(recall(admitted, kMethod)->subject().name(), "ada");
  EXPECT_EQ(ReasonOf(recall(unseen, kMethod).status()), Reason::kPrefixMissing);
  EXPECT_EQ(WhyRefused(unseen), std::nullopt) << "recalling must not take the sequence";
  Revoke(ada());
  EXPECT_EQ(ReasonOf(recall(admitted, kMethod).status()), Reason::kCredentialRevoked);
}

TEST_F(SessionTest, SubjectsInterleavedOnOnePeerAreNotConfused) {
  ClientSession first = Open(ada());
  ClientSession second = Open(eve());
  std::atomic<int> wrong{0};
  auto call = [&](ClientSession* session, const std::string& subject) {
    for (int i = 0; i < 500; ++i) {
      const std::string prefix = session->NextProof(kMethod);
      const absl::string_view value = prefix;
      const Judgement judgement = Judge(prefix);
      const auto again = gate().calls().Recall(absl::MakeConstSpan(&value, 1), kMethod);
      if (!judgement.call || judgement.call->subject().name() != subject || !again.ok() ||
          again->subject().name() != subject) {
        ++wrong;
      }
    }
  };
  std::thread one(call, &first, "ada");
  std::thread two(call, &second, "eve");
  one.join();
  two.join();
  EXPECT_EQ(wrong, 0);
}

// ---- Identity rotation and certificates, seen from a session ----

TEST_F(SessionTest, RotationAnnouncesTheNewIdentityUnderTheOldOne) {
  const std::string old = gate().identities().current()->fingerprint();
  ASSERT_TRUE(gate().admin().RotateIdentity(v1::RotateIdentityRequest(), "uid 0").ok());
  OpenOptions options;
  options.gate_identity = old;
  auto session = Open({&ada()}, options);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(IdentityFingerprint(session->next_gate_identity),
            gate().identities().current()->fingerprint());
  EXPECT_EQ(Open(ada()).next_gate_identity, "");
  ASSERT_TRUE(gate().admin().RotateIdentity(v1::RotateIdentityRequest(), "uid 0").ok());
  EXPECT_EQ(WhyNotOpened(Open({&ada()}, options)), Reason::kGateIdentityUnknown);
}

TEST_F(SessionTest, ACertificateThatIsReplacedLastsADayForItsSessions) {
  OpenOptions options;
  ClientSession session = Open(ada());
  const TestCertificate next = MakeTlsCertificate("gate");
  WriteText(folder_.File("tls.pem"), next.pem);
  gate().maintenance().Once();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  certificate_ = next;
  ClientSession fresh = Open(ada());
  // On the new certificate, a session of the old one: the audit log says what is wrong.
  ClientSession moved = session;
  moved.channel_binding = next.binding;
  const Judgement judgement = Judge(moved.NextProof(kMethod));
  EXPECT_EQ(WhyRefused(judgement), Reason::kMacInvalid);
  EXPECT_THAT(audit_->decisions().back().detail,
              ::testing::HasSubstr(absl::BytesToHexString(next.binding)));
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(WhyRefused(fresh.NextProof(kMethod, 24 * 3600)), Reason::kSessionExpired);
}

}  // namespace
}  // namespace forekey::testing
