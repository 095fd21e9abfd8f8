// SPDX-License-Identifier: Apache-2.0
// FIDO2 enrolments against the real registration verifier, with a key in software that has a
// vendor's attestation: every reason for which a step is refused.
#include <filesystem>

#include "src/gate/token/fido2_verifier.h"
#include "src/wire/base64url.h"
#include "src/wire/invite.h"
#include "tests/support/crl_maker.h"
#include "tests/support/webauthn_tpm_maker.h"
#include "tests/unit/gate/support/soft_fido2.h"

namespace forekey::testing {
namespace {

using ::testing::HasSubstr;

class Fido2EnrollmentTest : public GateFixture {
 protected:
  Fido2EnrollmentTest() {
    std::filesystem::create_directories(folder_.File("roots"));
    std::filesystem::create_directories(folder_.File("sim"));
    WriteText(folder_.File("roots") + "/root.der", MakeDer(vendor_.CaSpec(vendor_)));
    WriteText(folder_.File("sim") + "/root.der", MakeDer(simulator_.CaSpec(simulator_)));
    fido2_.trust = folder_.File("roots");
    StartGate();
  }
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.tokens.Get<Fido2Config>() = fido2_;
    return config;
  }

  // One enrolment, to be spoilt between Begin() and Finish().
  struct Enrolment {
    std::optional<Invite> invite;
    X25519PrivateKey share = X25519PrivateKey::Generate();
    v1::EnrollmentOpening opening;
    v1::EnrollmentDemand demand;
    TestToken token;
    std::string format = "packed";
    std::string registration_challenge;  // raw
    std::string client_type = "webauthn.create";
    SoftAssertionDraft possession;
    v1::EnrollmentProof proof;
  };

