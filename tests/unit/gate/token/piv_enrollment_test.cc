// SPDX-License-Identifier: Apache-2.0
// PIV enrolments against the real verifiers, with a card in software that has a vendor's
// attestation, and one that has an issuing CA's certificate: every reason for which a step is
// refused.
#include <chrono>
#include <filesystem>

#include "src/gate/token/piv_verifier.h"
#include "src/wire/invite.h"
#include "tests/support/crl_maker.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kYubico[] = "1.3.6.1.4.1.41482.3.";
constexpr char kHardwarePolicy[] = "1.2.3.4.7";
constexpr char kForekeyUsage[] = "1.2.3.4.99";

std::shared_ptr<EVP_PKEY> PivEvpOf(const SoftwareKey& key) {
  EVP_PKEY_up_ref(key.evp());
  return std::shared_ptr<EVP_PKEY>(key.evp(), EVP_PKEY_free);
}

// A list of `ca` with one serial number on it, of that time (and, unless said otherwise, good until
// 2030).
std::string RevokingDer(const TestCa& ca, long serial, time_t from = 1'700'000'000,
                        time_t to = 1'900'000'000) {
  return MakeCrlDer({ca, {serial}, from, to});
}

class PivEnrollmentTest : public GateFixture {
 protected:
  PivEnrollmentTest() {
    const auto folder = [this](const char* name, const char* file, const std::string& content) {
      std::filesystem::create_directories(folder_.File(name));
      WriteText(folder_.File(name) + "/" + file, content);
      return folder_.File(name);
    };
    piv_.trust = folder("roots", "root.der", MakeDer(vendor_.CaSpec(vendor_)));
    piv_.issuers = folder("issuers", "ca.der", MakeDer(agency_.CaSpec(agency_)));
    simulators_ = folder("sim", "root.der", MakeDer(simulator_.CaSpec(simulator_)));
    piv_.policy.weakness = PivWeakness::kRefuseRecoverable;
    StartGate();
  }
  GateConfig Config() override {
    GateConfig config = GateFixture::Config();
    config.tokens.Get<PivConfig>() = piv_;
    config.recheck = recheck_;
    return config;
  }
  // The gate again, with what was changed in piv_.
  void Restart() { StartGate(); }

  // One enrolment, to be spoilt between Begin() and Finish().
  struct Enrolment {
    std::optional<Invite> invite;
    X25519PrivateKey share = X25519PrivateKey::Generate();
    v1::EnrollmentOpening opening;
    v1::EnrollmentDemand demand;
    SoftwareKey key = SoftwareKey::Generate(Algorithm::kEs256);
    std::string slot = "9c";
    PivFirmware firmware{5, 7, 1};
    uint8_t pin_policy = 3, touch_policy = 2;
    uint8_t serial = 42;
    bool is_attestation = true;
    std::string usage = "1.3.6.1.5.5.7.3.2";      // of the certificate
    std::optional<SoftwareKey> attested, signer;  // in the place of `key`
    v1::EnrollmentProof proof;
  };

  std::unique_ptr<Enrolment> Start(uint32_t hint = 0) {
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
    opening.set_kind(v1::TOKEN_KIND_PIV);
    opening.mutable_piv()->set_slot(hint);
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
    return std::nullopt;
  }
  static std::string Statement(const Enrolment& enrolment, absl::string_view spki) {
    return BuildStatement(EnrollStatement{
        kAudience, enrolment.demand.enrollment_id(), enrolment.demand.subject(), v1::TOKEN_KIND_PIV,
        spki, enrolment.opening.channel_binding(), enrolment.opening.challenge()});
  }

  static std::string Octets(std::initializer_list<uint8_t> octets) {
    return std::string(octets.begin(), octets.end());
  }
  CertificateSpec SlotSpec(const Enrolment& enrolment) {
    CertificateSpec spec =
        f9_.Spec("YubiKey PIV Attestation " + enrolment.slot,
                 PivEvpOf(enrolment.attested ? *enrolment.attested : enrolment.key));
    const PivFirmware& firmware = enrolment.firmware;
    spec.extensions = {
        {std::string(kYubico) + "3", false,
         Octets({firmware.major, firmware.minor, firmware.patch})},
        {std::string(kYubico) + "7", false, Octets({2, 1, enrolment.serial})},
        {std::string(kYubico) + "8", false, Octets({enrolment.pin_policy, enrolment.touch_policy})},
        {std::string(kYubico) + "9", false, Octets({1})}};
    return spec;
  }
  CertificateSpec CardSpec(const Enrolment& enrolment) {
    CertificateSpec spec = agency_.Spec("Ada", PivEvpOf(enrolment.key));
    spec.key_usage = "critical,digitalSignature";
    spec.extended_key_usage = enrolment.usage;
    spec.extensions = {{"2.5.29.32", false, Octets({0x30, 8, 0x30, 6, 6, 4, 0x2a, 3, 4, 7})}};
    return spec;
  }
  void Answer(Enrolment& enrolment, const TestCa& root) {
    v1::PivEvidence* evidence = enrolment.proof.mutable_piv();
    evidence->set_is_attestation(enrolment.is_attestation);
    if (evidence->certificate().empty()) {
      evidence->set_certificate(
          MakeDer(enrolment.is_attestation ? SlotSpec(enrolment) : CardSpec(enrolment)));
    }
    if (evidence->intermediates().empty()) evidence->add_intermediates(MakeDer(f9_.CaSpec(root)));
    enrolment.proof.set_ticket(enrolment.demand.ticket());
    enrolment.proof.set_spki(enrolment.key.public_key().spki());
    const SoftwareKey& signer = enrolment.signer ? *enrolment.signer : enrolment.key;
    enrolment.proof.mutable_possession()->set_signature(
        signer.Sign(Statement(enrolment, enrolment.proof.spki())));
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
                            const TestCa* root = nullptr) {
    auto enrolment = Start();
    EXPECT_EQ(Begin(*enrolment), std::nullopt);
    change(*enrolment);
    Answer(*enrolment, root == nullptr ? vendor_ : *root);
    return Send(*enrolment);
  }
  CredentialRecord Enrolled() {
    const auto record = registry_->FindCredential(credential_id_);
    EXPECT_TRUE(record.ok()) << record.status();
    return record.ok() ? *record : CredentialRecord();
  }

