// SPDX-License-Identifier: Apache-2.0
// Laws guarded: an EK is a vendor's only by a path to an anchor and as an EK's own certificate; an
// allow-list speaks for exactly the EK it names. (tests/attacks/tpm has more, through files.)
#include "src/verify/tpm_endorsement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "src/base/reason.h"
#include "src/verify/tpm_quirks.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/roca_key.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tpm_evidence.h"

namespace forekey {
namespace {

using namespace forekey::testing;  // NOLINT: makers of certificates and structures

class TpmEndorsementTest : public ::testing::Test {
 protected:
  TpmEndorsementTest() {
    trust_.Add(Make(root_.CaSpec(root_)));
    policy_.trust = &trust_;
    policy_.time = absl::FromUnixSeconds(1'800'000'000);
  }

  CertificateSpec Certified(std::shared_ptr<EVP_PKEY> ek) const {
    CertificateSpec spec = ca_.Spec("", std::move(ek));
    spec.basic_constraints = "CA:FALSE";
    spec.key_usage =
        EVP_PKEY_is_a(spec.key.get(), "RSA") ? "critical,keyEncipherment" : "critical,keyAgreement";
    spec.extended_key_usage = "2.23.133.8.1";
    return spec;
  }
  absl::StatusOr<VerifiedEndorsement> Verify(const std::string& certificate,
                                             const std::string& ek_public) const {
    EndorsementEvidence evidence;
    evidence.ek_certificate = certificate;
    evidence.ek_public = ek_public;
    evidence.intermediates = intermediates_;
    return VerifyEndorsement(evidence, policy_);
  }

  const TestCa root_ = TestCa::New("root");
  const TestCa ca_ = TestCa::New("ca");
  const std::shared_ptr<EVP_PKEY> ek_ = NewEcKey();
  TrustAnchors trust_;
  std::vector<Certificate> intermediates_ = {Make(ca_.CaSpec(root_))};
  EndorsementPolicy policy_;
};

TEST_F(TpmEndorsementTest, TakesEveryKindOfEk) {
  for (const auto& ek : {NewEcKey(), NewEcKey("P-384"), NewRsaKey(2048), NewRsaKey(3072)}) {
    auto endorsement = Verify(MakeDer(Certified(ek)), MakePublic(EkSpec(ek)));
    ASSERT_THAT(endorsement, IsOk());
    EXPECT_TRUE(endorsement->has_certificate());
    EXPECT_EQ(endorsement->device_id(), Sha256(PublicKey::FromEvp(ek.get())->spki()));
    EXPECT_EQ(endorsement->ek_public()->bytes(), MakePublic(EkSpec(ek)));
    EXPECT_EQ(endorsement->proved().at("path").size(), 3u);
  }
}

TEST_F(TpmEndorsementTest, RefusesCertificatesOfOtherPurposes) {
  CertificateSpec spec = Certified(ek_);
  spec.extended_key_usage = "";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificatePurpose));
  spec.extended_key_usage = "2.23.133.8.3";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificatePurpose));
  spec.extended_key_usage = "anyExtendedKeyUsage";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificatePurpose));
  spec = Certified(ek_);
  spec.key_usage = "critical,digitalSignature";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificatePurpose));
  spec.key_usage = "";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificatePurpose));
  spec.key_usage = "critical,keyAgreement,keyCertSign";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificateProfile));
  spec = Certified(ek_);
  spec.basic_constraints = "CA:TRUE";
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificateProfile));
  const auto rsa = NewRsaKey();
  spec = Certified(rsa);
  spec.key_usage = "critical,keyAgreement";  // means nothing for RSA
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificatePurpose));
}

