// SPDX-License-Identifier: Apache-2.0
// Enrolment from invite to credential, against the real TPM verifiers, with a TPM in software on
// the allow-list: every reason for which a step is refused.
#include <filesystem>
#include <map>
#include <thread>

#include "absl/strings/escaping.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/random.h"
#include "src/gate/token/tpm_config.h"
#include "src/gate/token/tpm_verifier.h"
#include "src/wire/invite.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/roca_key.h"
#include "tests/unit/gate/support/gate_fixture.h"
#include "tests/unit/gate/support/soft_tpm.h"

namespace forekey::testing {
namespace {

// The client's half of one enrolment. Tests spoil a field before Begin() or Finish() makes the
// bytes.
struct Enroller {
  Invite invite;
  const SoftTpm* tpm;
  X25519PrivateKey share = X25519PrivateKey::Generate();
  v1::EnrollmentOpening opening;
  v1::EnrollmentDemand demand;
  v1::EnrollmentProof proof;
  std::string begin_label{label::kInviteBegin};
  std::string finish_label{label::kInviteFinish};

  SoftwareKey InviteKey() const { return *invite.SigningKey(); }
  v1::BeginEnrollmentRequest Begin() const {
    const SoftwareKey key = InviteKey();
    const std::string& spki = key.public_key().spki();
    v1::BeginEnrollmentRequest request;
    request.set_payload(opening.SerializeAsString());
    request.set_invite_public_key(spki.substr(spki.size() - 32));
    request.set_invite_signature(
        key.Sign(BuildInviteStatement(begin_label, invite.audience, request.payload())));
    return request;
  }
  std::string Statement(absl::string_view audience = kAudience) const {
    return BuildStatement(EnrollStatement{audience, demand.enrollment_id(), demand.subject(),
                                          v1::TOKEN_KIND_TPM, proof.spki(),
                                          opening.channel_binding(), opening.challenge()});
  }
  // Answers the demand.
  void Answer() {
    proof.set_ticket(demand.ticket());
    proof.set_spki(tpm->key()->public_key().spki());
    proof.set_label("laptop");
    v1::TpmEvidence* evidence = proof.mutable_tpm();
    evidence->set_activated_secret(
        tpm->Activate(demand.tpm().credential_blob(), demand.tpm().encrypted_secret()));
    evidence->set_key_public(tpm->KeyPublic());
    Certify(Statement());
    proof.mutable_possession()->set_signature(tpm->key()->Sign(Statement()));
  }
  void Certify(const std::string& statement) {
    const SoftTpm::Certified certified = tpm->Certify(Sha256(statement));
    proof.mutable_tpm()->set_certify_info(certified.info);
    proof.mutable_tpm()->set_certify_signature(certified.signature);
  }
  v1::FinishEnrollmentRequest Finish() const {
    v1::FinishEnrollmentRequest request;
    request.set_payload(proof.SerializeAsString());
    request.set_invite_signature(
        InviteKey().Sign(BuildInviteStatement(finish_label, invite.audience, request.payload())));
    return request;
  }
};

class EnrollmentTest : public GateFixture {
 protected:
  EnrollmentTest() { StartGate(); }
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    for (const SoftTpm* tpm : allowed_) {
      config.tokens.Get<TpmConfig>().ek_allow_list.push_back(absl::BytesToHexString(tpm->EkHash()));
    }
    config.tokens.Get<TpmConfig>().ek_algorithms = ek_algorithms_;
    return config;
  }

  v1::CreateInviteRequest InviteFor(const std::string& subject) {
    v1::CreateInviteRequest request;
    request.set_subject(subject);
    return request;
  }
  Enroller Start(const v1::CreateInviteRequest& request, const SoftTpm& tpm) {
    const auto created = gate().admin().CreateInvite(request, "uid 0");
    EXPECT_TRUE(created.ok()) << created.status();
    return StartWith(created->invite(), tpm);
  }
  Enroller StartWith(const std::string& invite, const SoftTpm& tpm) {
    Enroller enroller{*Invite::Parse(invite), &tpm};
    enroller.opening.set_challenge(Challenge(v1::GetChallengeRequest::PURPOSE_ENROLL));
    enroller.opening.set_channel_binding(certificate_.binding);
    enroller.opening.set_key_share(enroller.share.public_key());
    enroller.opening.set_gate_identity(enroller.invite.identity_fingerprint);
    enroller.opening.set_kind(v1::TOKEN_KIND_TPM);
    enroller.opening.mutable_tpm()->set_ek_public(tpm.EkPublic());
    enroller.opening.mutable_tpm()->set_ak_public(tpm.AkPublic());
    return enroller;
  }
  Enroller Start(const std::string& subject = "ada") { return Start(InviteFor(subject), tpm_); }

