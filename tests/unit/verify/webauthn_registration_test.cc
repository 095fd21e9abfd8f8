// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/verify/webauthn_registration.h"
#include "tests/support/hex.h"
#include "tests/support/roca_key.h"
#include "tests/support/status_matchers.h"
#include "tests/support/webauthn_maker.h"
#include "tests/support/webauthn_tpm_maker.h"

namespace forekey {
namespace {

using testing::AttestationObjectBytes;
using testing::CborArray;
using testing::CborBytes;
using testing::CborEntries;
using testing::CborInt;
using testing::CborMap;
using testing::CborText;
using testing::CertificateSpec;
using testing::ClientJson;
using testing::IsOk;
using testing::RefusedWith;
using testing::SignWith;
using testing::TestCa;
using testing::TestToken;

constexpr absl::string_view kAaguidOid = "1.3.6.1.4.1.45724.1.1.4";

class WebAuthnRegistrationTest : public ::testing::Test {
 protected:
  WebAuthnRegistrationTest() {
    leaf_ = testing::PackedLeafSpec(ca_, attestation_key_);
    client_ = ClientJson("webauthn.create", challenge_);
    anchors_.Add(testing::Make(ca_.CaSpec(ca_)));
  }

  std::string Signed() const { return absl::StrCat(token_.AuthData(), Sha256(client_)); }

  CborEntries Packed() const {
    return {{CborText("alg"), CborInt(alg_)},
            {CborText("sig"), CborBytes(SignWith(attestation_key_.get(), EVP_sha256(), Signed()))},
            {CborText("x5c"), CborArray({CborBytes(testing::MakeDer(leaf_))})}};
  }
  CborEntries Self() const {
    return {{CborText("alg"), CborInt(-7)},
            {CborText("sig"), CborBytes(token_.credential.Sign(Signed()))}};
  }
  std::string U2fSigned() const {
    EVP_PKEY* key = token_.credential.evp();
    return absl::StrCat(absl::string_view("\0", 1), Sha256(token_.rp_id), Sha256(client_),
                        token_.credential_id, "\x04", testing::EcCoordinate(key, "qx", 32),
                        testing::EcCoordinate(key, "qy", 32));
  }
  CborEntries U2f() const {
    return {
        {CborText("sig"), CborBytes(SignWith(attestation_key_.get(), EVP_sha256(), U2fSigned()))},
        {CborText("x5c"), CborArray({CborBytes(testing::MakeDer(leaf_))})}};
  }

  CborEntries Tpm() const {
    return testing::TpmStatement(leaf_, token_.credential.evp(), Signed());
  }

  absl::StatusOr<VerifiedAttestation> Verify(absl::string_view format,
                                             const CborEntries& statement) {
    return VerifyObject(AttestationObjectBytes(format, CborMap(statement), token_.AuthData()));
  }
  absl::StatusOr<VerifiedAttestation> VerifyObject(const std::string& object) {
    RegistrationOptions options;
    options.attestation_object = object;
    options.client_data_json = client_;
    options.challenge = challenge_;
    const RelyingParty party = RelyingParty::Of(testing::kTestRpId, testing::kTestOrigin);
    options.relying_party = &party;
    options.policy = policy_;
    options.anchors = use_anchors_ ? &anchors_ : nullptr;
    options.firmware = &firmware_;
    options.time = time_;
    return VerifyRegistration(options, &seen_);
  }