  std::unique_ptr<Enrolment> Start(const std::string& aaguid_hint = "") {
    v1::CreateInviteRequest request;
    request.set_subject("ada");
    const auto created = gate().admin().CreateInvite(request, "uid 0");
    EXPECT_TRUE(created.ok()) << created.status();
    auto enrolment = std::make_unique<Enrolment>();
    enrolment->invite = *Invite::Parse(created->invite());
    v1::EnrollmentOpening& opening = enrolment->opening;
    opening.set_challenge(Challenge(v1::GetChallengeRequest::PURPOSE_ENROLL));
    opening.set_channel_binding(certificate_.binding);
    opening.set_key_share(enrolment->share.public_key());
    opening.set_gate_identity(enrolment->invite->identity_fingerprint);
    opening.set_kind(v1::TOKEN_KIND_FIDO2);
    opening.mutable_fido2()->set_aaguid(aaguid_hint);
    return enrolment;
  }
  std::optional<Reason> Begin(Enrolment& enrolment) {
    const SoftwareKey key = *enrolment.invite->SigningKey();
    const std::string& spki = key.public_key().spki();
    v1::BeginEnrollmentRequest request;
    request.set_payload(enrolment.opening.SerializeAsString());
    request.set_invite_public_key(spki.substr(spki.size() - 32));
    request.set_invite_signature(
        key.Sign(BuildInviteStatement(label::kInviteBegin, kAudience, request.payload())));
    const auto response = gate().peers().BeginEnrollment(request, kPeer);
    if (!response.ok()) return AuditedReason(response.status());
    EXPECT_TRUE(enrolment.demand.ParseFromString(response->payload()));
    enrolment.token.rp_id = enrolment.demand.fido2().rp_id();
    enrolment.registration_challenge = Sha256(Statement(enrolment, ""));
    enrolment.possession =
        AssertionOver(Statement(enrolment, enrolment.token.credential.public_key().spki()),
                      enrolment.token.sign_count + 1);
    return std::nullopt;
  }
  static std::string Statement(const Enrolment& enrolment, absl::string_view spki) {
    return BuildStatement(EnrollStatement{kAudience, enrolment.demand.enrollment_id(),
                                          enrolment.demand.subject(), v1::TOKEN_KIND_FIDO2, spki,
                                          enrolment.opening.channel_binding(),
                                          enrolment.opening.challenge()});
  }
  std::string AttStmt(const Enrolment& enrolment, const std::string& signed_bytes,
                      const TestCa& ca) {
    if (enrolment.format == "none") return CborMap({});
    if (enrolment.format == "self") {
      return CborMap({{CborText("alg"), CborInt(-7)},
                      {CborText("sig"), CborBytes(enrolment.token.credential.Sign(signed_bytes))}});
    }
    if (enrolment.format == "tpm") {
      return CborMap(TpmStatement(AikLeafSpec(ca, attestation_key_),
                                  enrolment.token.credential.evp(), signed_bytes));
    }
    const CertificateSpec leaf = PackedLeafSpec(ca, attestation_key_);
    return CborMap(
        {{CborText("alg"), CborInt(-7)},
         {CborText("sig"), CborBytes(SignWith(attestation_key_.get(), EVP_sha256(), signed_bytes))},
         {CborText("x5c"), CborArray({CborBytes(MakeDer(leaf))})}});
  }
  void Answer(Enrolment& enrolment, const TestCa& ca) {
    const std::string client = ClientJson(enrolment.client_type, enrolment.registration_challenge,
                                          enrolment.demand.fido2().origin());
    const std::string auth_data = enrolment.token.AuthData();
    v1::Fido2Evidence* evidence = enrolment.proof.mutable_fido2();
    evidence->set_client_data_json(client);
    evidence->set_attestation_object(AttestationObjectBytes(
        enrolment.format == "self" ? "packed" : enrolment.format,
        AttStmt(enrolment, absl::StrCat(auth_data, Sha256(client)), ca), auth_data));
    enrolment.proof.set_ticket(enrolment.demand.ticket());
    if (enrolment.proof.spki().empty()) {
      enrolment.proof.set_spki(enrolment.token.credential.public_key().spki());
    }
    const SoftAssertion possession = enrolment.possession.SignWithKey(enrolment.token.credential);
    auto* sent = enrolment.proof.mutable_possession();
    sent->set_signature(possession.signature);
    sent->set_authenticator_data(possession.authenticator_data);
    sent->set_client_data_json(possession.client_data_json);
  }
  std::optional<Reason> Send(const Enrolment& enrolment) {
    v1::FinishEnrollmentRequest request;
    request.set_payload(enrolment.proof.SerializeAsString());
    request.set_invite_signature(
        (*enrolment.invite->SigningKey())
            .Sign(BuildInviteStatement(label::kInviteFinish, kAudience, request.payload())));
    const auto response = gate().peers().FinishEnrollment(request, kPeer);
    if (!response.ok()) return AuditedReason(response.status());
    credential_id_ = response->credential_id();
    return std::nullopt;
  }
  // The whole, with one thing changed between the steps.
  std::optional<Reason> Why(const std::function<void(Enrolment&)>& change,
                            const TestCa* ca = nullptr) {
    auto enrolment = Start();
    EXPECT_EQ(Begin(*enrolment), std::nullopt);
    change(*enrolment);
    Answer(*enrolment, ca == nullptr ? vendor_ : *ca);
    return Send(*enrolment);
  }
  CredentialRecord Enrolled() {
    const auto record = registry_->FindCredential(credential_id_);
    EXPECT_TRUE(record.ok()) << record.status();
    return record.ok() ? *record : CredentialRecord();
  }