  std::optional<Reason> WhyNotBegun(const v1::BeginEnrollmentRequest& request) {
    const auto response = gate().peers().BeginEnrollment(request, kPeer);
    return response.ok() ? std::nullopt : AuditedReason(response.status());
  }
  std::optional<Reason> WhyNotFinished(const v1::FinishEnrollmentRequest& request) {
    const auto response = gate().peers().FinishEnrollment(request, kPeer);
    return response.ok() ? std::nullopt : AuditedReason(response.status());
  }
  // Begins, takes the demand and checks that the gate of the invite made it.
  void Begin(Enroller& enroller) {
    const v1::BeginEnrollmentRequest request = enroller.Begin();
    const auto response = gate().peers().BeginEnrollment(request, kPeer);
    ASSERT_TRUE(response.ok()) << response.status() << " " << audit_->decisions().back().detail;
    ASSERT_TRUE(enroller.demand.ParseFromString(response->payload()));
    EXPECT_EQ(response->confirmation(),
              ComputeEnrollmentConfirmation(ConfirmationKey(enroller), 1, request.payload(),
                                            response->payload()));
  }
  Secret ConfirmationKey(const Enroller& enroller) {
    return DeriveEnrollmentKey(*enroller.share.Agree(enroller.demand.gate_identity()),
                               enroller.opening.challenge(), kAudience);
  }
  Enroller Answered(const std::string& subject = "ada") {
    Enroller enroller = Start(subject);
    Begin(enroller);
    enroller.Answer();
    return enroller;
  }

  SoftTpm tpm_;
  SoftTpm second_tpm_;
  SoftTpm stranger_;
  std::vector<const SoftTpm*> allowed_ = {&tpm_, &second_tpm_};
  std::set<std::string> ek_algorithms_;
};

TEST_F(EnrollmentTest, EnrolsAKeyThatThenCalls) {
  v1::CreateInviteRequest invite = InviteFor("ada");
  invite.add_roles("buyer");
  invite.add_kinds(v1::TOKEN_KIND_TPM);
  invite.set_pinned_device(tpm_.EkHash());
  Enroller enroller = Start(invite, tpm_);
  Begin(enroller);
  EXPECT_EQ(enroller.demand.audience(), kAudience);
  EXPECT_EQ(enroller.demand.subject(), "ada");
  EXPECT_EQ(IdentityFingerprint(enroller.demand.gate_identity()),
            enroller.invite.identity_fingerprint);
  enroller.Answer();
  const v1::FinishEnrollmentRequest request = enroller.Finish();
  const auto response = gate().peers().FinishEnrollment(request, kPeer);
  ASSERT_TRUE(response.ok()) << response.status() << " " << audit_->decisions().back().detail;
  EXPECT_EQ(response->credential_id(), CredentialId(kAudience, "ada", enroller.proof.spki()));
  EXPECT_EQ(response->confirmation(),
            ComputeEnrollmentConfirmation(ConfirmationKey(enroller), 2, request.payload(),
                                          response->credential_id()));
  const auto record = registry_->FindCredential(response->credential_id());
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->device_id, tpm_.EkHash());
  EXPECT_EQ(record->label, "laptop");
  EXPECT_THAT(record->factors, ::testing::ElementsAre("tpm"));
  EXPECT_FALSE(record->evidence.empty());
  EXPECT_EQ(record->evidence.find(enroller.proof.ticket()), std::string::npos);

  const Token token{tpm_.key(), "ada", response->credential_id()};
  const Judgement judgement = Judge(Draft({&token}).SignAndSerialize());
  ASSERT_TRUE(judgement.status.ok()) << judgement.status;
  EXPECT_THAT(*judgement.call->subject().roles(), ::testing::ElementsAre("buyer"));
}

// ---- Begin ----

TEST_F(EnrollmentTest, ATpmThatWasTakenOffTheAllowListIsFoundAgain) {
  const Enroller enroller = Answered();
  ASSERT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
  v1::RecheckCredentialsResponse looked = gate().admin().RecheckCredentials({}, "uid 0").value();
  EXPECT_EQ(looked.checked(), 1u);
  EXPECT_EQ(looked.refused(), 0u);
  allowed_ = {&stranger_};
  StartGate();
  looked = gate().admin().RecheckCredentials({}, "uid 0").value();
  ASSERT_EQ(looked.credentials_size(), 1);
  EXPECT_EQ(looked.credentials(0).reason(), "ek-certificate-missing");
  EXPECT_EQ(looked.credentials(0).label(), "laptop");
  EXPECT_TRUE(looked.credentials(0).withdrawn());
}