  std::string challenge_ = std::string(32, 'q');
  std::string client_;
  TestToken token_;
  TestCa ca_ = TestCa::New("Tokens Root");
  std::shared_ptr<EVP_PKEY> attestation_key_ = testing::NewEcKey();
  CertificateSpec leaf_;
  int64_t alg_ = -7;
  TrustAnchors anchors_;
  bool use_anchors_ = true;
  WebAuthnPolicy policy_;
  absl::Time time_ = absl::FromUnixSeconds(1'800'000'000);
  nlohmann::json seen_;
  FirmwareList firmware_;
};

// ---- What is proved ----

TEST_F(WebAuthnRegistrationTest, PackedProvesModelAndPath) {
  token_.flags = 0x45;
  const auto verified = Verify("packed", Packed());
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->kind(), v1::TOKEN_KIND_FIDO2);
  EXPECT_EQ(verified->key().spki(), token_.credential.public_key().spki());
  EXPECT_THAT(verified->factors(), ::testing::ElementsAre("fido2"));
  EXPECT_EQ(verified->device_id(), "");
  const nlohmann::json& proved = verified->proved();
  EXPECT_EQ(proved["format"], "packed");
  EXPECT_EQ(proved["attestation_type"], "basic");
  EXPECT_EQ(proved["aaguid"], "41424344-4546-4748-494a-4b4c4d4e4f50");
  EXPECT_EQ(proved["aaguid_proved"], true);
  EXPECT_EQ(proved["sign_count"], 7);
  EXPECT_EQ(proved["flags"]["uv"], true);
  EXPECT_EQ(proved["trust_path"].size(), 2u);
  EXPECT_EQ(proved["algorithm"], "ES256");
}

TEST_F(WebAuthnRegistrationTest, EveryCredentialAlgorithmMayBeAttested) {
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    const Algorithm algorithm = facts.algorithm;
    token_.credential = SoftwareKey::Generate(algorithm);
    EXPECT_THAT(Verify("packed", Packed()), IsOk()) << AlgorithmName(algorithm);
  }
}

TEST_F(WebAuthnRegistrationTest, SelfAndNoneProveNoModelAndAreRefusedByDefault) {
  EXPECT_THAT(Verify("packed", Self()), RefusedWith(Reason::kAttestationFormatRefused));
  EXPECT_THAT(Verify("none", {}), RefusedWith(Reason::kAttestationFormatRefused));
  policy_.allow_self = true;
  EXPECT_THAT(Verify("none", {}), RefusedWith(Reason::kAttestationFormatRefused));
  auto verified = Verify("packed", Self());
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["attestation_type"], "self");
  EXPECT_EQ(verified->proved()["aaguid_proved"], false);
  policy_.allow_self = false;
  policy_.allow_none = true;
  EXPECT_THAT(Verify("packed", Self()), RefusedWith(Reason::kAttestationFormatRefused));
  verified = Verify("none", {});
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["attestation_type"], "none");
}

TEST_F(WebAuthnRegistrationTest, U2fProvesTheKeyAndNothingThatItsSignatureDoesNotCover) {
  token_.flags = 0x45;
  token_.cose.clear();
  const auto verified = Verify("fido-u2f", U2f());
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["authenticator_data_signed"], false);
  EXPECT_EQ(verified->proved()["aaguid_proved"], false);
  policy_.require_user_verification = true;
  EXPECT_THAT(Verify("fido-u2f", U2f()), RefusedWith(Reason::kUserNotVerified));
  policy_.require_user_verification = false;
  policy_.aaguid_allow = {token_.aaguid};
  EXPECT_THAT(Verify("fido-u2f", U2f()), RefusedWith(Reason::kAaguidRefused));
}

TEST_F(WebAuthnRegistrationTest, AU2fKeyMayLackItsCurveAndLeavesMayLackTheirExtensions) {
  CborEntries cose = testing::CoseEntries(token_.credential.public_key());
  cose.erase(cose.begin() + 2);
  token_.cose = CborMap(cose);
  leaf_.basic_constraints.clear();
  leaf_.subject_fields.clear();
  EXPECT_THAT(Verify("fido-u2f", U2f()), IsOk());
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kEvidenceMalformed));
}

// The owner of a TPM has its AIK certify a key, and writes UP, UV and any model's AAGUID into what
// is hashed: there is no operating system in it, and no user.
TEST_F(WebAuthnRegistrationTest, ATpmsStatementProvesNoUserUnlessThePolicyBelievesThePlatform) {
  leaf_ = testing::AikLeafSpec(ca_, attestation_key_);
  token_.flags = 0x45;
  ASSERT_THAT(Verify("tpm", Tpm()), IsOk());
  policy_.require_user_verification = true;
  const auto refused = Verify("tpm", Tpm());
  EXPECT_THAT(refused, RefusedWith(Reason::kUserNotVerified));
  EXPECT_THAT(std::string(refused.status().message()),
              ::testing::HasSubstr("platform_user_verification"));
  policy_.platform_user_verification = true;
  EXPECT_THAT(Verify("tpm", Tpm()), IsOk());
  token_.flags = 0x41;
  EXPECT_THAT(Verify("tpm", Tpm()), RefusedWith(Reason::kUserNotVerified)) << "it does not say so";
}