  Fido2Config fido2_;
  TestCa vendor_ = TestCa::New("Tokens Root");
  TestCa simulator_ = TestCa::New("Simulators Root");
  std::shared_ptr<EVP_PKEY> attestation_key_ = NewEcKey();
  std::string credential_id_;
};

TEST_F(Fido2EnrollmentTest, EnrolsAKeyAndKeepsWhatWasProved) {
  auto enrolment = Start(std::string(16, 'A'));
  ASSERT_EQ(Begin(*enrolment), std::nullopt);
  const v1::Fido2Demand& demand = enrolment->demand.fido2();
  EXPECT_EQ(demand.rp_id(), kAudience);
  EXPECT_EQ(demand.origin(), absl::StrCat("forekey://", kAudience));
  EXPECT_THAT(demand.algorithms(), ::testing::ElementsAre(-7, -8, -35, -257, -36, -53));
  EXPECT_FALSE(demand.user_verification());
  EXPECT_EQ(demand.user_handle().size(), 16u);
  Answer(*enrolment, vendor_);
  ASSERT_EQ(Send(*enrolment), std::nullopt) << audit_->decisions().back().detail;
  const CredentialRecord record = Enrolled();
  EXPECT_EQ(record.kind, 2);
  EXPECT_EQ(record.rp_id, kAudience);
  EXPECT_EQ(record.origin, absl::StrCat("forekey://", kAudience));
  EXPECT_EQ(record.sign_count, 8u);
  EXPECT_THAT(record.factors, ::testing::ElementsAre("fido2"));
  EXPECT_THAT(record.proved_json, HasSubstr("\"aaguid\":\"41424344-4546-4748-494a-4b4c4d4e4f50\""));
  EXPECT_THAT(record.proved_json, ::testing::Not(HasSubstr("insecure_simulator")));
  EXPECT_EQ(Send(*enrolment), Reason::kInviteUsed);
}

TEST_F(Fido2EnrollmentTest, RefusesARegistrationOfAnotherStatement) {
  EXPECT_EQ(Why([](Enrolment& e) { e.registration_challenge[0] ^= 1; }),
            Reason::kClientDataChallenge);
  EXPECT_EQ(Why([](Enrolment& e) {
              e.registration_challenge =
                  Sha256(Statement(e, e.token.credential.public_key().spki()));
            }),
            Reason::kClientDataChallenge);
  EXPECT_EQ(Why([](Enrolment& e) { e.client_type = "webauthn.get"; }), Reason::kClientDataType);
  EXPECT_EQ(Why([](Enrolment& e) { e.token.rp_id = "other.test"; }), Reason::kRpIdMismatch);
  EXPECT_EQ(Why([](Enrolment& e) { e.token.flags = 0x40; }), Reason::kUserNotPresent);
}

TEST_F(Fido2EnrollmentTest, RefusesAKeyWhosePossessionIsNotProved) {
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.challenge = e.registration_challenge; }),
            Reason::kPossessionInvalid);
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.flags = 0x00; }), Reason::kPossessionInvalid);
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.rp_id = "other.test"; }),
            Reason::kPossessionInvalid);
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.type = "webauthn.create"; }),
            Reason::kPossessionInvalid);
  auto enrolment = Start();
  ASSERT_EQ(Begin(*enrolment), std::nullopt);
  Answer(*enrolment, vendor_);
  const SoftAssertion others =
      enrolment->possession.SignWithKey(SoftwareKey::Generate(Algorithm::kEs256));
  enrolment->proof.mutable_possession()->set_signature(others.signature);
  EXPECT_EQ(Send(*enrolment), Reason::kPossessionInvalid);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("signature-invalid"));
}

TEST_F(Fido2EnrollmentTest, RefusesAnotherKeyThanTheAttestedOne) {
  EXPECT_EQ(Why([](Enrolment& e) {
              e.proof.set_spki(SoftwareKey::Generate(Algorithm::kEs256).public_key().spki());
            }),
            Reason::kCredentialMismatch);
}

TEST_F(Fido2EnrollmentTest, RefusesACounterThatDoesNotGrow) {
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.sign_count = e.token.sign_count; }),
            Reason::kCounterRollback);
  EXPECT_EQ(Why([](Enrolment& e) { e.token.sign_count = e.possession.sign_count = 0; }),
            std::nullopt);
}