  GateConfig::Recheck recheck_ = GateConfig::Recheck::kReport;
  PivConfig piv_;
  std::string simulators_;
  TestCa vendor_ = TestCa::New("Vendor PIV Root");
  TestCa simulator_ = TestCa::New("Simulators Root");
  TestCa agency_ = TestCa::New("Agency CA");
  TestCa f9_ = TestCa::New("Vendor PIV Attestation");
  std::string credential_id_;
};

TEST_F(PivEnrollmentTest, EnrolsAnAttestedKeyAndKeepsWhatWasProved) {
  auto enrolment = Start(0x9c);
  ASSERT_EQ(Begin(*enrolment), std::nullopt);
  const auto& slots = enrolment->demand.piv().slots();
  EXPECT_EQ(std::vector<uint32_t>(slots.begin(), slots.end()).size(), 21u);
  EXPECT_EQ(std::count(slots.begin(), slots.end(), 0x9cu), 1);
  EXPECT_EQ(std::count(slots.begin(), slots.end(), 0x9au), 0);
  Answer(*enrolment, vendor_);
  ASSERT_EQ(Send(*enrolment), std::nullopt) << audit_->decisions().back().detail;
  const CredentialRecord record = Enrolled();
  EXPECT_EQ(record.kind, 3);
  EXPECT_THAT(record.factors, ElementsAre("piv", "piv+pin", "piv+touch"));
  EXPECT_THAT(record.proved_json, HasSubstr("\"serial\":42"));
  EXPECT_THAT(record.proved_json, HasSubstr("\"proof\":\"attestation\""));
  EXPECT_THAT(record.proved_json, ::testing::Not(HasSubstr("insecure_simulator")));
}

TEST_F(PivEnrollmentTest, ClaimsPinAndTouchOnlyWhereTheyAreAlways) {
  ASSERT_EQ(Why([](Enrolment& e) {
              e.pin_policy = piv::kPinOnce;
              e.touch_policy = piv::kTouchCached;
            }),
            std::nullopt);
  EXPECT_THAT(Enrolled().factors, ElementsAre("piv"));
}

TEST_F(PivEnrollmentTest, RefusesSharedSlotsUnlessAllowed) {
  EXPECT_EQ(Begin(*Start(0x9a)), Reason::kPivSharedKey);
  EXPECT_EQ(Why([](Enrolment& e) { e.slot = "9a"; }), Reason::kPivSharedKey);
  EXPECT_EQ(Why([](Enrolment& e) { e.slot = "9e"; }), Reason::kPivSharedKey);
  piv_.policy.allow_shared = true;
  Restart();
  ASSERT_EQ(Why([](Enrolment& e) { e.slot = "9a"; }), std::nullopt);
  EXPECT_THAT(Enrolled().factors, ElementsAre("piv-shared"));
}

TEST_F(PivEnrollmentTest, RefusesAnotherKeyAndAKeyThatDidNotSign) {
  EXPECT_EQ(Why([](Enrolment& e) { e.attested = SoftwareKey::Generate(Algorithm::kEs256); }),
            Reason::kCredentialMismatch);
  EXPECT_EQ(Why([](Enrolment& e) { e.signer = SoftwareKey::Generate(Algorithm::kEs256); }),
            Reason::kPossessionInvalid);
  auto enrolment = Start();
  ASSERT_EQ(Begin(*enrolment), std::nullopt);
  Answer(*enrolment, vendor_);
  auto other = Start();
  ASSERT_EQ(Begin(*other), std::nullopt);
  other->key = std::move(enrolment->key);
  Answer(*other, vendor_);
  other->proof.mutable_possession()->set_signature(enrolment->proof.possession().signature());
  EXPECT_EQ(Send(*other), Reason::kPossessionInvalid);
  enrolment->proof.mutable_possession()->set_client_data_json("{}");
  EXPECT_EQ(Send(*enrolment), Reason::kPossessionInvalid);
}

TEST_F(PivEnrollmentTest, RefusesEvidenceThatIsNotTheVendors) {
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), Reason::kCertificateUntrusted);
  EXPECT_EQ(Why([this](Enrolment& e) {
              e.proof.mutable_piv()->set_certificate(MakeDer(f9_.CaSpec(vendor_)));
            }),
            Reason::kCertificateProfile);
  EXPECT_EQ(Why([](Enrolment& e) { e.proof.mutable_piv()->set_certificate("x"); }),
            Reason::kCertificateMalformed);
  EXPECT_EQ(Why([](Enrolment& e) {
              for (int i = 0; i < 9; ++i) e.proof.mutable_piv()->add_intermediates("x");
            }),
            Reason::kRequestMalformed);
  // An issuing CA's word is no attestation, and the reverse.
  EXPECT_EQ(Why([](Enrolment& e) { e.is_attestation = false; }), Reason::kPivSharedKey);
  EXPECT_EQ(
      Why([this](Enrolment& e) { e.proof.mutable_piv()->set_certificate(MakeDer(CardSpec(e))); }),
      Reason::kCertificateUntrusted);
}

TEST_F(PivEnrollmentTest, SaysWhichEvidenceItTakes) {
  const std::string trust = piv_.trust, issuers = piv_.issuers;
  for (const auto& [attestations, certificates] :
       {std::pair{true, true}, std::pair{true, false}, std::pair{false, true}}) {
    piv_.trust = attestations ? trust : "";
    piv_.issuers = certificates ? issuers : "";
    Restart();
    auto enrolment = Start(0x9c);
    ASSERT_EQ(Begin(*enrolment), std::nullopt);
    EXPECT_EQ(enrolment->demand.piv().attestations(), attestations);
    EXPECT_EQ(enrolment->demand.piv().certificates(), certificates);
  }
}