// A TPM with a certificate of its vendor's, and a list of firmware beside the vendor's root.
class TpmFirmwareTest : public EnrollmentTest {
 protected:
  TpmFirmwareTest() {
    allowed_.clear();
    std::filesystem::create_directories(roots_);
    WriteText(roots_ + "/root.der", MakeDer(vendor_.CaSpec(vendor_)));
    StartGate();
  }
  GateConfig Config() override {
    GateConfig config = EnrollmentTest::Config();
    config.tokens.Get<TpmConfig>().trust = roots_;
    return config;
  }
  // subjectAltName, a directoryName with tcg-at-tpmManufacturer (2.23.133.2.1) "id:4E544300": NTC.
  std::string EkCertificate(const SoftTpm& tpm) const {
    CertificateSpec spec = vendor_.Spec("", tpm.ek());
    spec.key_usage = "critical,keyEncipherment";
    spec.extended_key_usage = "2.23.133.8.1";
    spec.extensions = {{"2.5.29.17", true,
                        absl::StrCat("\x30\x1c\xa4\x1a\x30\x18\x31\x16\x30\x14\x06\x05\x67\x81"
                                     "\x05\x02\x01\x0c\x0b",
                                     "id:4E544300")}};
    return MakeDer(spec);
  }
  std::optional<Reason> Enrolled(SoftTpm& tpm, uint32_t ak_hierarchy) {
    tpm.set_ak_hierarchy(ak_hierarchy);
    Enroller enroller = Start(InviteFor("ada"), tpm);
    enroller.opening.mutable_tpm()->set_ek_certificate(EkCertificate(tpm));
    Begin(enroller);
    enroller.Answer();
    return WhyNotFinished(enroller.Finish());
  }
  void List(absl::string_view line) {
    WriteText(folder_.File("firmware.list"), absl::StrCat("forekey-firmware-list 1\n", line, "\n"));
    ASSERT_TRUE(gate().ReloadTrust().ok());
  }
  // The reason of each credential that would be refused, and whether its trust was withdrawn.
  std::map<std::string, bool> Rechecked() {
    std::map<std::string, bool> found;
    const auto looked = gate().admin().RecheckCredentials({}, "uid 0");
    EXPECT_TRUE(looked.ok()) << looked.status();
    for (const auto& one : looked->credentials()) found[one.reason()] = one.withdrawn();
    return found;
  }

  static constexpr uint32_t kOwner = 0x40000001, kEndorsement = 0x4000000b;
  const std::string roots_ = folder_.File("roots");
  const TestCa vendor_ = TestCa::New("Vendor Root");
};

TEST_F(TpmFirmwareTest, TheListIsAskedAtEnrolments) {
  List("tpm NTC least 0.0.8215.1562");
  EXPECT_EQ(Enrolled(tpm_, kEndorsement), Reason::kFirmwareTooOld);
  EXPECT_THAT(audit_->decisions().back().detail,
              ::testing::AllOf(::testing::HasSubstr("it is 0.0.8215.1561"),
                               ::testing::HasSubstr("update the TPM's firmware")));
  List("tpm NTC weak 0.0.8215");
  EXPECT_EQ(Enrolled(tpm_, kEndorsement), Reason::kFirmwareWeak);
  List("tpm NTC least 0.0.8215.1561");
  EXPECT_EQ(Enrolled(tpm_, kOwner), Reason::kFirmwareUnproved);
  EXPECT_EQ(Enrolled(tpm_, 0), Reason::kFirmwareUnproved);
  EXPECT_EQ(Enrolled(tpm_, kEndorsement), std::nullopt);
  List("tpm STM weak all");
  EXPECT_EQ(Enrolled(second_tpm_, kOwner), std::nullopt);
}

TEST_F(TpmFirmwareTest, WhatWasKeptOfAnEnrolmentTellsTheVersionOrThatNothingDoes) {
  ASSERT_EQ(Enrolled(tpm_, kEndorsement), std::nullopt);
  ASSERT_EQ(Enrolled(second_tpm_, kOwner), std::nullopt);
  EXPECT_EQ(Rechecked(), (std::map<std::string, bool>{}));
  List("tpm NTC weak 0.0.8215 : ours");
  EXPECT_EQ(Rechecked(),
            (std::map<std::string, bool>{{"firmware-weak", true}, {"firmware-unproved", false}}));
  List("tpm NTC least 0.0.9000");
  EXPECT_EQ(Rechecked(), (std::map<std::string, bool>{{"firmware-too-old", false},
                                                      {"firmware-unproved", false}}));
  List("tpm NTC least 0.0.8000");
  EXPECT_EQ(Rechecked(), (std::map<std::string, bool>{{"firmware-unproved", false}}));
}

TEST_F(EnrollmentTest, EksOfOtherAlgorithmsAreRefusedAndFoundAgain) {
  const Enroller enroller = Answered();
  ASSERT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
  ek_algorithms_ = {"P-256"};
  StartGate();
  EXPECT_EQ(WhyNotBegun(Start("eve").Begin()), Reason::kEkUnsupported);
  EXPECT_THAT(audit_->decisions().back().detail,
              ::testing::HasSubstr("ek_algorithms takes P-256 alone"));
  const v1::RecheckCredentialsResponse looked =
      gate().admin().RecheckCredentials({}, "uid 0").value();
  ASSERT_EQ(looked.credentials_size(), 1);
  EXPECT_EQ(looked.credentials(0).reason(), "ek-unsupported");
  EXPECT_FALSE(looked.credentials(0).withdrawn()) << "a policy takes nothing away";
  ek_algorithms_ = {"P-256", "RSA-2048"};
  StartGate();
  EXPECT_EQ(gate().admin().RecheckCredentials({}, "uid 0")->refused(), 0u);
}