TEST_F(WebAuthnRegistrationTest, ATpmsOwnerProvesNoModelThatItsCertificateDoesNotName) {
  leaf_ = testing::AikLeafSpec(ca_, attestation_key_);
  const auto verified = Verify("tpm", Tpm());
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["aaguid_proved"], false);
  policy_.aaguid_allow = {token_.aaguid};
  const auto refused = Verify("tpm", Tpm());
  EXPECT_THAT(refused, RefusedWith(Reason::kAaguidRefused));
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("does not prove"));
  leaf_.extensions.push_back(
      {std::string(kAaguidOid), false, absl::StrCat("\x04\x10", token_.aaguid)});
  const auto named = Verify("tpm", Tpm());
  ASSERT_THAT(named, IsOk());
  EXPECT_EQ(named->proved()["aaguid_proved"], true);
}

// CVE-2017-15361: who computes the credential's key signs for it, and who computes the AIK attests
// what he likes.
TEST_F(WebAuthnRegistrationTest, RejectsKeysWhoseModulusCanBeFactored) {
  const auto roca = testing::RocaKey();
  token_.cose = CborMap(testing::CoseEntries(*PublicKey::FromEvp(roca.get())));
  leaf_ = testing::AikLeafSpec(ca_, attestation_key_);
  auto refused = Verify("tpm", testing::TpmStatement(leaf_, roca.get(), Signed()));
  EXPECT_THAT(refused, RefusedWith(Reason::kKeyAlgorithm));
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("CVE-2017-15361"));
  token_.cose.clear();
  attestation_key_ = roca;
  leaf_ = testing::PackedLeafSpec(ca_, attestation_key_);
  alg_ = -257;
  refused = Verify("packed", Packed());
  EXPECT_THAT(refused, RefusedWith(Reason::kAttestationAlgorithm));
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("CVE-2017-15361"));
}

// Whoever computes a CA's key makes attestation keys in software.
TEST_F(WebAuthnRegistrationTest, RejectsACaWhoseModulusCanBeFactored) {
  const TestCa weak{"Tokens CA", testing::RocaKey()};
  leaf_ = testing::PackedLeafSpec(weak, attestation_key_);
  CborEntries statement = Packed();
  statement.back().second = CborArray(
      {CborBytes(testing::MakeDer(leaf_)), CborBytes(testing::MakeDer(weak.CaSpec(ca_)))});
  const auto refused = Verify("packed", statement);
  EXPECT_THAT(refused, RefusedWith(Reason::kCertificateAlgorithm));
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("CVE-2017-15361"));
}

// ---- Whose registration, and for what ----

TEST_F(WebAuthnRegistrationTest, RejectsAnotherCeremony) {
  client_ = ClientJson("webauthn.get", challenge_);
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataType));
  client_ = ClientJson("webauthn.create", std::string(32, 'r'));
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataChallenge));
  client_ = ClientJson("webauthn.create", challenge_, "forekey://gate.example.evil");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataOrigin));
  client_ =
      ClientJson("webauthn.create", challenge_, testing::kTestOrigin, ",\"crossOrigin\":true");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataOrigin));
  client_ = ClientJson("webauthn.create", challenge_);
  token_.rp_id = "other.example";
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kRpIdMismatch));
}

TEST_F(WebAuthnRegistrationTest, RejectsAnEmptyChallengeAndAnotherEncodingOfIt) {
  challenge_.clear();
  client_ = ClientJson("webauthn.create", "");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataChallenge));
  challenge_ = "q";  // "cQ"; "cR" decodes to the same byte
  client_ = R"({"type":"webauthn.create","challenge":"cR","origin":"forekey://gate.example"})";
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataChallenge));
  client_ = R"({"type":"webauthn.create","challenge":"cQ==","origin":"forekey://gate.example"})";
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kClientDataChallenge));
}