TEST_F(PivEnrollmentTest, RefusesWhatThePolicyDoesNotTake) {
  piv_.policy.slots = {0x82};
  piv_.policy.serial_deny = {43};
  piv_.policy.min_firmware = PivFirmware{5, 7, 0};
  piv_.policy.touch = PivPolicy::Touch::kAlways;
  Restart();
  const auto why = [this](const std::function<void(Enrolment&)>& change) {
    return Why([&change](Enrolment& e) {
      e.slot = "82";
      change(e);
    });
  };
  EXPECT_EQ(Begin(*Start(0x9c)), Reason::kPivSlotMismatch);
  EXPECT_EQ(why([](Enrolment& e) { e.slot = "9c"; }), Reason::kPivSlotMismatch);
  EXPECT_EQ(why([](Enrolment& e) { e.serial = 43; }), Reason::kDeviceNotPinned);
  EXPECT_EQ(why([](Enrolment& e) { e.firmware = {5, 4, 3}; }), Reason::kPivFirmware);
  EXPECT_EQ(why([](Enrolment& e) { e.touch_policy = piv::kTouchCached; }), Reason::kPivPolicy);
  EXPECT_EQ(why([](Enrolment&) {}), std::nullopt);
}

TEST_F(PivEnrollmentTest, RefusesFirmwareWhoseKeysCanBeComputed) {
  EXPECT_EQ(Why([](Enrolment& e) { e.firmware = {4, 4, 4}; }), Reason::kPivFirmware);
  EXPECT_EQ(Why([](Enrolment& e) { e.firmware = {5, 4, 3}; }), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, HasSubstr("YSA-2024-03"));
  piv_.policy.weakness = PivWeakness::kRefuseAll;
  Restart();
  EXPECT_EQ(Why([](Enrolment& e) { e.firmware = {5, 4, 3}; }), Reason::kPivFirmware);
}

TEST_F(PivEnrollmentTest, ACertificateIsCertUnlessItsPolicySaysHardware) {
  piv_.policy.dedicated_usages = {kForekeyUsage};
  Restart();
  const auto card = [](Enrolment& e) {
    e.is_attestation = false;
    e.usage = kForekeyUsage;
  };
  ASSERT_EQ(Why(card), std::nullopt) << audit_->decisions().back().detail;
  EXPECT_THAT(Enrolled().factors, ElementsAre("cert"));
  piv_.policy.hardware_policies = {kHardwarePolicy};
  Restart();
  ASSERT_EQ(Why(card), std::nullopt);
  EXPECT_THAT(Enrolled().factors, ElementsAre("piv"));
  piv_.policy.hardware_policies = {"1.2.3.4.8"};
  piv_.policy.hardware_only = true;
  Restart();
  EXPECT_EQ(Why(card), Reason::kCertificatePolicy);
}

TEST_F(PivEnrollmentTest, EvidenceThatNothingIsTrustedForIsRefused) {
  piv_.issuers.clear();
  Restart();
  EXPECT_EQ(Why([](Enrolment& e) { e.is_attestation = false; }), Reason::kAttestationFormatRefused);
}

TEST_F(PivEnrollmentTest, AnAttestationWithoutAnyVendorsRootIsRefused) {
  piv_.trust.clear();
  Restart();
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kAttestationFormatRefused);
}

TEST_F(PivEnrollmentTest, RefusesStepsWithoutTheCardsPart) {
  auto opening = Start();
  opening->opening.clear_piv();
  EXPECT_EQ(Begin(*opening), Reason::kRequestMalformed);
  auto proof = Start();
  ASSERT_EQ(Begin(*proof), std::nullopt);
  Answer(*proof, vendor_);
  proof->proof.clear_piv();
  EXPECT_EQ(Send(*proof), Reason::kRequestMalformed);
}

TEST_F(PivEnrollmentTest, AHintIsAnOctet) {
  EXPECT_EQ(Begin(*Start(0x19c)), Reason::kRequestMalformed) << "not 9c";
  EXPECT_EQ(Begin(*Start(0x100)), Reason::kRequestMalformed);
  EXPECT_EQ(Begin(*Start(0xff)), Reason::kPivSharedKey) << "one, of no slot that is taken";
}

TEST_F(PivEnrollmentTest, IntermediatesThatAreNoneAreIgnoredUpToEight) {
  const auto why = [this](int garbage) {
    return Why([this, garbage](Enrolment& e) {
      v1::PivEvidence* evidence = e.proof.mutable_piv();
      for (int i = 0; i < garbage; ++i) evidence->add_intermediates("x");
      evidence->add_intermediates(MakeDer(f9_.CaSpec(vendor_)));
    });
  };
  EXPECT_EQ(why(7), std::nullopt);
  EXPECT_EQ(why(8), Reason::kRequestMalformed);
}

TEST_F(PivEnrollmentTest, RefusesAuthenticatorDataBesideACardsSignature) {
  auto enrolment = Start();
  ASSERT_EQ(Begin(*enrolment), std::nullopt);
  Answer(*enrolment, vendor_);
  enrolment->proof.mutable_possession()->set_authenticator_data("x");
  EXPECT_EQ(Send(*enrolment), Reason::kPossessionInvalid);
}