// CVE-2017-15361. Enrolled before it was asked.
TEST_F(EnrollmentTest, ARecheckFindsADeviceKeyThatCanBeFactored) {
  TpmVerifierOptions options;
  options.allowed_ek_hashes = {tpm_.EkHash()};
  const auto verifier = NewTpmVerifier(std::move(options));
  const auto recheck = [&](EVP_PKEY* key) {
    v1::EnrollmentOpening opening;
    opening.mutable_tpm()->set_ek_public(tpm_.EkPublic());
    opening.mutable_tpm()->set_ak_public(tpm_.AkPublic());
    v1::EnrollmentProof proof;
    proof.set_spki(PublicKey::FromEvp(key)->spki());
    return verifier->Recheck({&opening, &proof, "", ""}, {"", clock_.WallNow()});
  };
  EXPECT_EQ(recheck(tpm_.key()->evp()), absl::OkStatus());
  const absl::Status refused = recheck(RocaKey().get());
  EXPECT_EQ(ReasonOf(refused), Reason::kKeyAlgorithm);
  EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("CVE-2017-15361"));
}

TEST_F(EnrollmentTest, AnInviteOfARevokedSubjectEnrolsNothing) {
  const Token token = Enroll("ada");
  const Enroller unused = Start();
  const Enroller begun = Answered();
  v1::RevokeCredentialRequest request;
  request.set_subject("ada");
  request.set_note("left");
  const auto revoked = gate().admin().RevokeCredential(request, "uid 0");
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->revoked(), 1u);
  ASSERT_EQ(revoked->cancelled_invites_size(), 2);
  EXPECT_EQ(revoked->cancelled_invites(0).subject(), "ada");
  const Decision line = audit_->decisions().back();
  EXPECT_EQ(line.method, "CancelInvite");
  EXPECT_EQ(line.subject, "ada");
  EXPECT_EQ(line.detail,
            absl::StrCat(absl::BytesToHexString(revoked->cancelled_invites(1).invite_id()),
                         ", with its subject's credentials, note: left"));
  EXPECT_EQ(WhyNotBegun(unused.Begin()), Reason::kInviteUnknown);
  EXPECT_EQ(WhyNotFinished(begun.Finish()), Reason::kInviteUnknown);
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), Reason::kCredentialRevoked);
  // A new invite is an administrator's word, and counts.
  const Enroller again = Answered();
  EXPECT_EQ(WhyNotFinished(again.Finish()), std::nullopt);
}

TEST_F(EnrollmentTest, BeginRefusesStrangersAndGuesses) {
  Enroller enroller = Start();
  Enroller guess = StartWith(enroller.invite.Serialize(), tpm_);
  guess.invite.seed = Secret(RandomBytes(kInviteSeedSize));
  EXPECT_EQ(WhyNotBegun(guess.Begin()), Reason::kInviteUnknown);
  v1::BeginEnrollmentRequest request = enroller.Begin();
  // Who saw the public key on the wire can't sign; who swaps the payload breaks the signature.
  v1::BeginEnrollmentRequest swapped = request;
  Enroller other = StartWith(enroller.invite.Serialize(), second_tpm_);
  swapped.set_payload(other.opening.SerializeAsString());
  EXPECT_EQ(WhyNotBegun(swapped), Reason::kInviteSignatureInvalid);
  enroller.begin_label = std::string(label::kInviteFinish);
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kInviteSignatureInvalid);
  EXPECT_EQ(WhyNotBegun(request), std::nullopt);
}

TEST_F(EnrollmentTest, BeginRefusesAnInviteOfAnotherAudience) {
  Enroller enroller = Start();
  const SoftwareKey key = enroller.InviteKey();
  v1::BeginEnrollmentRequest request = enroller.Begin();
  request.set_invite_signature(
      key.Sign(BuildInviteStatement(label::kInviteBegin, "other.test", request.payload())));
  EXPECT_EQ(WhyNotBegun(request), Reason::kInviteSignatureInvalid);
}

TEST_F(EnrollmentTest, BeginRefusesBadChallengesBindingsAndIdentities) {
  Enroller enroller = Start();
  const v1::EnrollmentOpening good = enroller.opening;
  enroller.opening.set_challenge(Challenge());
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kChallengeWrongPurpose);
  enroller.opening.set_challenge(RandomBytes(64));
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kChallengeForged);
  enroller.opening = good;
  enroller.opening.set_channel_binding(MakeTlsCertificate("proxy").binding);
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kChannelBindingUnknown);
  enroller.opening = good;
  enroller.opening.set_gate_identity(RandomBytes(32));
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kGateIdentityUnknown);
  enroller.opening = good;
  enroller.opening.set_key_share(std::string(32, '\0'));
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kKeyShareInvalid);
  enroller.opening = good;
  clock_.Advance(absl::Seconds(121));
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kChallengeExpired);
}