TEST_F(WebAuthnRegistrationTest, RejectsFlags) {
  token_.flags = 0x40;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kUserNotPresent));
  token_.flags = 0x01;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFlagsInvalid));
  token_.flags = 0x49;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kBackupEligible));
  policy_.allow_backup_eligible = true;
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
  token_.flags = 0x41;
  policy_.require_user_verification = true;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kUserNotVerified));
  token_.flags = 0x61;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFlagsInvalid));
}

// ---- Statements ----

TEST_F(WebAuthnRegistrationTest, RejectsOtherFormats) {
  for (const char* format :
       {"android-key", "android-safetynet", "apple", "compound", "", "PACKED"}) {
    EXPECT_THAT(Verify(format, Packed()), RefusedWith(Reason::kAttestationFormatRefused)) << format;
  }
  // Old clients of other formats say odd things: that it is the format that is not taken tells
  // more.
  client_ = R"({"challenge":"c"})";
  EXPECT_THAT(Verify("android-safetynet", {}), RefusedWith(Reason::kAttestationFormatRefused));
  client_ = ClientJson("webauthn.create", challenge_);
  CborEntries ecdaa = Self();
  ecdaa.emplace_back(CborText("ecdaaKeyId"), CborBytes("k"));
  EXPECT_THAT(Verify("packed", ecdaa), RefusedWith(Reason::kAttestationFormatRefused));
}

TEST_F(WebAuthnRegistrationTest, RejectsAStatementOfAnotherRegistration) {
  const CborEntries statement = Packed();
  const CborEntries u2f = U2f();
  token_.sign_count++;
  EXPECT_THAT(Verify("packed", statement), RefusedWith(Reason::kAttestationSignature));
  // The counter is not under a U2F signature; the key and the client data are.
  EXPECT_THAT(Verify("fido-u2f", u2f), IsOk());
  token_.credential = SoftwareKey::Generate(Algorithm::kEs256);
  EXPECT_THAT(Verify("fido-u2f", u2f), RefusedWith(Reason::kAttestationSignature));
}

TEST_F(WebAuthnRegistrationTest, RejectsSelfAttestationByAnotherKeyOrAlgorithm) {
  policy_.allow_self = true;
  CborEntries statement = Self();
  statement[0].second = CborInt(-257);
  EXPECT_THAT(Verify("packed", statement), RefusedWith(Reason::kAttestationAlgorithm));
  statement = Self();
  statement[1].second = CborBytes(SignWith(attestation_key_.get(), EVP_sha256(), Signed()));
  EXPECT_THAT(Verify("packed", statement), RefusedWith(Reason::kAttestationSignature));
}

TEST_F(WebAuthnRegistrationTest, RejectsStatementsOfAnotherShape) {
  const auto malformed = RefusedWith(Reason::kEvidenceMalformed);
  policy_.allow_self = policy_.allow_none = true;
  const auto each = [&](absl::string_view format, const CborEntries& good) {
    for (size_t i = 0; i < good.size(); ++i) {
      CborEntries changed = good;
      changed[i].second = CborText("x");
      EXPECT_THAT(Verify(format, changed), malformed) << format << " " << i;
      changed.erase(changed.begin() + i);
      // A packed statement without x5c is one of self attestation.
      if (format == "packed" && i == 2) continue;
      EXPECT_THAT(Verify(format, changed), malformed) << format << " " << i;
    }
    CborEntries more = good;
    more.emplace_back(CborText("more"), CborInt(1));
    EXPECT_THAT(Verify(format, more), malformed) << format;
  };
  each("packed", Packed());
  each("packed", Self());
  each("fido-u2f", U2f());
  each("none", {});
  CborEntries statement = Packed();
  statement[2].second = CborArray({});
  EXPECT_THAT(Verify("packed", statement), malformed);
  statement[2].second = CborArray(std::vector<std::string>(9, CborBytes(testing::MakeDer(leaf_))));
  EXPECT_THAT(Verify("packed", statement), malformed);
  statement[2].second = CborArray({CborBytes("not a certificate")});
  EXPECT_THAT(Verify("packed", statement), RefusedWith(Reason::kCertificateMalformed));
  statement = U2f();
  statement[1].second = CborArray(std::vector<std::string>(2, CborBytes(testing::MakeDer(leaf_))));
  EXPECT_THAT(Verify("fido-u2f", statement), malformed);
}