// Google's vTPMs.
TEST_F(TpmEndorsementTest, WithoutPurposeOnlyBelowACaOfThatPurposeAloneAndOnlyWhatCantSign) {
  const auto verify = [this](const std::string& ca_usages, const std::string& key_usage,
                             bool ca_is_anchor = false) {
    CertificateSpec ca = ca_.CaSpec(root_);
    ca.extended_key_usage = ca_usages;
    CertificateSpec spec = Certified(NewRsaKey());
    spec.extended_key_usage = "";
    spec.key_usage = key_usage;
    intermediates_ = {Make(ca)};
    if (ca_is_anchor) {
      trust_ = {};
      trust_.Add(Make(ca));
      intermediates_.clear();
    }
    return Verify(MakeDer(spec), "");
  };
  EXPECT_THAT(verify("2.23.133.8.1", "critical,keyEncipherment"), IsOk());
  for (const char* usages :
       {"", "2.23.133.8.3", "2.23.133.8.1,2.23.133.8.3", "anyExtendedKeyUsage"}) {
    EXPECT_THAT(verify(usages, "critical,keyEncipherment"),
                RefusedWith(Reason::kCertificatePurpose))
        << usages;
  }
  for (const char* usage :
       {"", "critical,digitalSignature", "critical,keyEncipherment,digitalSignature",
        "critical,keyEncipherment,nonRepudiation"}) {
    EXPECT_THAT(verify("2.23.133.8.1", usage), RefusedWith(Reason::kCertificatePurpose)) << usage;
  }
  EXPECT_THAT(verify("2.23.133.8.1", "critical,keyEncipherment", /*ca_is_anchor=*/true), IsOk());
  EXPECT_THAT(verify("", "critical,keyEncipherment", /*ca_is_anchor=*/true),
              RefusedWith(Reason::kCertificatePurpose));
}

TEST_F(TpmEndorsementTest, RefusesAnotherTpmsCertificate) {
  EXPECT_THAT(Verify(MakeDer(Certified(NewEcKey())), MakePublic(EkSpec(ek_))),
              RefusedWith(Reason::kEkMismatch));
  // The allow-list does not heal it.
  policy_.allowed_ek_hashes = {Sha256(PublicKey::FromEvp(ek_.get())->spki())};
  EXPECT_THAT(Verify(MakeDer(Certified(NewEcKey())), MakePublic(EkSpec(ek_))),
              RefusedWith(Reason::kEkMismatch));
}

TEST_F(TpmEndorsementTest, TheAllowListSpeaksForTheEkItNames) {
  EXPECT_THAT(Verify("", MakePublic(EkSpec(ek_))), RefusedWith(Reason::kEkCertificateMissing));
  EXPECT_THAT(Verify("", ""), RefusedWith(Reason::kEkCertificateMissing));
  policy_.allowed_ek_hashes = {Sha256("other")};
  EXPECT_THAT(Verify("", MakePublic(EkSpec(ek_))), RefusedWith(Reason::kEkCertificateMissing));
  policy_.allowed_ek_hashes = {Sha256("other"), Sha256(PublicKey::FromEvp(ek_.get())->spki())};
  auto endorsement = Verify("", MakePublic(EkSpec(ek_)));
  ASSERT_THAT(endorsement, IsOk());
  EXPECT_FALSE(endorsement->has_certificate());
  EXPECT_EQ(endorsement->proved().at("ek_allowed_by_hash"), true);
  EXPECT_THAT(Verify("", MakePublic(EkSpec(NewEcKey()))),
              RefusedWith(Reason::kEkCertificateMissing));
  // A certificate of a vendor that is not trusted does no harm then, and proves nothing.
  trust_ = {};
  endorsement = Verify(MakeDer(Certified(ek_)), MakePublic(EkSpec(ek_)));
  ASSERT_THAT(endorsement, IsOk());
  EXPECT_FALSE(endorsement->has_certificate());
  EXPECT_TRUE(endorsement->proved().contains("ek_certificate_refused"));
}

TEST_F(TpmEndorsementTest, ACertificateThatCantBeReadDoesNotRefuseAListedEk) {
  CertificateSpec repeated = Certified(ek_);
  repeated.extensions = {{"1.2.3.4", false, "x"}, {"1.2.3.4", false, "x"}};
  const std::string others[] = {MakeDer(repeated), std::string("\x30\x82\x01\x00", 4), "junk",
                                MakeDer(Certified(NewEcKey("P-521")))};
  for (const std::string& certificate : others) {
    const absl::Status refused = Verify(certificate, MakePublic(EkSpec(ek_))).status();
    EXPECT_FALSE(refused.ok());
    policy_.allowed_ek_hashes = {Sha256(PublicKey::FromEvp(ek_.get())->spki())};
    const auto endorsement = Verify(certificate, MakePublic(EkSpec(ek_)));
    ASSERT_THAT(endorsement, IsOk());
    EXPECT_FALSE(endorsement->has_certificate());
    EXPECT_EQ(endorsement->proved().at("ek_certificate_refused"), std::string(refused.message()));
    EXPECT_EQ(endorsement->device_id(), policy_.allowed_ek_hashes[0]);
    // The list speaks for the key in the public area, of which the TPM is asked.
    EXPECT_EQ(ReasonOf(Verify(certificate, "").status()), ReasonOf(refused));
    EXPECT_EQ(ReasonOf(Verify(certificate, MakePublic(EkSpec(NewEcKey()))).status()),
              ReasonOf(refused));
    policy_.allowed_ek_hashes.clear();
  }
}