TEST_F(EnrollmentTest, BeginRefusesMalformedRequests) {
  Enroller enroller = Start();
  const v1::BeginEnrollmentRequest good = enroller.Begin();
  v1::BeginEnrollmentRequest request = good;
  request.set_payload("\xff");
  EXPECT_EQ(WhyNotBegun(request), Reason::kRequestMalformed);
  request.set_payload(std::string(kMaxOpeningSize + 1, 'x'));
  EXPECT_EQ(WhyNotBegun(request), Reason::kRequestMalformed);
  request.set_payload(good.payload() + std::string("\x7a\x01x", 3));
  EXPECT_EQ(WhyNotBegun(request), Reason::kRequestMalformed);
  request = good;
  request.set_invite_public_key("short");
  EXPECT_EQ(WhyNotBegun(request), Reason::kRequestMalformed);
  request = good;
  request.set_invite_signature("short");
  EXPECT_EQ(WhyNotBegun(request), Reason::kRequestMalformed);
  EXPECT_EQ(WhyNotBegun(v1::BeginEnrollmentRequest()), Reason::kRequestMalformed);
  enroller.opening.clear_tpm();
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kRequestMalformed);
}

TEST_F(EnrollmentTest, BeginRefusesKindsThatInviteOrGateDoNotAllow) {
  v1::CreateInviteRequest invite = InviteFor("ada");
  invite.add_kinds(v1::TOKEN_KIND_PIV);
  Enroller enroller = Start(invite, tpm_);
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kTokenKindNotAllowed);
  enroller.opening.set_kind(v1::TOKEN_KIND_PIV);
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kTokenKindNotAllowed);
}

TEST_F(EnrollmentTest, BeginRefusesATpmThatNobodyVouchesFor) {
  Enroller enroller = Start(InviteFor("ada"), stranger_);
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kEkCertificateMissing);
}

TEST_F(EnrollmentTest, BeginRefusesExpiredUsedAndCancelledInvites) {
  v1::CreateInviteRequest invite = InviteFor("ada");
  invite.set_lifetime_s(60);
  Enroller enroller = Start(invite, tpm_);
  clock_.Advance(absl::Seconds(60));
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kInviteExpired);

  Enroller used = Answered();
  ASSERT_EQ(WhyNotFinished(used.Finish()), std::nullopt);
  EXPECT_EQ(WhyNotBegun(StartWith(used.invite.Serialize(), second_tpm_).Begin()),
            Reason::kInviteUsed);

  const auto created = gate().admin().CreateInvite(InviteFor("bob"), "uid 0");
  ASSERT_TRUE(created.ok());
  v1::CancelInviteRequest cancel;
  cancel.set_invite_id(created->invite_id());
  ASSERT_TRUE(gate().admin().CancelInvite(cancel, "uid 0").ok());
  EXPECT_EQ(WhyNotBegun(StartWith(created->invite(), tpm_).Begin()), Reason::kInviteUnknown);
}

// ---- Finish ----

TEST_F(EnrollmentTest, FinishRefusesARelayedOrStaleCertification) {
  Enroller enroller = Answered();
  const v1::EnrollmentProof good = enroller.proof;
  // Certified for another gate, another enrolment, another channel, another challenge; or nothing.
  const std::string statement = enroller.Statement();
  auto certified_for = [&](const std::string& other) {
    enroller.proof = good;
    enroller.Certify(other);
    return WhyNotFinished(enroller.Finish());
  };
  EXPECT_EQ(certified_for(enroller.Statement("rogue.test")), Reason::kAttestExtraData);
  std::string changed = statement;
  for (size_t at : {size_t{0}, statement.size() / 2, statement.size() - 1}) {
    changed = statement;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_EQ(certified_for(changed), Reason::kAttestExtraData) << at;
  }
  EXPECT_EQ(certified_for(""), Reason::kAttestExtraData);
  enroller.proof = good;
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
}