TEST_F(Fido2EnrollmentTest, RefusesMessagesWithoutTheKindsPart) {
  auto enrolment = Start();
  enrolment->opening.clear_fido2();
  EXPECT_EQ(Begin(*enrolment), Reason::kRequestMalformed);
  enrolment = Start();
  ASSERT_EQ(Begin(*enrolment), std::nullopt);
  Answer(*enrolment, vendor_);
  enrolment->proof.clear_fido2();
  EXPECT_EQ(Send(*enrolment), Reason::kRequestMalformed);
}

TEST_F(Fido2EnrollmentTest, BothSignaturesSayTheSameOfBackups) {
  fido2_.policy.allow_backup_eligible = true;
  StartGate();
  EXPECT_EQ(Why([](Enrolment& e) { e.token.flags |= 0x08; }), Reason::kPossessionInvalid);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("flags-invalid"));
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.flags |= 0x08; }), Reason::kPossessionInvalid);
}

TEST_F(Fido2EnrollmentTest, AConfigCanHaveClonesReportedInsteadOfRefused) {
  fido2_.refuse_clones = false;
  StartGate();
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.sign_count = e.token.sign_count; }), std::nullopt);
  EXPECT_EQ(Enrolled().sign_count, 7u);
}

TEST_F(Fido2EnrollmentTest, RefusesAVendorWhoseTimeIsOver) {
  clock_.StepWall(absl::Hours(24 * 365 * 20));
  StartGate();
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateExpired);
}

TEST_F(Fido2EnrollmentTest, RefusesWhatProvesNoHardwareUnlessTheConfigSaysOtherwise) {
  const auto self = [](Enrolment& e) { e.format = "self"; };
  const auto none = [](Enrolment& e) {
    e.format = "none";
    e.token.aaguid = std::string(16, '\0');
  };
  const auto eligible = [](Enrolment& e) {
    e.token.flags |= 0x08;
    e.possession.flags |= 0x08;
  };
  EXPECT_EQ(Why(self), Reason::kAttestationFormatRefused);
  EXPECT_EQ(Why(none), Reason::kAttestationFormatRefused);
  EXPECT_EQ(Why(eligible), Reason::kBackupEligible);
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), Reason::kCertificateUntrusted);
  fido2_.policy.allow_self = fido2_.policy.allow_none = true;
  fido2_.policy.allow_backup_eligible = true;
  StartGate();
  EXPECT_EQ(Why(self), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, HasSubstr("\"attestation_type\":\"self\""));
  EXPECT_EQ(Why(none), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, HasSubstr("\"attestation_type\":\"none\""));
  EXPECT_EQ(Why(eligible), std::nullopt);
}

TEST_F(Fido2EnrollmentTest, MarksWhatASimulatorsRootVouchesFor) {
  fido2_.insecure_simulators = true;
  fido2_.simulator_trust = folder_.File("sim");
  StartGate();
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, HasSubstr("\"insecure_simulator\":true"));
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, ::testing::Not(HasSubstr("insecure_simulator")));
}

TEST_F(Fido2EnrollmentTest, RefusesModelsByAaguid) {
  fido2_.policy.aaguid_deny = {"ABCDEFGHIJKLMNOP"};
  StartGate();
  EXPECT_EQ(Begin(*Start("ABCDEFGHIJKLMNOP")), Reason::kAaguidRefused) << "before any touch";
  EXPECT_EQ(Begin(*Start("short")), Reason::kRequestMalformed);
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kAaguidRefused) << "the attestation, not the hint";
  fido2_.policy.aaguid_deny = {};
  fido2_.policy.aaguid_allow = {"PONMLKJIHGFEDCBA"};
  StartGate();
  EXPECT_EQ(Begin(*Start("ABCDEFGHIJKLMNOP")), Reason::kAaguidRefused);
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kAaguidRefused);
  EXPECT_EQ(Why([](Enrolment& e) { e.token.aaguid = "PONMLKJIHGFEDCBA"; }), std::nullopt);
}