TEST_F(WebAuthnRegistrationTest, RejectsStatementAlgorithmsThatAreNotAcceptedOrDoNotFit) {
  for (int64_t alg : {-65535, -257, -37, -8, -47, 0, 5}) {
    alg_ = alg;
    EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAttestationAlgorithm)) << alg;
  }
  alg_ = -35;  // fits the key, but is not what was signed with
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAttestationSignature));
  attestation_key_ = testing::NewRsaKey(1024);
  leaf_.key = attestation_key_;
  alg_ = -257;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAttestationAlgorithm));
}

TEST_F(WebAuthnRegistrationTest, TheStatementsOwnAlgorithmCounts) {
  // The certificate itself is signed with ECDSA and SHA-256, its key is RSA.
  attestation_key_ = testing::NewRsaKey();
  leaf_.key = attestation_key_;
  alg_ = -257;
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
  CborEntries statement = Packed();
  statement[0].second = CborInt(-259);
  statement[1].second = CborBytes(SignWith(attestation_key_.get(), EVP_sha512(), Signed()));
  EXPECT_THAT(Verify("packed", statement), IsOk());
}

// ---- Certificates ----

TEST_F(WebAuthnRegistrationTest, RejectsCertificatesThatBreakSection821) {
  const CertificateSpec good = leaf_;
  const std::vector<std::function<void()>> faults = {
      [&] { leaf_.basic_constraints = "critical,CA:TRUE"; },
      [&] { leaf_.basic_constraints.clear(); },
      [&] { leaf_.subject.clear(); },
      [&] {
        leaf_.subject_fields = {{"C", "SE"}, {"O", "Tokens AB"}};
      },
      [&] {
        leaf_.subject_fields = {{"C", "SE"}, {"OU", "Authenticator Attestation"}};
      },
      [&] {
        leaf_.subject_fields = {{"O", "Tokens AB"}, {"OU", "Authenticator Attestation"}};
      },
      [&] { leaf_.subject_fields[2].second = "Authenticator attestation"; },
      [&] {
        leaf_.extensions = {
            {std::string(kAaguidOid), true, absl::StrCat("\x04\x10", token_.aaguid)}};
      },
      [&] {
        leaf_.extensions = {{std::string(kAaguidOid), false, token_.aaguid}};
      },
  };
  for (size_t i = 0; i < faults.size(); ++i) {
    leaf_ = good;
    faults[i]();
    EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateProfile)) << i;
  }
  leaf_ = good;
  leaf_.version = 0;
  leaf_.basic_constraints.clear();
  EXPECT_FALSE(Verify("packed", Packed()).ok());
}

TEST_F(WebAuthnRegistrationTest, AcceptsWhatRealLeavesAreLike) {
  leaf_.basic_constraints = "CA:FALSE";
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
  leaf_.extensions = {{std::string(kAaguidOid), false, absl::StrCat("\x04\x10", token_.aaguid)}};
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
}

TEST_F(WebAuthnRegistrationTest, RejectsAnotherModelsCertificate) {
  leaf_.extensions = {
      {std::string(kAaguidOid), false, absl::StrCat("\x04\x10", std::string(16, 'z'))}};
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAaguidMismatch));
}

constexpr char kFidoFirmwareOid[] = "1.3.6.1.4.1.45724.1.1.5";
constexpr char kYubicoFirmwareOid[] = "1.3.6.1.4.1.41482.13.1";
constexpr char kModel[] = "41424344-4546-4748-494a-4b4c4d4e4f50";

FirmwareList ListOf(absl::string_view rule) {
  return *FirmwareList::Parse(absl::StrCat("forekey-firmware-list 1\nfido2 ", kModel, " ", rule));
}