TEST_F(EnrollmentTest, FinishRefusesWhatWasNotDoneByThatTpm) {
  Enroller enroller = Answered();
  const v1::EnrollmentProof good = enroller.proof;
  auto finish = [&] { return WhyNotFinished(enroller.Finish()); };

  enroller.proof.mutable_tpm()->set_activated_secret(RandomBytes(32));
  EXPECT_EQ(finish(), Reason::kActivationSecretWrong);
  enroller.proof.mutable_tpm()->set_activated_secret("");
  EXPECT_EQ(finish(), Reason::kActivationSecretWrong);

  // A software key that says it is the TPM's: nothing certifies it.
  enroller.proof = good;
  const SoftwareKey software = SoftwareKey::Generate(Algorithm::kEs256);
  enroller.proof.set_spki(software.public_key().spki());
  enroller.Certify(enroller.Statement());
  enroller.proof.mutable_possession()->set_signature(software.Sign(enroller.Statement()));
  EXPECT_EQ(finish(), Reason::kCredentialMismatch);

  // A key of another TPM, certified there.
  enroller.proof = good;
  const SoftTpm::Certified certified = second_tpm_.Certify(Sha256(enroller.Statement()));
  enroller.proof.mutable_tpm()->set_certify_info(certified.info);
  enroller.proof.mutable_tpm()->set_certify_signature(certified.signature);
  EXPECT_EQ(finish(), Reason::kAttestName);
  enroller.proof.mutable_tpm()->set_key_public(second_tpm_.KeyPublic());
  EXPECT_EQ(finish(), Reason::kAttestSignature);

  // Possession by another key, of another statement, or none.
  enroller.proof = good;
  enroller.proof.mutable_possession()->set_signature(software.Sign(enroller.Statement()));
  EXPECT_EQ(finish(), Reason::kPossessionInvalid);
  enroller.proof.mutable_possession()->set_signature(tpm_.key()->Sign("another statement"));
  EXPECT_EQ(finish(), Reason::kPossessionInvalid);
  enroller.proof = good;
  enroller.proof.mutable_possession()->set_authenticator_data("x");
  EXPECT_EQ(finish(), Reason::kPossessionInvalid);
  enroller.proof.clear_possession();
  EXPECT_EQ(finish(), Reason::kRequestMalformed);

  enroller.proof = good;
  EXPECT_EQ(finish(), std::nullopt);
}

TEST_F(EnrollmentTest, FinishRefusesAKeyThatCanLeave) {
  tpm_.set_key_attributes(0x00040472 & ~uint32_t{0x2});
  EXPECT_EQ(WhyNotFinished(Answered().Finish()), Reason::kKeyAttributes);
}

TEST_F(EnrollmentTest, FinishRefusesStrangersAndSwappedProofs) {
  Enroller enroller = Answered();
  v1::FinishEnrollmentRequest request = enroller.Finish();
  v1::FinishEnrollmentRequest swapped = request;
  v1::EnrollmentProof other = enroller.proof;
  other.set_label("thief");
  swapped.set_payload(other.SerializeAsString());
  EXPECT_EQ(WhyNotFinished(swapped), Reason::kInviteSignatureInvalid);
  enroller.finish_label = std::string(label::kInviteBegin);
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kInviteSignatureInvalid);
  EXPECT_EQ(WhyNotFinished(request), std::nullopt);
}

TEST_F(EnrollmentTest, FinishRefusesForeignChangedOldAndRestartedTickets) {
  Enroller enroller = Answered();
  const std::string ticket = enroller.proof.ticket();
  for (size_t at = 0; at < ticket.size(); at += 37) {
    std::string changed = ticket;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    enroller.proof.set_ticket(changed);
    EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kEnrollmentTicketInvalid) << at;
  }
  enroller.proof.set_ticket("");
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kEnrollmentTicketInvalid);
  // Another enrolment's ticket is signed by that one's invite, and the TPM certified another id.
  Enroller other = Start("bob");
  Begin(other);
  enroller.proof.set_ticket(other.demand.ticket());
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kInviteSignatureInvalid);
  enroller.proof.set_ticket(ticket);
  clock_.Advance(kEnrollmentTicketLifetime);
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kEnrollmentTicketInvalid);

  Enroller restarted = Answered("carol");
  StartGate();
  EXPECT_EQ(WhyNotFinished(restarted.Finish()), Reason::kEnrollmentTicketInvalid);
}

TEST_F(EnrollmentTest, AnEnrolmentLastsLongerThanItsChallengeButIsFinishedOnce) {
  Enroller enroller = Answered();
  clock_.Advance(absl::Minutes(9));
  ASSERT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kInviteUsed);
}

TEST_F(EnrollmentTest, OneChallengeServesOneEnrolment) {
  Enroller first = Start("ada");
  Enroller second = Start(InviteFor("bob"), second_tpm_);
  second.opening.set_challenge(first.opening.challenge());
  Begin(first);
  Begin(second);
  first.Answer();
  second.Answer();
  EXPECT_EQ(WhyNotFinished(first.Finish()), std::nullopt);
  clock_.Advance(absl::Minutes(5));
  EXPECT_EQ(WhyNotFinished(second.Finish()), Reason::kChallengeReplayed);
}