TEST_F(Fido2EnrollmentTest, RequiresUserVerificationOfBothSignatures) {
  fido2_.policy.require_user_verification = true;
  StartGate();
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kUserNotVerified);
  EXPECT_EQ(Why([](Enrolment& e) { e.token.flags |= 0x04; }), Reason::kPossessionInvalid);
  EXPECT_EQ(Why([](Enrolment& e) {
              EXPECT_TRUE(e.demand.fido2().user_verification());
              e.token.flags |= 0x04;
              e.possession.flags |= 0x04;
            }),
            std::nullopt);
}

// The format is kept, so that calls are judged by it.
TEST_F(Fido2EnrollmentTest, WhatAPlatformSaysOfItsUserIsNotWhatIsRequired) {
  const auto tpm = [](Enrolment& e) {
    e.format = "tpm";
    e.token.flags |= 0x04;
    e.possession.flags |= 0x04;
  };
  ASSERT_EQ(Why(tpm), std::nullopt) << audit_->decisions().back().detail;
  EXPECT_THAT(Enrolled().factors, ::testing::ElementsAre("fido2"));
  EXPECT_EQ(EnrolledFormat(Enrolled().proved_json), "tpm");
  fido2_.policy.require_user_verification = true;
  StartGate();
  EXPECT_EQ(Why(tpm), Reason::kUserNotVerified);
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("platform_user_verification"));
  const v1::RecheckCredentialsResponse looked =
      gate().admin().RecheckCredentials({}, "uid 0").value();
  ASSERT_EQ(looked.credentials_size(), 1) << "what was enrolled before";
  EXPECT_EQ(looked.credentials(0).reason(), "user-not-verified");
  EXPECT_FALSE(looked.credentials(0).withdrawn());
  fido2_.policy.platform_user_verification = true;
  StartGate();
  EXPECT_EQ(Why(tpm), std::nullopt);
}

TEST_F(Fido2EnrollmentTest, AGateThatTrustsNobodyEnrolsNone) {
  fido2_ = Fido2Config();
  StartGate();
  EXPECT_EQ(Begin(*Start()), Reason::kTokenKindNotAllowed);
}

TEST_F(Fido2EnrollmentTest, AnRpIdOfTheConfigIsPinned) {
  fido2_.rp_id = "login.example";
  StartGate();
  EXPECT_EQ(Why([](Enrolment& e) { e.possession.rp_id = "login.example"; }), std::nullopt);
  EXPECT_EQ(Enrolled().rp_id, "login.example");
  EXPECT_EQ(Enrolled().origin, absl::StrCat("forekey://", kAudience));
}

// ---- What the configuration names, loaded ----

class Fido2TrustTest : public Fido2EnrollmentTest {
 protected:
  // A BLOB, signed by `root`'s leaf.
  void WriteBlob(int number, const std::string& entries = "") {
    CertificateSpec leaf = vendor_.Spec("mds.fidoalliance.org", attestation_key_);
    leaf.basic_constraints = "critical,CA:FALSE";
    const auto encode = [](absl::string_view text) { return Base64UrlEncode(text); };
    const std::string head = encode(absl::StrCat(R"({"alg":"ES256","typ":"JWT","x5c":[")",
                                                 absl::Base64Escape(MakeDer(leaf)), "\"]}"));
    const std::string body =
        encode(absl::StrCat(R"({"legalHeader":"x","no":)", number,
                            R"(,"nextUpdate":"2026-12-01","entries":[)", entries, "]}"));
    const std::string der =
        SignWith(attestation_key_.get(), EVP_sha256(), absl::StrCat(head, ".", body));
    const unsigned char* at = U8(der);
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::string raw(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), U8(raw), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), U8(raw) + 32, 32);
    ECDSA_SIG_free(signature);
    WriteText(folder_.File("blob.jwt"), absl::StrCat(head, ".", body, ".", encode(raw)));
  }
  absl::Status Load() {
    Fido2Config config = fido2_;
    config.mds = folder_.File("blob.jwt");
    config.mds_root = folder_.File("roots") + "/root.der";
    return LoadFido2Trust(config, std::string(kAudience), folder_.File("state"), clock_).status();
  }
};