TEST_F(WebAuthnRegistrationTest, FirmwareIsWhatTheCertificateSays) {
  leaf_.extensions = {{kYubicoFirmwareOid, false, "\x04\x03\x05\x07\x04"}};
  firmware_ = ListOf("least 5.7.4");
  auto verified = Verify("packed", Packed());
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["firmware"], "5.7.4");
  firmware_ = ListOf("least 5.7.5");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFirmwareTooOld));
  firmware_ = ListOf("weak 5.0-5.7");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFirmwareWeak));
  // FIDO's own extension comes first.
  leaf_.extensions.push_back({kFidoFirmwareOid, false, "\x02\x01\x07"});
  firmware_ = ListOf("least 8");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFirmwareTooOld));
  firmware_ = ListOf("least 7");
  verified = Verify("packed", Packed());
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["firmware"], "7");
}

TEST_F(WebAuthnRegistrationTest, FirmwareThatIsNotProvedIsNoWayRoundTheList) {
  firmware_ = ListOf("least 1");
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFirmwareUnproved));
  for (const std::string& value :
       {std::string("\x02\x00", 2), std::string("\x02\x01\x80"), std::string("\x02\x02\x00\x07", 4),
        std::string("\x02\x01\x07\x00", 4), std::string("\x04\x01\x07"),
        std::string("\x02\x05\x01\x01\x01\x01\x01"), std::string("\x07")}) {
    leaf_.extensions = {{kFidoFirmwareOid, false, value},
                        {kYubicoFirmwareOid, false, "\x04\x03\x05\x07\x04"}};
    EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kFirmwareUnproved));
  }
  leaf_.extensions = {{kFidoFirmwareOid, false, std::string("\x02\x05\x00\xff\xff\xff\xff", 7)}};
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
  // A model that the key only says it is, is held against it all the same.
  policy_.allow_self = true;
  EXPECT_THAT(Verify("packed", Self()), RefusedWith(Reason::kFirmwareUnproved));
  firmware_ = ListOf("weak all");
  EXPECT_THAT(Verify("packed", Self()), RefusedWith(Reason::kFirmwareWeak));
  // By U2F, whose signature covers no model, the token's certificate may name it.
  EXPECT_THAT(Verify("fido-u2f", U2f()), IsOk());
  leaf_.extensions = {{std::string(kAaguidOid), false, absl::StrCat("\x04\x10", token_.aaguid)}};
  EXPECT_THAT(Verify("fido-u2f", U2f()), RefusedWith(Reason::kFirmwareWeak));
}

TEST_F(WebAuthnRegistrationTest, RejectsU2fCertificatesThatAreNotOnP256) {
  attestation_key_ = testing::NewEcKey("P-384");
  leaf_.key = attestation_key_;
  EXPECT_THAT(Verify("fido-u2f", U2f()), RefusedWith(Reason::kCertificateProfile));
}

TEST_F(WebAuthnRegistrationTest, RejectsU2fCredentialsThatAreNotOnP256) {
  token_.credential = SoftwareKey::Generate(Algorithm::kEdDsa);
  CborEntries statement = {{CborText("sig"), CborBytes("s")},
                           {CborText("x5c"), CborArray({CborBytes(testing::MakeDer(leaf_))})}};
  EXPECT_THAT(Verify("fido-u2f", statement), RefusedWith(Reason::kKeyAlgorithm));
}

TEST_F(WebAuthnRegistrationTest, RejectsAaguidExtensionsOfAnotherShape) {
  for (const std::string& value :
       {absl::StrCat("\x04\x10", token_.aaguid, "x"), absl::StrCat("\x05\x10", token_.aaguid),
        absl::StrCat("\x04\x0f", token_.aaguid), token_.aaguid}) {
    leaf_.extensions = {{std::string(kAaguidOid), false, value}};
    EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateProfile));
  }
}

TEST_F(WebAuthnRegistrationTest, RejectsCertificatesThatSayAnotherVersion) {
  leaf_.version = 1;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateProfile));
}

TEST_F(WebAuthnRegistrationTest, RejectsAttestationKeysOnOtherCurves) {
  attestation_key_ = testing::NewEcKey("secp256k1");
  leaf_.key = attestation_key_;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAttestationAlgorithm));
}