TEST_F(EnrollmentTest, OfManyThreadsWithOneInviteExactlyOneEnrols) {
  Enroller first = Start("ada");
  Enroller second = StartWith(first.invite.Serialize(), second_tpm_);
  Begin(first);
  Begin(second);
  first.Answer();
  second.Answer();
  std::atomic<int> enrolled{0};
  std::vector<std::thread> threads;
  for (Enroller* enroller : {&first, &second, &first, &second}) {
    threads.emplace_back([&, request = enroller->Finish()] {
      enrolled += gate().peers().FinishEnrollment(request, kPeer).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(enrolled, 1);
}

TEST_F(EnrollmentTest, ADeviceBelongsToOneSubjectAndAKeyToOneCredential) {
  ASSERT_EQ(WhyNotFinished(Answered("ada").Finish()), std::nullopt);
  EXPECT_EQ(WhyNotFinished(Answered("ada").Finish()), Reason::kCredentialExists);
  EXPECT_EQ(WhyNotFinished(Answered("bob").Finish()), Reason::kCredentialExists);
  tpm_.NewKey();
  EXPECT_EQ(WhyNotFinished(Answered("bob").Finish()), Reason::kDeviceExists);
  EXPECT_EQ(WhyNotFinished(Answered("ada").Finish()), std::nullopt);
}

TEST_F(EnrollmentTest, APinnedInviteTakesNoOtherDevice) {
  v1::CreateInviteRequest invite = InviteFor("ada");
  invite.set_pinned_device(second_tpm_.EkHash());
  Enroller enroller = Start(invite, tpm_);
  Begin(enroller);
  enroller.Answer();
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kDeviceNotPinned);
}

TEST_F(EnrollmentTest, FinishRefusesBadLabels) {
  for (const std::string& label :
       {std::string(65, 'x'), std::string("a\nb"), std::string("a\x1b[2J"),
        // What terminals take for ESC [, and what turns a line around.
        std::string("a\xc2\x9b"
                    "2J"),
        std::string("a\xe2\x80\xae"
                    "b"),
        std::string("a\xe2\x80\xa8"
                    "b"),
        std::string("a\xd8\x9c"
                    "b")}) {
    Enroller enroller = Answered();
    enroller.proof.set_label(label);
    EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kRequestMalformed);
  }
}

TEST_F(EnrollmentTest, LabelsMayBeOfAnyLanguage) {
  Enroller enroller = Answered("ada");
  enroller.proof.set_label("B\xc3\xbcro \xe6\x9c\xba \xf0\x9f\x94\x91");
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
}

TEST_F(EnrollmentTest, ADisabledSubjectEnrolsNothing) {
  ASSERT_EQ(WhyNotFinished(Answered("ada").Finish()), std::nullopt);
  Enroller enroller = Start(InviteFor("ada"), second_tpm_);
  v1::SetSubjectRequest request;
  request.set_subject("ada");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), Reason::kSubjectDisabled);
}

TEST_F(EnrollmentTest, ARecoveryRevokesTheLostCredentialAndGivesNoRole) {
  Enroller lost = Answered("ada");
  ASSERT_EQ(WhyNotFinished(lost.Finish()), std::nullopt);
  const Token token{tpm_.key(), "ada", CredentialId(kAudience, "ada", lost.proof.spki())};
  ClientSession session = Open(token);
  v1::CreateInviteRequest recovery = InviteFor("ada");
  recovery.add_roles("admin");
  EXPECT_TRUE(absl::IsInvalidArgument(gate().admin().CreateInvite(recovery, "uid 0").status()));
  recovery.clear_roles();
  recovery.set_replaces_credential(token.id);
  Enroller enroller = Start(recovery, second_tpm_);
  Begin(enroller);
  enroller.Answer();
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  ASSERT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
  EXPECT_THAT(audit_->decisions().back().detail, ::testing::HasSubstr("recovery"));
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kCredentialRevoked);
  EXPECT_EQ(WhyRefused(Draft({&token}).SignAndSerialize()), Reason::kCredentialRevoked);
}

TEST_F(EnrollmentTest, FinishAsksTheInviteAndTheSubjectAgain) {
  v1::CreateInviteRequest invite = InviteFor("ada");
  invite.set_lifetime_s(60);
  Enroller late = Start(invite, tpm_);
  Begin(late);
  late.Answer();
  clock_.Advance(absl::Seconds(60));
  EXPECT_EQ(WhyNotFinished(late.Finish()), Reason::kInviteExpired);

  Enroll("bob");
  Enroller enroller = Answered("bob");
  v1::SetSubjectRequest request;
  request.set_subject("bob");
  request.set_set_disabled(true);
  request.set_disabled(true);
  ASSERT_TRUE(gate().admin().SetSubject(request, "uid 0").ok());
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kSubjectDisabled);
}