TEST_F(TpmEndorsementTest, RefusesPublicAreasThatAreNoEks) {
  const std::string certificate = MakeDer(Certified(ek_));
  for (uint32_t bit : {tpm::kFixedTpm, tpm::kFixedParent, tpm::kSensitiveDataOrigin,
                       tpm::kRestricted, tpm::kDecrypt, tpm::kSign, tpm::kEncryptedDuplication}) {
    PublicSpec spec = EkSpec(ek_);
    spec.attributes ^= bit;
    EXPECT_THAT(Verify(certificate, MakePublic(spec)), RefusedWith(Reason::kEkTemplate))
        << tpm::AttributesText(bit);
  }
  PublicSpec spec = EkSpec(ek_);
  spec.attributes |= tpm::kUserWithAuth;  // templates H-1 to H-7
  EXPECT_THAT(Verify(certificate, MakePublic(spec)), IsOk());
  spec = EkSpec(ek_);
  spec.attributes &= ~(tpm::kAdminWithPolicy | tpm::kUserWithAuth);
  const absl::Status unusable = Verify(certificate, MakePublic(spec)).status();
  EXPECT_THAT(unusable, RefusedWith(Reason::kEkTemplate));
  EXPECT_NE(unusable.message().find("nobody may use it"), absl::string_view::npos);
  spec = EkSpec(ek_);
  spec.aes_bits = 0;
  EXPECT_THAT(Verify(certificate, MakePublic(spec)), RefusedWith(Reason::kEkTemplate));
  spec = EkSpec(ek_);
  spec.name_algorithm = 4;
  spec.policy = "";
  EXPECT_THAT(Verify(certificate, MakePublic(spec)), RefusedWith(Reason::kEkTemplate));
  spec = EkSpec(ek_);
  spec.scheme = 0x18;
  EXPECT_THAT(Verify(certificate, MakePublic(spec)), RefusedWith(Reason::kEkTemplate));
}

TEST_F(TpmEndorsementTest, BoundsTheIntermediates) {
  intermediates_.assign(9, intermediates_.front());
  EXPECT_THAT(Verify(MakeDer(Certified(ek_)), ""), RefusedWith(Reason::kEvidenceMalformed));
}

TEST_F(TpmEndorsementTest, RefusesUnsupportedEks) {
  EXPECT_THAT(Verify(MakeDer(Certified(NewEcKey("P-521"))), ""),
              RefusedWith(Reason::kEkUnsupported));
  CertificateSpec spec = Certified(NewRsaKey());
  // tpmSpecification: family "1.2", level 2, revision 103.
  spec.extensions = {{"2.5.29.9", false,
                      absl::HexStringToBytes("3017301506056781050210310c300a0c03312e3202010202016"
                                             "7")}};
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kEkUnsupported));
  spec.extensions = {{"2.5.29.9", false,
                      absl::HexStringToBytes("3017301506056781050210310c300a0c03322e3002010002016"
                                             "7")}};
  EXPECT_THAT(Verify(MakeDer(spec), ""), IsOk());
}