TEST_F(Fido2TrustTest, RefusesAMetadataBlobThatIsOlderThanTheLast) {
  WriteBlob(7);
  ASSERT_TRUE(Load().ok()) << Load();
  ASSERT_TRUE(Load().ok()) << "the same one again";
  WriteBlob(6);
  EXPECT_EQ(ReasonOf(Load()), Reason::kMetadataRollback);
  EXPECT_THAT(std::string(Load().message()), HasSubstr("attestation.fido2.mds: "));
  WriteBlob(8);
  EXPECT_TRUE(Load().ok());
  WriteText(folder_.File("state") + "/fido-mds.json", "{");
  EXPECT_EQ(Load().code(), absl::StatusCode::kDataLoss) << "a damaged history is no empty one";
}

TEST_F(Fido2TrustTest, ABlobOfARevokedSignerIsNotTaken) {
  WriteBlob(7);
  const std::string folder = folder_.File("mds-crls");
  fido2_.mds_crls = folder;
  EXPECT_THAT(std::string(Load().message()), HasSubstr("attestation.fido2.mds_crls"));
  std::filesystem::create_directories(folder);
  EXPECT_EQ(Load().code(), absl::StatusCode::kFailedPrecondition) << "an empty folder";
  const long serial = vendor_.Spec("", attestation_key_).serial;
  WriteText(folder + "/ca.crl", MakeCrlDer({vendor_, {serial + 1}}));
  EXPECT_TRUE(Load().ok()) << Load();
  WriteText(folder + "/ca.crl", MakeCrlDer({vendor_, {serial}}));
  EXPECT_EQ(ReasonOf(Load()), Reason::kCertificateRevoked);
  EXPECT_THAT(std::string(Load().message()), HasSubstr("attestation.fido2.mds: "));
}

// What it signed may be anybody's.
TEST_F(Fido2TrustTest, ASignerThatIsRevokedLaterEndsEnrolmentsAndTakesNothingAway) {
  WriteBlob(7);
  fido2_.mds = folder_.File("blob.jwt");
  fido2_.mds_root = folder_.File("roots") + "/root.der";
  fido2_.mds_crls = folder_.File("mds-crls");
  std::filesystem::create_directories(fido2_.mds_crls);
  const long serial = vendor_.Spec("", attestation_key_).serial;
  WriteText(fido2_.mds_crls + "/ca.crl", MakeCrlDer({vendor_, {serial + 1}}));
  StartGate();
  ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
  auto begun = Start();
  ASSERT_EQ(Begin(*begun), std::nullopt);
  WriteText(fido2_.mds_crls + "/ca.crl", MakeCrlDer({vendor_, {serial}}));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_THAT(audit_->decisions().back().detail,
              HasSubstr("the signer of the metadata is revoked"));
  Answer(*begun, vendor_);
  EXPECT_EQ(Send(*begun), Reason::kMetadataInvalid) << "begun before the list was there";
  auto next = Start();
  EXPECT_EQ(Begin(*next), Reason::kMetadataInvalid);
  const v1::RecheckCredentialsResponse looked =
      gate().admin().RecheckCredentials({}, "uid 0").value();
  ASSERT_EQ(looked.credentials_size(), 1);
  EXPECT_FALSE(looked.credentials(0).withdrawn()) << looked.credentials(0).detail();
  WriteText(fido2_.mds_crls + "/ca.crl", MakeCrlDer({vendor_, {serial + 1}}));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

TEST_F(Fido2TrustTest, AModelThatIsReportedAfterItsKeysWereEnrolledIsFoundAgain) {
  const auto entry = [&](const std::string& status) {
    return absl::StrCat(
        R"({"aaguid":"41424344-4546-4748-494a-4b4c4d4e4f50","metadataStatement":{)"
        R"("description":"A key","attestationTypes":["basic_full"],"attestationRootCertificates":[")",
        absl::Base64Escape(MakeDer(vendor_.CaSpec(vendor_))), R"("]},"statusReports":[{"status":")",
        status, R"(","effectiveDate":"2026-01-01"}],"timeOfLastStatusChange":"2026-01-01"})");
  };
  WriteBlob(7, entry("FIDO_CERTIFIED"));
  fido2_.mds = folder_.File("blob.jwt");
  fido2_.mds_root = folder_.File("roots") + "/root.der";
  StartGate();
  ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
  EXPECT_EQ(gate().admin().RecheckCredentials({}, "uid 0")->refused(), 0u)
      << "and its challenge is long used";
  WriteBlob(8, entry("REVOKED"));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("1 would be refused now"));
  const v1::RecheckCredentialsResponse looked =
      gate().admin().RecheckCredentials({}, "uid 0").value();
  ASSERT_EQ(looked.credentials_size(), 1);
  EXPECT_EQ(looked.credentials(0).reason(), "authenticator-status");
  EXPECT_TRUE(looked.credentials(0).withdrawn());
  EXPECT_FALSE(Enrolled().revoked_at.has_value()) << "reported alone";
}