TEST_F(EnrollmentTest, GarbageTakesNothingFromTheBucketOfItsAddress) {
  Enroller enroller = Start();
  v1::BeginEnrollmentRequest forged = enroller.Begin();
  v1::EnrollmentOpening opening = enroller.opening;
  opening.set_challenge(RandomBytes(64));
  forged.set_payload(opening.SerializeAsString());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(AuditedReason(gate().peers().AdmitEnrollment(forged, kPeer)),
              Reason::kChallengeForged);
  }
  EXPECT_TRUE(gate().peers().AdmitEnrollment(enroller.Begin(), kPeer).ok());
}

TEST_F(EnrollmentTest, AnAddressBeginsOnlySoManyEnrolments) {
  Enroller enroller = Start();
  const v1::BeginEnrollmentRequest request = enroller.Begin();
  absl::Status last;
  for (int i = 0; i < 1000 && last.ok(); ++i) {
    last = gate().peers().AdmitEnrollment(request, "ipv4:198.51.100.9:1");
  }
  EXPECT_EQ(AuditedReason(last), Reason::kRateLimited);
  EXPECT_TRUE(gate().peers().AdmitEnrollment(request, "ipv4:198.51.100.10:1").ok());
}

TEST_F(EnrollmentTest, SignaturesOfOneInviteTakeLittleFromWhatAllShare) {
  Enroller one = Start("ada");
  Enroller other = Start(InviteFor("bob"), second_tpm_);
  one.begin_label = std::string(label::kInviteFinish);
  const v1::BeginEnrollmentRequest bad = one.Begin();
  std::optional<Reason> why;
  for (int i = 0; i < 1000; ++i) why = WhyNotBegun(bad);
  EXPECT_EQ(why, Reason::kRateLimited);
  EXPECT_EQ(WhyNotBegun(other.Begin()), std::nullopt);
}

TEST_F(EnrollmentTest, SignaturesOfInvitesAreLimitedBeforeTheyAreChecked) {
  Enroller enroller = Start();
  enroller.begin_label = std::string(label::kInviteFinish);
  const v1::BeginEnrollmentRequest bad = enroller.Begin();
  std::optional<Reason> why;
  for (int i = 0; i < 300; ++i) why = WhyNotBegun(bad);
  EXPECT_EQ(why, Reason::kRateLimited);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(WhyNotBegun(bad), Reason::kInviteSignatureInvalid);
  enroller.begin_label = std::string(label::kInviteBegin);
  EXPECT_EQ(WhyNotBegun(enroller.Begin()), std::nullopt) << "the invite is not locked";
}

// A kind with a bug: it attests another key than the one that is asked for.
class WrongKeyKind final : public TokenVerifier {
 public:
  WrongKeyKind(std::unique_ptr<TokenVerifier> inner, const std::string* other)
      : inner_(std::move(inner)), other_(other) {}
  TokenKind kind() const override { return v1::TOKEN_KIND_TPM; }
  absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                const EnrollmentContext& context,
                                v1::EnrollmentDemand* demand) const override {
    return inner_->Demand(opening, context, demand);
  }
  absl::StatusOr<AttestedToken> Attest(const TokenEvidence& evidence, absl::string_view state,
                                       const EnrollmentContext& context) const override {
    TokenEvidence other = evidence;
    other.statement = *other_;
    return inner_->Attest(other, state, context);
  }
  absl::Status Recheck(const TokenEvidence& evidence,
                       const EnrollmentContext& context) const override {
    return inner_->Recheck(evidence, context);
  }

 private:
  const std::unique_ptr<TokenVerifier> inner_;
  const std::string* const other_;
};

class WrongKeyTest : public EnrollmentTest {
 protected:
  WrongKeyTest() { StartGate(); }
  std::vector<std::shared_ptr<const TokenVerifier>> Tokens() override {
    TpmVerifierOptions options;
    options.allowed_ek_hashes = {tpm_.EkHash()};
    return {std::make_shared<WrongKeyKind>(NewTpmVerifier(std::move(options)), &attested_)};
  }
  // The statement of the key that the TPM certified.
  std::string attested_;
};

TEST_F(WrongKeyTest, NoCredentialIsMadeForAKeyThatWasNotAttested) {
  Enroller enroller = Answered();
  attested_ = enroller.Statement();
  enroller.proof.set_spki(second_tpm_.key()->public_key().spki());
  enroller.proof.mutable_possession()->set_signature(second_tpm_.key()->Sign(enroller.Statement()));
  EXPECT_EQ(WhyNotFinished(enroller.Finish()), Reason::kCredentialMismatch);
}

TEST_F(EnrollmentTest, TheEnrollStatementIsNoCall) {
  Enroller enroller = Answered();
  ASSERT_EQ(WhyNotFinished(enroller.Finish()), std::nullopt);
  const Token token{tpm_.key(), "ada", CredentialId(kAudience, "ada", enroller.proof.spki())};
  const DeviceProofDraft draft = Draft({&token});
  EXPECT_EQ(WhyRefused(draft.Serialize({{token.id, enroller.proof.possession().signature()}})),
            Reason::kSignatureInvalid);
}

}  // namespace
}  // namespace forekey::testing