TEST_F(WebAuthnRegistrationTest, RejectsCertificatesThatAreTooLong) {
  CborEntries statement = Packed();
  const std::string leaf = CborBytes(testing::MakeDer(leaf_));
  statement[2].second = CborArray({leaf, CborBytes(std::string(16384, 'x'))});
  EXPECT_THAT(Verify("packed", statement), IsOk()) << "not understood, and not needed";
  statement[2].second = CborArray({leaf, CborBytes(std::string(16385, 'x'))});
  EXPECT_THAT(Verify("packed", statement), RefusedWith(Reason::kEvidenceMalformed));
}

TEST_F(WebAuthnRegistrationTest, NoneCoversNothing) {
  policy_.allow_none = true;
  const auto verified = Verify("none", {});
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["authenticator_data_signed"], false);
  EXPECT_EQ(verified->proved()["aaguid_proved"], false);
}

// ---- Trust ----

TEST_F(WebAuthnRegistrationTest, RejectsPathsToNobody) {
  use_anchors_ = false;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateUntrusted));
  use_anchors_ = true;
  TestCa copy = TestCa::New("Tokens Root");  // the name, not the key
  leaf_.signer = copy.key;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateSignatureInvalid));
  leaf_.issuer = "Another Root";
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateUntrusted));
}

TEST_F(WebAuthnRegistrationTest, RejectsExpiredAttestationCertificates) {
  time_ = absl::FromUnixSeconds(1'950'000'000);
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateExpired));
}

TEST_F(WebAuthnRegistrationTest, ALeafMayBeItsOwnAnchor) {
  anchors_ = TrustAnchors();
  leaf_.issuer = "Nobody";
  const std::string der = testing::MakeDer(leaf_);
  anchors_.Add(*Certificate::ParseDer(der));
  CborEntries statement = Packed();
  statement[2].second = CborArray({CborBytes(der)});
  EXPECT_THAT(Verify("packed", statement), IsOk());
}

TEST_F(WebAuthnRegistrationTest, IntermediatesComeFromTheStatement) {
  TestCa middle = TestCa::New("Tokens Batch 1");
  leaf_ = testing::PackedLeafSpec(middle, attestation_key_);
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kCertificateUntrusted));
  CborEntries statement = Packed();
  statement[2].second =
      CborArray({CborBytes(testing::MakeDer(leaf_)), CborBytes("an unreadable one"),
                 CborBytes(testing::MakeDer(middle.CaSpec(ca_)))});
  EXPECT_THAT(Verify("packed", statement), IsOk());
}

TEST_F(WebAuthnRegistrationTest, AaguidListsDecide) {
  policy_.aaguid_deny = {token_.aaguid};
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAaguidRefused));
  policy_.aaguid_deny = {std::string(16, 'z')};
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
  policy_.aaguid_allow = {std::string(16, 'z')};
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAaguidRefused));
  policy_.aaguid_allow = {token_.aaguid};
  EXPECT_THAT(Verify("packed", Packed()), IsOk());
  // What does not prove its model is on no allow-list.
  policy_.allow_self = policy_.allow_none = true;
  EXPECT_THAT(Verify("packed", Self()), RefusedWith(Reason::kAaguidRefused));
  EXPECT_THAT(Verify("none", {}), RefusedWith(Reason::kAaguidRefused));
}

TEST_F(WebAuthnRegistrationTest, ALevelThatNobodyReportsIsNone) {
  policy_.min_certification_level = 1;
  EXPECT_THAT(Verify("packed", Packed()), RefusedWith(Reason::kAaguidRefused));
}

TEST_F(WebAuthnRegistrationTest, TellsWhatWasReadOfRefusedEvidence) {
  token_.flags = 0x49;
  EXPECT_FALSE(Verify("packed", Packed()).ok());
  EXPECT_EQ(seen_["format"], "packed");
  EXPECT_EQ(seen_["flags"]["be"], true);
}

TEST_F(WebAuthnRegistrationTest, AToleratedTailChangesNothingAndIsTold) {
  const auto verified =
      VerifyObject(AttestationObjectBytes("packed", CborMap(Packed()), token_.AuthData()) +
                   std::string(35, 'x'));
  ASSERT_THAT(verified, IsOk());
  EXPECT_EQ(verified->proved()["ignored_tail_bytes"], 35);
}

}  // namespace
}  // namespace forekey