TEST_F(Fido2TrustTest, AWrongClockTakesNoTrustAway) {
  fido2_.simulator_trust = fido2_.trust;
  for (const bool simulators : {false, true}) {
    if (simulators) {
      fido2_.trust.clear();
      fido2_.insecure_simulators = true;
    }
    StartGate();
    ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
    const absl::Time now = clock_.WallNow();
    for (const absl::Time wrong :
         {absl::FromUnixSeconds(86'400), absl::FromUnixSeconds(1'500'000'000),
          absl::FromUnixSeconds(4'000'000'000)}) {
      clock_.StepWall(wrong - clock_.WallNow());
      ASSERT_TRUE(gate().ReloadTrust().ok());
      const v1::RecheckCredentialsResponse looked =
          gate().admin().RecheckCredentials({}, "uid 0").value();
      for (const auto& credential : looked.credentials()) {
        EXPECT_FALSE(credential.withdrawn()) << credential.reason() << " " << credential.detail();
      }
      EXPECT_GE(looked.credentials_size(), 1);
    }
    clock_.StepWall(now - clock_.WallNow());
  }
}

TEST_F(Fido2TrustTest, AHistoryThatOthersMayWriteIsNone) {
  WriteBlob(7);
  ASSERT_TRUE(Load().ok()) << Load();
  const std::string history = folder_.File("state") + "/fido-mds.json";
  namespace fs = std::filesystem;
  EXPECT_EQ(fs::status(history).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  fs::permissions(history, fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(Load().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Fido2TrustTest, RefusesABlobWhoseSignersTimeIsOver) {
  WriteBlob(7);
  clock_.StepWall(absl::Hours(24 * 365 * 20));
  EXPECT_EQ(ReasonOf(Load()), Reason::kCertificateExpired);
}

TEST_F(Fido2TrustTest, TellsTheAuditLogHowOldTheMetadataIs) {
  WriteBlob(7);
  fido2_.mds = folder_.File("blob.jwt");
  fido2_.mds_root = folder_.File("roots") + "/root.der";
  StartGate();
  ASSERT_FALSE(audit_->decisions().empty());
  EXPECT_THAT(audit_->decisions().front().detail, HasSubstr("FIDO metadata number 7"));
  EXPECT_THAT(audit_->decisions().front().detail, HasSubstr("which is over: import it"));
}

TEST_F(Fido2TrustTest, NamesTheFolderThatHoldsNothing) {
  Fido2Config config;
  config.trust = folder_.File("empty");
  std::filesystem::create_directories(config.trust);
  const absl::Status status =
      LoadFido2Trust(config, std::string(kAudience), folder_.File("state"), clock_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("attestation.fido2.trust: "));
}

}  // namespace
}  // namespace forekey::testing