TEST_F(PivEnrollmentTest, ListsOfTheFolderRevoke) {
  piv_.crls = folder_.File("crls");
  std::filesystem::create_directories(piv_.crls);
  WriteText(piv_.crls + "/vendor.crl", RevokingDer(vendor_, vendor_.CaSpec(vendor_).serial));
  Restart();
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
  WriteText(piv_.crls + "/vendor.crl", RevokingDer(vendor_, 4711));
  Restart();
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

TEST_F(PivEnrollmentTest, NamesTheListThatIsNone) {
  piv_.crls = folder_.File("crls");
  EXPECT_THAT(std::string(LoadPivTrust(piv_).status().message()), HasSubstr("attestation.piv.crls"))
      << "no such folder";
  std::filesystem::create_directories(piv_.crls);
  EXPECT_EQ(LoadPivTrust(piv_).status().code(), absl::StatusCode::kFailedPrecondition);
  WriteText(piv_.crls + "/good.crl", RevokingDer(vendor_, 1));
  EXPECT_TRUE(LoadPivTrust(piv_).ok());
  WriteText(piv_.crls + "/bad.crl", "x");
  WriteText(piv_.crls + "/large.crl", "");
  std::filesystem::resize_file(piv_.crls + "/large.crl", (64 << 20) + 1);
  std::filesystem::rename(piv_.crls + "/bad.crl", folder_.File("bad.crl"));
  EXPECT_THAT(std::string(LoadPivTrust(piv_).status().message()), HasSubstr("large.crl"));
  std::filesystem::remove(piv_.crls + "/large.crl");
  std::filesystem::rename(folder_.File("bad.crl"), piv_.crls + "/bad.crl");
  const absl::Status status = LoadPivTrust(piv_).status();
  EXPECT_EQ(ReasonOf(status), Reason::kCrlInvalid);
  EXPECT_THAT(std::string(status.message()), HasSubstr("bad.crl"));
}

TEST_F(PivEnrollmentTest, ADeltaBesideTheCompleteListStopsTheLoad) {
  piv_.crls = folder_.File("crls");
  std::filesystem::create_directories(piv_.crls);
  WriteText(piv_.crls + "/CA.crl", RevokingDer(vendor_, 4711));
  CrlSpec delta{vendor_, {4712}};
  delta.extensions = {{"2.5.29.27", true, std::string("\x02\x01\x01", 3)}};
  WriteText(piv_.crls + "/CA+.crl", MakeCrlDer(delta));
  const absl::Status status = LoadPivTrust(piv_).status();
  EXPECT_EQ(ReasonOf(status), Reason::kCrlInvalid);
  EXPECT_THAT(std::string(status.message()), HasSubstr("attestation.piv.crls: CA+.crl: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("a delta list"));
}

// Root, two intermediates that cards don't hold, F9, slot: as Yubico has it from firmware 5.7.4 on.
class PivIntermediatesTest : public PivEnrollmentTest {
 protected:
  PivIntermediatesTest() { Trust({Ca(root_, root_, 3)}); }
  static std::string Ca(const TestCa& ca, const TestCa& issuer, int below) {
    CertificateSpec spec = ca.CaSpec(issuer);
    spec.basic_constraints = absl::StrCat("critical,CA:TRUE,pathlen:", below);
    spec.not_after = absl::InfiniteFuture();
    return MakeDer(spec);
  }
  void Trust(const std::vector<std::string>& certificates) {
    std::filesystem::remove_all(piv_.trust);
    std::filesystem::create_directories(piv_.trust);
    for (size_t i = 0; i < certificates.size(); ++i) {
      WriteText(absl::StrCat(piv_.trust, "/", i, ".der"), certificates[i]);
    }
    Restart();
  }
  // Why a card is refused whose agent sends these besides the slot's certificate.
  std::optional<Reason> Sending(const std::vector<std::string>& intermediates) {
    return Why([&](Enrolment& e) {
      e.firmware = {5, 7, 4};
      for (const std::string& der : intermediates) e.proof.mutable_piv()->add_intermediates(der);
    });
  }
  TestCa root_ = TestCa::New("Vendor Attestation Root 1");
  TestCa middle_ = TestCa::New("Vendor Attestation Intermediate B 1");
  TestCa piv_ca_ = TestCa::New("Vendor PIV Attestation B 1");
  const std::string f9_der_ = Ca(f9_, piv_ca_, 0);
  const std::string piv_ca_der_ = Ca(piv_ca_, middle_, 1);
  const std::string middle_der_ = Ca(middle_, root_, 2);
};

TEST_F(PivIntermediatesTest, CountWhetherTheGateHasThemOrTheClientSendsThem) {
  EXPECT_EQ(Sending({f9_der_}), Reason::kCertificateUntrusted);
  EXPECT_EQ(Sending({f9_der_, piv_ca_der_}), Reason::kCertificateUntrusted);
  ASSERT_EQ(Sending({middle_der_, f9_der_, piv_ca_der_}), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, HasSubstr("CN=Vendor Attestation Root 1"));
  const std::string device = Enrolled().device_id;
  // With some of them, then all, beside the root; at last without the root.
  Trust({Ca(root_, root_, 3), middle_der_});
  EXPECT_EQ(Sending({f9_der_}), Reason::kCertificateUntrusted);
  ASSERT_EQ(Sending({f9_der_, piv_ca_der_}), std::nullopt);
  EXPECT_EQ(Enrolled().device_id, device);
  Trust({Ca(root_, root_, 3), middle_der_, piv_ca_der_});
  ASSERT_EQ(Sending({f9_der_}), std::nullopt);
  EXPECT_EQ(Enrolled().device_id, device) << "one card, whatever the folder holds";
  Trust({piv_ca_der_});
  ASSERT_EQ(Sending({f9_der_}), std::nullopt);
  EXPECT_EQ(Enrolled().device_id, device);
}

TEST_F(PivIntermediatesTest, AnIntermediateOfAnotherKeyHelpsNobody) {
  TestCa forged = TestCa::New(piv_ca_.name);
  EXPECT_EQ(Sending({middle_der_, Ca(forged, middle_, 1), f9_der_}),
            Reason::kCertificateSignatureInvalid);
  // The true one beside it does.
  EXPECT_EQ(Sending({Ca(forged, middle_, 1), middle_der_, f9_der_, piv_ca_der_}), std::nullopt);
}

TEST_F(PivIntermediatesTest, OneMoreCaThanIsAllowedIsRefused) {
  TestCa extra = TestCa::New("Vendor Extra");
  EXPECT_EQ(Sending({middle_der_, piv_ca_der_, Ca(extra, piv_ca_, 1), Ca(f9_, extra, 0)}),
            Reason::kCertificateNotCa);
}

TEST_F(PivIntermediatesTest, AnF9ThatIsTrustedItselfIsAVendorOfItsOwn) {
  Trust({f9_der_});
  ASSERT_EQ(Sending({piv_ca_der_}), std::nullopt);
  EXPECT_EQ(Enrolled().device_id.size(), 32u);
}

// What is read while the gate runs.
class PivReloadTest : public PivEnrollmentTest {
 protected:
  PivReloadTest() {
    piv_.crls = folder_.File("crls");
    std::filesystem::create_directories(piv_.crls);
    WriteList("vendor.crl", RevokingDer(vendor_, 4711));
    Restart();
  }
  void WriteList(const std::string& name, const std::string& bytes) {
    WriteText(piv_.crls + "/" + name, bytes);
  }
  long VendorsF9() {
    return vendor_.CaSpec(vendor_).serial;
  }  // of the certificate that Answer() sends
  // Reloading is refused, said with these words, and what was read before is in force.
  void StaysAsItWas(absl::string_view words) {
    const absl::Status status = gate().ReloadTrust();
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
    const Decision last = audit_->decisions().back();
    EXPECT_EQ(last.method, "ReloadTrust");
    EXPECT_FALSE(last.admitted);
    EXPECT_THAT(last.detail, HasSubstr("attestation.piv: what was read before stays: "));
    EXPECT_THAT(last.detail, HasSubstr(words));
  }
};

TEST_F(PivReloadTest, ANewListCountsFromTheNextEnrolmentOn) {
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  auto begun = Start();
  ASSERT_EQ(Begin(*begun), std::nullopt);
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  const Decision last = audit_->decisions().back();
  EXPECT_TRUE(last.admitted);
  EXPECT_THAT(last.detail,
              HasSubstr("attestation.piv read again: 1 certificates of vendors, 1 of issuing "
                        "CAs, 0 of simulators, 1 revocation lists"));
  Answer(*begun, vendor_);
  EXPECT_EQ(Send(*begun), Reason::kCertificateRevoked) << "begun before the list was there";
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
}

TEST_F(PivReloadTest, WhatIsEnrolledIsCheckedAgainAndReported) {
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  gate().recheck().RecheckWanted();
  EXPECT_THAT(audit_->decisions().back().detail,
              HasSubstr("1 enrolled credentials checked again: 0 would"));
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  const size_t lines = audit_->decisions().size();
  gate().recheck().RecheckWanted();
  ASSERT_EQ(audit_->decisions().size(), lines + 2);
  const Decision told = audit_->decisions()[lines];
  EXPECT_EQ(told.method, "RecheckCredentials");
  EXPECT_EQ(told.reason, Reason::kCertificateRevoked);
  EXPECT_EQ(told.subject, "ada");
  EXPECT_EQ(told.credential_ids.size(), 1u);
  EXPECT_THAT(told.detail, HasSubstr("its trust was withdrawn, and it stays good"));
  const auto kept = registry_->ListCredentials("ada").value();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_FALSE(kept[0].revoked_at.has_value());
  gate().recheck().RecheckWanted();
  EXPECT_EQ(audit_->decisions().size(), lines + 2) << "nothing changed";
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_EQ(audit_->decisions().size(), lines + 4) << "told once: the reload and the sum alone";
  // An administrator hears it as often as they ask, and decides.
  v1::RecheckCredentialsRequest request;
  auto looked = gate().admin().RecheckCredentials(request, "uid 0");
  ASSERT_TRUE(looked.ok()) << looked.status();
  ASSERT_EQ(looked->credentials_size(), 1);
  EXPECT_EQ(looked->credentials(0).reason(), "certificate-revoked");
  EXPECT_TRUE(looked->credentials(0).withdrawn());
  EXPECT_FALSE(looked->credentials(0).revoked());
  request.set_revoke(true);
  looked = gate().admin().RecheckCredentials(request, "uid 0");
  ASSERT_TRUE(looked.ok()) << looked.status();
  EXPECT_TRUE(looked->credentials(0).revoked());
  EXPECT_TRUE(registry_->FindCredential(kept[0].id)->revoked_at.has_value());
  EXPECT_EQ(gate().admin().RecheckCredentials(request, "uid 0")->checked(), 0u);
}

TEST_F(PivReloadTest, WithdrawnTrustRevokesWhereTheConfigurationSaysSoAndWhatCantBeToldNever) {
  recheck_ = GateConfig::Recheck::kRevoke;
  piv_.policy.allow_shared = true;  // the agency's
  Restart();
  EXPECT_EQ(Why([](Enrolment& e) { e.is_attestation = false; }), Reason::kCrlInvalid);
  WriteList("agency.crl", RevokingDer(agency_, 4711));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment& e) { e.is_attestation = false; }), std::nullopt);
  EXPECT_EQ(Why([](Enrolment& e) { e.serial = 43; }), std::nullopt);
  const auto revoked = [&] {
    int count = 0;
    const std::vector<CredentialRecord> records = registry_->ListCredentials("ada").value();
    for (const CredentialRecord& record : records) {
      count += record.revoked_at.has_value();
    }
    return count;
  };
  // The issuer's list has run out: nobody can tell.
  clock_.StepWall(absl::FromTimeT(1'900'000'001) - clock_.WallNow());
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_EQ(revoked(), 0);
  v1::RecheckCredentialsResponse looked = gate().admin().RecheckCredentials({}, "uid 0").value();
  EXPECT_EQ(looked.checked(), 2u);
  for (const auto& credential : looked.credentials())
    EXPECT_FALSE(credential.withdrawn()) << credential.reason();
  clock_.StepWall(absl::FromTimeT(1'800'000'000) - clock_.WallNow());
  // The vendor's root is taken out: its cards are not trusted any more.
  WriteText(piv_.trust + "/root.der", MakeDer(simulator_.CaSpec(simulator_)));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_EQ(revoked(), 1);
  EXPECT_EQ(gate().admin().RecheckCredentials({}, "uid 0")->checked(), 1u) << "the agency's card";
}

// The list of a bundle, which lies beside the folder of trust, counts from the reload on.
TEST_F(PivReloadTest, AListOfFirmwareIsAskedAtEnrolmentsAndOfWhatIsEnrolled) {
  recheck_ = GateConfig::Recheck::kRevoke;
  Restart();
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  const std::string list = folder_.File("firmware.list");
  WriteText(list, "forekey-firmware-list 1\npiv yubikey least 5.7.2 : ours\n");
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("1 lines on firmware"));
  EXPECT_EQ(Why([](Enrolment& e) { e.serial = 43; }), Reason::kFirmwareTooOld);
  const std::string why = audit_->decisions().back().detail;
  EXPECT_THAT(why, HasSubstr("it is 5.7.1"));
  EXPECT_THAT(why, HasSubstr("piv yubikey least 5.7.2 : ours"));
  EXPECT_THAT(why, HasSubstr("enrol a newer one"));
  // A least version is a policy: what is enrolled is told, and stays.
  gate().recheck().RecheckWanted();
  v1::RecheckCredentialsResponse looked = gate().admin().RecheckCredentials({}, "uid 0").value();
  ASSERT_EQ(looked.credentials_size(), 1);
  EXPECT_EQ(looked.credentials(0).reason(), "firmware-too-old");
  EXPECT_FALSE(looked.credentials(0).withdrawn());
  EXPECT_FALSE(registry_->FindCredential(credential_id_)->revoked_at.has_value());
  // What the organisation calls weak has lost its trust.
  WriteText(list, "forekey-firmware-list 1\npiv yubikey weak 5.7.1\n");
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_TRUE(registry_->FindCredential(credential_id_)->revoked_at.has_value());
  EXPECT_EQ(Why([](Enrolment& e) { e.serial = 43; }), Reason::kFirmwareWeak);
}

TEST_F(PivReloadTest, AListOfFirmwareIsNotGivenUpByAccident) {
  const std::string list = folder_.File("firmware.list"), bundle = folder_.File("bundle.json");
  WriteText(list, "forekey-firmware-list 1\npiv yubikey weak 5.7.1\n");
  ASSERT_TRUE(gate().ReloadTrust().ok());
  WriteText(list, "forekey-firmware-list 1\npiv yubikey weak 5.7.1 rsa or so\n");
  StaysAsItWas("line 2");
  std::filesystem::remove(list);
  StaysAsItWas("firmware.list is gone");
  WriteText(bundle, R"({"number": 1, "sha256": "", "files": ["piv/a.pem", "firmware.list"]})");
  StaysAsItWas("the bundle that was applied has it");
  WriteText(bundle, "{");
  StaysAsItWas("bundle.json is damaged");
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kFirmwareWeak);
  // A bundle that has none takes it away: it is newer, and signed.
  WriteText(bundle, R"({"number": 2, "sha256": "", "files": ["piv/a.pem"]})");
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("no list of firmware"));
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

// A gate that starts while a CA's file can't be read must not take away what that CA vouches for.
TEST_F(PivReloadTest, AFileThatCantBeReadAtTheStartRevokesNobody) {
  recheck_ = GateConfig::Recheck::kRevoke;
  WriteText(piv_.trust + "/another.der", MakeDer(simulator_.CaSpec(simulator_)));
  Restart();
  ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
  WriteText(piv_.trust + "/root.der", "half a certifi");
  Restart();
  gate().recheck().RecheckWanted();
  EXPECT_FALSE(Enrolled().revoked_at.has_value());
  const std::vector<Decision>& told = audit_->decisions();
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told[told.size() - 2].reason, Reason::kCertificateUntrusted);
  EXPECT_THAT(told[told.size() - 2].detail,
              HasSubstr("was not read whole, and it stays good (left out: "
                        "attestation.piv.trust: root.der"));
  v1::RecheckCredentialsRequest request;
  request.set_revoke(true);
  const auto looked = gate().admin().RecheckCredentials(request, "uid 0");
  ASSERT_TRUE(looked.ok()) << looked.status();
  ASSERT_EQ(looked->credentials_size(), 1);
  EXPECT_FALSE(looked->credentials(0).revoked());
  EXPECT_THAT(looked->credentials(0).detail(), HasSubstr("root.der"));
  // Mended, or taken out: then it is told for certain.
  WriteText(piv_.trust + "/root.der", MakeDer(vendor_.CaSpec(vendor_)));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_FALSE(Enrolled().revoked_at.has_value());
  std::filesystem::remove(piv_.trust + "/root.der");
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_TRUE(Enrolled().revoked_at.has_value());
}

// What an authority says does not depend on the file that is missing.
TEST_F(PivReloadTest, ARevocationListRevokesAlsoWhereAFileWasLeftOut) {
  recheck_ = GateConfig::Recheck::kRevoke;
  WriteText(piv_.trust + "/README", "roots of our cards");
  Restart();
  ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  gate().recheck().RecheckWanted();
  EXPECT_TRUE(Enrolled().revoked_at.has_value());
}

// Whoever sets the clock must not take everybody's credentials away.
TEST_F(PivReloadTest, AWrongClockTakesNoTrustAway) {
  recheck_ = GateConfig::Recheck::kRevoke;
  const absl::Time now = clock_.WallNow();
  for (const bool simulators : {false, true}) {
    if (simulators) {
      piv_.trust.clear();
      piv_.issuers.clear();
      piv_.simulator_trust = simulators_;
      piv_.insecure_simulators = true;
    }
    Restart();
    ASSERT_EQ(Why([](Enrolment&) {}, simulators ? &simulator_ : &vendor_), std::nullopt);
    for (const absl::Time wrong :
         {absl::FromUnixSeconds(86'400), absl::FromUnixSeconds(1'500'000'000),
          absl::FromUnixSeconds(4'000'000'000)}) {
      clock_.StepWall(wrong - clock_.WallNow());
      ASSERT_TRUE(gate().ReloadTrust().ok());
      gate().recheck().RecheckWanted();
      const v1::RecheckCredentialsResponse looked =
          gate().admin().RecheckCredentials({}, "uid 0").value();
      for (const auto& credential : looked.credentials()) {
        EXPECT_FALSE(credential.withdrawn()) << credential.reason() << " " << credential.detail();
      }
      EXPECT_GE(looked.credentials_size(), 1);
      EXPECT_FALSE(Enrolled().revoked_at.has_value());
    }
    clock_.StepWall(now - clock_.WallNow());
  }
}

TEST_F(PivReloadTest, AChangedListIsReadOnceItHasSettled) {
  gate().maintenance().Once();
  gate().maintenance().Once();
  const size_t lines = audit_->decisions().size();
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  gate().maintenance().Once();
  EXPECT_EQ(audit_->decisions().size(), lines) << "it may be half written";
  gate().maintenance().Once();
  EXPECT_EQ(audit_->decisions().back().method, "ReloadTrust");
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
  const size_t after = audit_->decisions().size();
  gate().maintenance().Once();
  gate().maintenance().Once();
  EXPECT_EQ(audit_->decisions().size(), after) << "once a change";
}

// A disk that is full for a moment must not leave a CA trusted until somebody touches its file.
TEST_F(PivReloadTest, AChangeThatCouldNotBeWrittenDownIsTakenOnceItCan) {
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  audit_->FailWith(absl::UnavailableError("disk full"));
  gate().maintenance().Once();
  gate().maintenance().Once();
  audit_->FailWith(absl::OkStatus());
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt) << "it is not in force yet";
  gate().maintenance().Once();
  EXPECT_EQ(audit_->decisions().back().method, "ReloadTrust");
  EXPECT_TRUE(audit_->decisions().back().admitted);
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
}

TEST_F(PivReloadTest, WhatStaysBrokenIsToldOnce) {
  WriteList("vendor.crl", "x");
  const size_t lines = audit_->decisions().size();
  for (int looks = 0; looks < 10; ++looks) gate().maintenance().Once();
  ASSERT_EQ(audit_->decisions().size(), lines + 1);
  EXPECT_FALSE(audit_->decisions().back().admitted);
}

TEST_F(PivReloadTest, ABrokenMissingForgedOrOlderListKeepsTheOldOne) {
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  WriteList("vendor.crl", "x");
  StaysAsItWas("vendor.crl");
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
  std::filesystem::remove(piv_.crls + "/vendor.crl");
  StaysAsItWas("holds no revocation list");
  // The list of another is none of the vendor's.
  WriteList("agency.crl", RevokingDer(agency_, 1));
  StaysAsItWas("no list of \"CN=Vendor PIV Root\" is there that verifies and is no older");
  // Neither is one that says so, by another key.
  TestCa forger = TestCa::New("Vendor PIV Root");
  WriteList("vendor.crl", RevokingDer(forger, 4711, 1'700'000'002));
  StaysAsItWas("no list of \"CN=Vendor PIV Root\"");
  WriteList("vendor.crl", RevokingDer(vendor_, 4711, 1'700'000'000));
  StaysAsItWas("no list of \"CN=Vendor PIV Root\"");
  // The folder itself.
  std::filesystem::rename(piv_.crls, piv_.crls + ".away");
  StaysAsItWas("attestation.piv.crls");
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
  std::filesystem::rename(piv_.crls + ".away", piv_.crls);
  WriteList("vendor.crl", RevokingDer(vendor_, 4711, 1'700'000'001));
  EXPECT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

TEST_F(PivReloadTest, AListThatRanOutRefusesForThatReasonUntilAnewerOneIsThere) {
  const time_t now = absl::ToTimeT(clock_.WallNow());
  WriteList("vendor.crl", RevokingDer(vendor_, 4711, now - 100, now + 100));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  clock_.Advance(absl::Seconds(200));
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCrlExpired);
  WriteList("vendor.crl", RevokingDer(vendor_, 4711, now + 150, now + 10'000));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

TEST_F(PivReloadTest, RootsThatComeAndGo) {
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), Reason::kCertificateUntrusted);
  WriteText(piv_.trust + "/another.der", MakeDer(simulator_.CaSpec(simulator_)));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  WriteText(piv_.trust + "/another.der", "half a certifi");
  StaysAsItWas("another.der");
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  std::filesystem::remove(piv_.trust + "/another.der");
  ASSERT_TRUE(gate().ReloadTrust().ok()) << "taking a root away is no mistake";
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), Reason::kCertificateUntrusted);
  std::filesystem::remove(piv_.trust + "/root.der");
  StaysAsItWas("holds no certificate");
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

// Links are made anew now and then, and lead nowhere for a moment.
TEST_F(PivReloadTest, ALinkThatLeadsNowhereIsNoRootThatWasTakenOut) {
  const std::string store = folder_.File("another.der"), link = piv_.trust + "/another.der";
  WriteText(store, MakeDer(simulator_.CaSpec(simulator_)));
  std::filesystem::create_symlink(store, link);
  ASSERT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  std::filesystem::rename(store, store + ".away");
  StaysAsItWas("another.der");
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  std::filesystem::rename(store + ".away", store);
  EXPECT_TRUE(gate().ReloadTrust().ok());
  std::filesystem::remove(link);
  ASSERT_TRUE(gate().ReloadTrust().ok()) << "the link itself is gone";
  EXPECT_EQ(Why([](Enrolment&) {}, &simulator_), Reason::kCertificateUntrusted);
  std::filesystem::create_symlink(folder_.File("none"), piv_.crls + "/another.crl");
  StaysAsItWas("another.crl");
}

TEST_F(PivReloadTest, AMarkFromBeforeTheLastChangeSaysNothing) {
  const std::string mark = piv_.trust + "/.emptied";
  WriteText(mark, "");
  // It was emptied an hour ago; then somebody brought a root by hand, and now it is gone.
  std::filesystem::last_write_time(mark,
                                   std::filesystem::last_write_time(mark) - std::chrono::hours(1));
  ASSERT_TRUE(gate().ReloadTrust().ok());
  std::filesystem::remove(piv_.trust + "/root.der");
  StaysAsItWas("touch ");
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  // Whoever means it says so again.
  std::filesystem::last_write_time(mark, std::filesystem::last_write_time(piv_.trust));
  EXPECT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateUntrusted);
}

TEST_F(PivReloadTest, AFolderThatWasEmptiedOnPurposeTrustsNobody) {
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  std::filesystem::remove(piv_.trust + "/root.der");
  StaysAsItWas("holds no certificate");
  WriteText(piv_.trust + "/.emptied", "");  // what `forekey trust` leaves
  EXPECT_TRUE(gate().ReloadTrust().ok());
  EXPECT_THAT(audit_->decisions().back().detail, HasSubstr("0 certificates of vendors"));
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateUntrusted);
  const auto looked = gate().admin().RecheckCredentials({}, "uid 0");
  ASSERT_TRUE(looked.ok()) << looked.status();
  ASSERT_EQ(looked->credentials_size(), 1);
  EXPECT_TRUE(looked->credentials(0).withdrawn());
  Restart();  // a gate that starts then says so, and starts
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateUntrusted);
  // It is no licence for a file that may be a certificate some day.
  WriteText(piv_.trust + "/half.der", "half a certifi");
  StaysAsItWas("half.der");
}

TEST_F(PivReloadTest, AnEmptiedFolderMayHoldWhatNeverWasACertificate) {
  WriteText(piv_.trust + "/README", "roots of our cards");
  Restart();
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
  std::filesystem::remove(piv_.trust + "/root.der");
  WriteText(piv_.trust + "/.emptied", "");
  EXPECT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateUntrusted);
  Restart();
  EXPECT_THAT(audit_->decisions().back().detail,
              HasSubstr("left out: attestation.piv.trust: README"));
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateUntrusted);
}

TEST_F(PivReloadTest, AFileThatNeverWasACertificateIsNamedAndStopsNothing) {
  WriteText(piv_.trust + "/README", "roots of our cards");
  Restart();
  EXPECT_THAT(audit_->decisions().back().detail,
              HasSubstr("left out: attestation.piv.trust: README"));
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  EXPECT_TRUE(gate().ReloadTrust().ok());
  EXPECT_EQ(Why([](Enrolment&) {}), Reason::kCertificateRevoked);
}

TEST_F(PivReloadTest, TrustThatCannotBeAuditedIsNotTaken) {
  WriteList("vendor.crl", RevokingDer(vendor_, VendorsF9(), 1'700'000'001));
  audit_->FailWith(absl::UnavailableError("disk full"));
  EXPECT_EQ(ReasonOf(gate().ReloadTrust()), Reason::kAuditUnavailable);
  audit_->FailWith(absl::OkStatus());
  EXPECT_EQ(Why([](Enrolment&) {}), std::nullopt);
}

TEST_F(PivEnrollmentTest, OneSerialNumberUnderTwoVendorsIsTwoCards) {
  WriteText(piv_.trust + "/other.der", MakeDer(simulator_.CaSpec(simulator_)));
  Restart();
  ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
  const std::string device = Enrolled().device_id;
  ASSERT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  EXPECT_NE(Enrolled().device_id, device);
}

TEST_F(PivEnrollmentTest, ASimulatorsKeyIsMarked) {
  piv_.simulator_trust = simulators_;
  piv_.insecure_simulators = true;
  Restart();
  ASSERT_EQ(Why([](Enrolment&) {}, &simulator_), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, HasSubstr("\"insecure_simulator\":true"));
  EXPECT_EQ(Why([](Enrolment& e) { e.slot = "9d"; }, &simulator_), Reason::kPivSharedKey);
}

TEST_F(PivEnrollmentTest, ARealCardIsNotMarkedWhateverElseIsTrusted) {
  // Somebody put the vendor's root among the simulators', too.
  std::filesystem::copy_file(piv_.trust + "/root.der", simulators_ + "/vendor.der");
  piv_.simulator_trust = simulators_;
  piv_.insecure_simulators = true;
  Restart();
  ASSERT_EQ(Why([](Enrolment&) {}), std::nullopt);
  EXPECT_THAT(Enrolled().proved_json, ::testing::Not(HasSubstr("insecure_simulator")));
}

TEST_F(PivEnrollmentTest, ACardIsOneSubjectsAlone) {
  auto first = Start();
  ASSERT_EQ(Begin(*first), std::nullopt);
  Answer(*first, vendor_);
  ASSERT_EQ(Send(*first), std::nullopt);
  const std::string device = Enrolled().device_id;
  EXPECT_EQ(device.size(), 32u);
  ASSERT_EQ(Why([](Enrolment& e) { e.slot = "82"; }), std::nullopt);
  EXPECT_EQ(Enrolled().device_id, device);
  ASSERT_EQ(Why([](Enrolment& e) { e.serial = 7; }), std::nullopt);
  EXPECT_NE(Enrolled().device_id, device);
}

}  // namespace
}  // namespace forekey::testing