// One TPM shows its P-256 certificate for one subject and its RSA certificate for another.
TEST_F(TpmEndorsementTest, APolicyTakesEksOfItsAlgorithmsAlone) {
  const auto rsa = NewRsaKey(2048);
  policy_.ek_algorithms = {"P-256", "RSA-3072"};
  EXPECT_THAT(Verify(MakeDer(Certified(ek_)), MakePublic(EkSpec(ek_))), IsOk());
  const absl::Status refused = Verify(MakeDer(Certified(rsa)), MakePublic(EkSpec(rsa))).status();
  EXPECT_THAT(refused, RefusedWith(Reason::kEkUnsupported));
  EXPECT_THAT(std::string(refused.message()),
              ::testing::HasSubstr("the EK is RSA-2048, and ek_algorithms takes P-256, RSA-3072"));
  EXPECT_THAT(Verify(MakeDer(Certified(rsa)), ""), RefusedWith(Reason::kEkUnsupported));
  policy_.allowed_ek_hashes = {Sha256(PublicKey::FromEvp(rsa.get())->spki())};
  EXPECT_THAT(Verify("", MakePublic(EkSpec(rsa))), RefusedWith(Reason::kEkUnsupported));
  policy_.ek_algorithms = {"RSA-2048"};
  EXPECT_THAT(Verify(MakeDer(Certified(rsa)), MakePublic(EkSpec(rsa))), IsOk());
  policy_.ek_algorithms = {"P-384"};
  const auto wide = NewEcKey("P-384");
  EXPECT_THAT(Verify(MakeDer(Certified(wide)), MakePublic(EkSpec(wide))), IsOk());
  EXPECT_THAT(Verify(MakeDer(Certified(ek_)), ""), RefusedWith(Reason::kEkUnsupported));
}

// CVE-2017-15361: whoever computes the private key opens what is sealed to the EK, without a TPM.
TEST_F(TpmEndorsementTest, RefusesAnEkWhoseModulusCanBeFactored) {
  const auto ek = RocaKey();
  const auto refused = RefusedWith(Reason::kEkUnsupported);
  const auto why = [](const absl::StatusOr<VerifiedEndorsement>& endorsement) {
    return std::string(endorsement.status().message());
  };
  EXPECT_THAT(Verify(MakeDer(Certified(ek)), MakePublic(EkSpec(ek))), refused);
  EXPECT_THAT(why(Verify(MakeDer(Certified(ek)), "")), ::testing::HasSubstr("CVE-2017-15361"));
  policy_.allowed_ek_hashes = {Sha256(PublicKey::FromEvp(ek.get())->spki())};
  EXPECT_THAT(why(Verify("", MakePublic(EkSpec(ek)))), ::testing::HasSubstr("CVE-2017-15361"));
}

// Whoever computes a CA's key issues certificates for EKs in software.
TEST_F(TpmEndorsementTest, RefusesACaBelowTheAnchorWhoseModulusCanBeFactored) {
  const TestCa weak{"ca", RocaKey()};
  const Certificate certificate = Make(weak.CaSpec(root_));
  CertificateSpec spec = Certified(ek_);
  spec.signer = weak.key;
  intermediates_ = {certificate};
  const auto endorsement = Verify(MakeDer(spec), "");
  EXPECT_THAT(endorsement, RefusedWith(Reason::kCertificateAlgorithm));
  EXPECT_THAT(std::string(endorsement.status().message()), ::testing::HasSubstr("CVE-2017-15361"));
  trust_.Add(certificate);
  EXPECT_THAT(Verify(MakeDer(spec), ""), IsOk()) << "an anchor is trusted as it is";
}

TEST_F(TpmEndorsementTest, ACriticalSubjectAltNameMustBeUnderstood) {
  CertificateSpec spec = Certified(ek_);
  // dNSName "a".
  spec.extensions = {{"2.5.29.17", true,
                      std::string("\x30\x03\x82\x01"
                                  "a",
                                  5)}};
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificateProfile));
  spec.extensions[0].critical = false;
  EXPECT_THAT(Verify(MakeDer(spec), ""), IsOk());
  spec.extensions = {{"2.5.29.17", false, "junk"}};
  EXPECT_THAT(Verify(MakeDer(spec), ""), RefusedWith(Reason::kCertificateProfile));
}

TEST(TpmQuirksTest, NamesVendors) {
  EXPECT_EQ(TpmVendorName("id:494E5443"), "Intel");
  EXPECT_EQ(TpmVendorName("id:414D4400"), "AMD");
  EXPECT_EQ(TpmVendorName("id:53544D20"), "STMicroelectronics");
  EXPECT_EQ(TpmVendorName("id:00001014"), "id:00001014");
  EXPECT_EQ(TpmVendorName("id:41424344"), "ABCD");
  EXPECT_EQ(TpmVendorName("swtpm"), "swtpm");
  EXPECT_EQ(TpmVendorName(""), "");
}

}  // namespace
}  // namespace forekey
