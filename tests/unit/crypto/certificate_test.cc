// SPDX-License-Identifier: Apache-2.0
// Laws guarded: only a chain of true issuers that may issue, ending at an anchor, is a path; the
// work on hostile intermediates is bounded; the quirks of real vendors' certificates don't refuse
// honest hardware.
#include "src/crypto/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/crypto/certificate_quirks.h"
#include "src/crypto/digest.h"
#include "tests/support/certificate_maker.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using ::forekey::testing::CertificateSpec;
using ::forekey::testing::ExtensionSpec;
using ::forekey::testing::HasCode;
using ::forekey::testing::IsOk;
using ::forekey::testing::Make;
using ::forekey::testing::MakeDer;
using ::forekey::testing::NewEcKey;
using ::forekey::testing::NewRsaKey;
using ::forekey::testing::RefusedWith;
using ::forekey::testing::TestCa;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Pem(absl::string_view der) {
  return absl::StrCat("-----BEGIN CERTIFICATE-----\n", absl::Base64Escape(der),
                      "\n-----END CERTIFICATE-----\n");
}

std::string Tlv(uint8_t tag, absl::string_view value) {
  ByteWriter out;
  out.U8(tag);
  if (value.size() < 0x80) {
    out.U8(static_cast<uint8_t>(value.size()));
  } else if (value.size() < 0x100) {
    out.U8(0x81).U8(static_cast<uint8_t>(value.size()));
  } else {
    out.U8(0x82).U16(static_cast<uint16_t>(value.size()));
  }
  return std::string(out.Raw(value).bytes());
}

// Signs `tbs` anew and puts the certificate together.
std::string Resign(absl::string_view tbs, absl::string_view algorithm, EVP_PKEY* signer) {
  EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, signer);
  size_t size = 0;
  EVP_DigestSign(context.get(), nullptr, &size, U8(tbs), tbs.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context.get(), U8(signature), &size, U8(tbs), tbs.size());
  signature.resize(size);
  return Tlv(
      0x30, absl::StrCat(tbs, algorithm, Tlv(0x03, absl::StrCat(std::string(1, '\0'), signature))));
}

// The certificate with the first `from` in its TBSCertificate replaced, signed again.
std::string Altered(const CertificateSpec& spec, absl::string_view from, absl::string_view to) {
  const std::string der = MakeDer(spec);
  CertificateParts parts = *SplitCertificate(der);
  std::string tbs(parts.tbs.substr(parts.tbs.size() < 0x80 + 2 ? 2 : 4 - (parts.tbs[1] == '\x81')));
  tbs.replace(tbs.find(std::string(from)), from.size(), to.data(), to.size());
  return Resign(Tlv(0x30, tbs), parts.signature_algorithm, spec.signer.get());
}

class CertificateTest : public ::testing::Test {
 protected:
  CertificateTest() { options_.time = kNow; }

  absl::StatusOr<VerifiedPath> Verify(const CertificateSpec& leaf,
                                      const std::vector<CertificateSpec>& intermediates = {}) {
    std::vector<Certificate> certificates;
    for (const CertificateSpec& spec : intermediates) certificates.push_back(Make(spec));
    return VerifyPath(Make(leaf), certificates, anchors_, options_);
  }
  void Trust(const CertificateSpec& spec) { anchors_.Add(Make(spec)); }
  CertificateSpec Leaf(const TestCa& issuer) const { return issuer.Spec("leaf", leaf_key_); }

  const TestCa root_ = TestCa::New("root");
  const TestCa one_ = TestCa::New("one");
  const TestCa two_ = TestCa::New("two");
  const std::shared_ptr<EVP_PKEY> leaf_key_ = NewEcKey();
  TrustAnchors anchors_;
  PathOptions options_;
};

// ---- Parsing ----

TEST_F(CertificateTest, ParseRefusesTrailingTruncatedAndGarbage) {
  const std::string der = MakeDer(Leaf(root_));
  EXPECT_THAT(Certificate::ParseDer(der), IsOk());
  EXPECT_THAT(Certificate::ParseDer(der + '\0'), RefusedWith(Reason::kCertificateMalformed));
  EXPECT_THAT(Certificate::ParseDer(der.substr(0, der.size() - 1)),
              RefusedWith(Reason::kCertificateMalformed));
  EXPECT_THAT(Certificate::ParseDer(""), RefusedWith(Reason::kCertificateMalformed));
  EXPECT_THAT(Certificate::ParseDer("garbage"), RefusedWith(Reason::kCertificateMalformed));
  EXPECT_THAT(Certificate::Parse(Pem(der + "x")), RefusedWith(Reason::kCertificateMalformed));
}

TEST_F(CertificateTest, ParseRefusesOuterEncodingsThatAreNotDer) {
  const std::string der = MakeDer(Leaf(root_));
  CertificateParts parts = *SplitCertificate(der);
  const std::string body =
      absl::StrCat(parts.tbs, parts.signature_algorithm,
                   Tlv(0x03, absl::StrCat(std::string(1, '\0'), parts.signature)));
  ASSERT_EQ(Tlv(0x30, body), der);
  const std::string long_length = absl::StrCat(
      "\x30\x83", std::string(1, '\0'), std::string(1, static_cast<char>(body.size() >> 8)),
      std::string(1, static_cast<char>(body.size())), body);
  EXPECT_THAT(Certificate::ParseDer(long_length), RefusedWith(Reason::kCertificateMalformed));
  const std::string indefinite = absl::StrCat("\x30\x80", body, std::string(2, '\0'));
  EXPECT_THAT(Certificate::ParseDer(indefinite), RefusedWith(Reason::kCertificateMalformed));
}

TEST_F(CertificateTest, ParseRefusesARepeatedExtension) {
  CertificateSpec spec = Leaf(root_);
  spec.extensions = {{"1.2.3.4", false, std::string("\x05\x00", 2)},
                     {"1.2.3.4", false, std::string("\x05\x00", 2)}};
  EXPECT_THAT(Certificate::ParseDer(MakeDer(spec)), RefusedWith(Reason::kCertificateMalformed));
}

TEST_F(CertificateTest, ParsesPemWithTextAroundAndBundles) {
  const std::string der = MakeDer(Leaf(root_));
  const std::string bundle = absl::StrCat("0 subject=leaf\n", Pem(der), "between\n", Pem(der));
  EXPECT_EQ(Certificate::Parse(bundle)->der(), der);
  EXPECT_THAT(*Certificate::ParseAll(bundle), SizeIs(2));
  EXPECT_THAT(*Certificate::ParseAll(der), SizeIs(1));
  EXPECT_THAT(
      Certificate::ParseAll("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
      RefusedWith(Reason::kCertificateMalformed));
  EXPECT_THAT(Certificate::ParseAll(Pem(der) + Pem("junk")),
              RefusedWith(Reason::kCertificateMalformed));
}

TEST_F(CertificateTest, ABlockBeginsAtTheBeginningOfALine) {
  const std::string der = MakeDer(Leaf(root_));
  const auto all = Certificate::ParseAll(absl::StrCat("# CN=-----BEGIN CERTIFICATE-----\n",
                                                      Pem(der), "# -----BEGIN CERTIFICATE-----"));
  ASSERT_THAT(all, IsOk());
  EXPECT_THAT(*all, SizeIs(1));
  EXPECT_THAT(*Certificate::ParseAll("\xEF\xBB\xBF" + Pem(der)), SizeIs(1));
  EXPECT_THAT(*Certificate::ParseAll("subject\r" + Pem(der)), SizeIs(1));
}

// `cat a.pem b.pem` where the first file has no newline at its end.
TEST_F(CertificateTest, ABlockMayFollowTheEndOfAnotherOnItsLine) {
  const std::string der = MakeDer(Leaf(root_)), root = MakeDer(root_.CaSpec(root_));
  std::string first = Pem(der);
  ASSERT_EQ(first.back(), '\n');
  first.pop_back();
  const auto all = Certificate::ParseAll(absl::StrCat(first, first, Pem(root)));
  ASSERT_THAT(all, IsOk());
  ASSERT_THAT(*all, SizeIs(3));
  EXPECT_EQ(all->front().der(), der);
  EXPECT_EQ(all->back().der(), root);
  // In a text that somebody else chose there is neither.
  for (const char* text : {"# CN=-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n",
                           "-----END CERTIFICATE----- -----BEGIN CERTIFICATE-----\n",
                           "-----END A----- # -----BEGIN CERTIFICATE-----\n",
                           "-----END A-----END B----------BEGIN CERTIFICATE-----\n"}) {
    const auto one = Certificate::ParseAll(absl::StrCat(Pem(der), text));
    ASSERT_THAT(one, IsOk()) << text;
    EXPECT_THAT(*one, SizeIs(1)) << text;
  }
}

TEST_F(CertificateTest, GivesWhatTheCertificateSays) {
  CertificateSpec spec = root_.CaSpec(root_);
  spec.not_after = absl::InfiniteFuture();
  spec.extended_key_usage = "2.23.133.8.1";
  spec.extensions = {{"1.2.3.4", true, std::string("\x05\x00", 2)}};
  const Certificate certificate = Make(spec);
  EXPECT_EQ(certificate.SubjectText(), "CN=root");
  EXPECT_EQ(certificate.SerialHex(), "07");
  EXPECT_EQ(certificate.not_before(), spec.not_before);
  EXPECT_EQ(certificate.not_after(), absl::InfiniteFuture());
  EXPECT_EQ(certificate.Fingerprint(), Sha256(certificate.der()));
  EXPECT_TRUE(certificate.IsCa());
  EXPECT_TRUE(certificate.IsSelfIssued());
  EXPECT_EQ(certificate.KeyUsage(), uint32_t{KU_KEY_CERT_SIGN | KU_CRL_SIGN});
  EXPECT_EQ(certificate.HasExtendedKeyUsage("2.23.133.8.1"), true);
  EXPECT_EQ(certificate.HasExtendedKeyUsage("2.23.133.8.3"), false);
  EXPECT_EQ(Make(Leaf(root_)).HasExtendedKeyUsage("2.23.133.8.1"), std::nullopt);
  EXPECT_EQ(certificate.Extension("1.2.3.4"), std::string("\x05\x00", 2));
  EXPECT_TRUE(certificate.ExtensionIsCritical("1.2.3.4"));
  EXPECT_EQ(certificate.Extension("1.2.3.5"), std::nullopt);
}

// ---- Paths ----

TEST_F(CertificateTest, FindsThePathAmongExtras) {
  Trust(root_.CaSpec(root_));
  Trust(two_.CaSpec(two_));
  const TestCa stranger = TestCa::New("stranger");
  auto path = Verify(Leaf(one_), {stranger.CaSpec(stranger), one_.CaSpec(root_), Leaf(one_)});
  ASSERT_THAT(path, IsOk());
  ASSERT_THAT(path->certificates(), SizeIs(3));
  EXPECT_EQ(path->leaf().SubjectText(), "CN=leaf");
  EXPECT_EQ(path->anchor().SubjectText(), "CN=root");
}

TEST_F(CertificateTest, RefusesAnUnknownIssuer) {
  EXPECT_THAT(Verify(Leaf(root_)), RefusedWith(Reason::kCertificateUntrusted));
  Trust(two_.CaSpec(two_));
  EXPECT_THAT(Verify(Leaf(root_)), RefusedWith(Reason::kCertificateUntrusted));
  // The sender's own root is no anchor.
  EXPECT_THAT(Verify(Leaf(root_), {root_.CaSpec(root_)}),
              RefusedWith(Reason::kCertificateUntrusted));
}

TEST_F(CertificateTest, RefusesAChainUnderACopiedName) {
  Trust(root_.CaSpec(root_));
  const TestCa forger = TestCa::New("root");
  EXPECT_THAT(Verify(Leaf(forger)), RefusedWith(Reason::kCertificateSignatureInvalid));
  EXPECT_THAT(Verify(Leaf(forger), {forger.CaSpec(forger)}),
              RefusedWith(Reason::kCertificateSignatureInvalid));
  EXPECT_THAT(Verify(Leaf(one_), {one_.CaSpec(forger)}),
              RefusedWith(Reason::kCertificateSignatureInvalid));
}

TEST_F(CertificateTest, RefusesAChangedBitInTheSignedPart) {
  Trust(root_.CaSpec(root_));
  const CertificateSpec spec = Leaf(root_);
  std::string der = MakeDer(spec);
  der[der.find("leaf")] ^= 1;
  EXPECT_THAT(VerifyPath(*Certificate::ParseDer(der), {}, anchors_, options_),
              RefusedWith(Reason::kCertificateSignatureInvalid));
}

TEST_F(CertificateTest, RefusesAnIssuerThatIsNoCa) {
  Trust(root_.CaSpec(root_));
  CertificateSpec spec = one_.CaSpec(root_);
  spec.basic_constraints = "critical,CA:FALSE";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), RefusedWith(Reason::kCertificateNotCa));
  spec.basic_constraints = "";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), RefusedWith(Reason::kCertificateNotCa));
  spec = one_.CaSpec(root_);
  spec.key_usage = "critical,digitalSignature";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), RefusedWith(Reason::kCertificateNotCa));
  spec.key_usage = "";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), IsOk());
}

TEST_F(CertificateTest, AllowsAnIssuerWithoutBasicConstraintsOnlyWhereAsked) {
  Trust(root_.CaSpec(root_));
  CertificateSpec spec = one_.CaSpec(root_);
  spec.basic_constraints = "";
  options_.takes_for_ca = [](const Certificate&, absl::Span<const Certificate* const> below) {
    return below.size() == 1;
  };
  EXPECT_THAT(Verify(Leaf(one_), {spec}), IsOk());
  spec.basic_constraints = "CA:FALSE";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), RefusedWith(Reason::kCertificateNotCa));
}

TEST_F(CertificateTest, KeepsPathLengthsOfIntermediatesAndAnchors) {
  Trust(root_.CaSpec(root_));
  CertificateSpec one = one_.CaSpec(root_);
  one.basic_constraints = "critical,CA:TRUE,pathlen:0";
  EXPECT_THAT(Verify(Leaf(one_), {one}), IsOk());
  EXPECT_THAT(Verify(Leaf(two_), {one, two_.CaSpec(one_)}), RefusedWith(Reason::kCertificateNotCa));

  anchors_ = {};
  CertificateSpec root = root_.CaSpec(root_);
  root.basic_constraints = "critical,CA:TRUE,pathlen:0";
  Trust(root);
  EXPECT_THAT(Verify(Leaf(root_)), IsOk());
  EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificateNotCa));
  // The same root with a longer path length beside it (real: two Yubico roots).
  root.basic_constraints = "critical,CA:TRUE,pathlen:1";
  Trust(root);
  EXPECT_THAT(Verify(Leaf(one_), {one}), IsOk());
}

TEST_F(CertificateTest, ExcusesAnAnchorsPathLengthOnlyWhereAskedAndNeverAnIntermediates) {
  CertificateSpec root = root_.CaSpec(root_);
  root.basic_constraints = "critical,CA:TRUE,pathlen:0";
  Trust(root);
  EXPECT_THAT(Verify(Leaf(one_), {one_.CaSpec(root_)}), RefusedWith(Reason::kCertificateNotCa));
  options_.excuses_path_length = [](const Certificate&,
                                    absl::Span<const Certificate* const> below) {
    return below.size() == 2;
  };
  EXPECT_THAT(Verify(Leaf(one_), {one_.CaSpec(root_)}), IsOk());
  EXPECT_THAT(Verify(Leaf(two_), {one_.CaSpec(root_), two_.CaSpec(one_)}),
              RefusedWith(Reason::kCertificateNotCa));
  // An intermediate says of itself what is below it: nobody excuses that.
  anchors_ = {};
  Trust(root_.CaSpec(root_));
  options_.excuses_path_length = [](const Certificate&, absl::Span<const Certificate* const>) {
    return true;
  };
  CertificateSpec one = one_.CaSpec(root_);
  one.basic_constraints = "critical,CA:TRUE,pathlen:0";
  EXPECT_THAT(Verify(Leaf(two_), {one, two_.CaSpec(one_)}), RefusedWith(Reason::kCertificateNotCa));
}

TEST_F(CertificateTest, AnIssuerThatIsTakenForACaMustStillBeAllowedToSign) {
  Trust(root_.CaSpec(root_));
  options_.takes_for_ca = [](const Certificate&, absl::Span<const Certificate* const>) {
    return true;
  };
  CertificateSpec spec = one_.CaSpec(root_);
  spec.basic_constraints = "";
  spec.key_usage = "digitalSignature";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), RefusedWith(Reason::kCertificateNotCa));
  spec.key_usage = "";
  EXPECT_THAT(Verify(Leaf(one_), {spec}), IsOk());
  spec.not_after = kNow - absl::Seconds(1);
  EXPECT_THAT(Verify(Leaf(one_), {spec}), RefusedWith(Reason::kCertificateExpired));
}

TEST_F(CertificateTest, SelfIssuedIntermediatesDoNotCountForPathLength) {
  CertificateSpec root = root_.CaSpec(root_);
  root.basic_constraints = "critical,CA:TRUE,pathlen:0";
  Trust(root);
  const TestCa rolled = TestCa::New("root");
  EXPECT_THAT(Verify(Leaf(rolled), {rolled.CaSpec(root_)}), IsOk());
}

TEST_F(CertificateTest, BoundsTheLength) {
  Trust(root_.CaSpec(root_));
  options_.max_length = 3;
  EXPECT_THAT(Verify(Leaf(one_), {one_.CaSpec(root_)}), IsOk());
  EXPECT_THAT(Verify(Leaf(two_), {one_.CaSpec(root_), two_.CaSpec(one_)}),
              RefusedWith(Reason::kCertificateNotCa));
}

TEST_F(CertificateTest, ChecksValidityOfLeafAndIntermediatesButNotOfTheAnchor) {
  CertificateSpec root = root_.CaSpec(root_);
  root.not_after = kNow - absl::Hours(24);
  Trust(root);
  EXPECT_THAT(Verify(Leaf(one_), {one_.CaSpec(root_)}), IsOk());

  CertificateSpec one = one_.CaSpec(root_);
  one.not_after = kNow - absl::Seconds(1);
  EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificateExpired));
  // A renewed certificate of the same intermediate, after the old one.
  EXPECT_THAT(Verify(Leaf(one_), {one, one_.CaSpec(root_)}), IsOk());

  CertificateSpec leaf = Leaf(root_);
  leaf.not_after = kNow - absl::Seconds(1);
  EXPECT_THAT(Verify(leaf), RefusedWith(Reason::kCertificateExpired));
  leaf = Leaf(root_);
  leaf.not_before = kNow + absl::Seconds(1);
  EXPECT_THAT(Verify(leaf), RefusedWith(Reason::kCertificateExpired));
  leaf = Leaf(root_);
  leaf.not_after = absl::InfiniteFuture();
  EXPECT_THAT(Verify(leaf), IsOk());
}

TEST_F(CertificateTest, RefusesCriticalExtensionsThatNobodyUnderstands) {
  Trust(root_.CaSpec(root_));
  const std::string null("\x05\x00", 2);
  for (bool critical : {false, true}) {
    CertificateSpec leaf = Leaf(root_);
    leaf.extensions = {{"1.2.3.4", critical, null}};
    CertificateSpec one = one_.CaSpec(root_);
    one.extensions = {{"1.2.3.4", critical, null}};
    if (critical) {
      EXPECT_THAT(Verify(leaf), RefusedWith(Reason::kCertificateCriticalExtension));
      EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificateCriticalExtension));
      options_.understood_critical = {"1.2.3.4"};
      EXPECT_THAT(Verify(leaf), IsOk());
      // What the caller understands is the leaf's.
      EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificateCriticalExtension));
    } else {
      EXPECT_THAT(Verify(leaf), IsOk());
      EXPECT_THAT(Verify(Leaf(one_), {one}), IsOk());
    }
  }
}

TEST_F(CertificateTest, EveryCaBelowTheAnchorMayIssueForThePurpose) {
  constexpr char kEk[] = "2.23.133.8.1", kAk[] = "2.23.133.8.3", kWeb[] = "1.3.6.1.5.5.7.3.1";
  const auto why = [&](const std::string& of_root, const std::string& of_one,
                       const std::string& of_two) {
    anchors_ = {};
    CertificateSpec root = root_.CaSpec(root_), one = one_.CaSpec(root_), two = two_.CaSpec(one_);
    root.extended_key_usage = of_root;
    one.extended_key_usage = of_one;
    two.extended_key_usage = of_two;
    Trust(root);
    return Verify(Leaf(two_), {one, two}).status();
  };
  const std::string several = absl::StrCat("critical,", kAk, ",", kEk);
  // Nobody asks.
  EXPECT_THAT(why("", absl::StrCat("critical,", kWeb), kAk), IsOk());
  options_.purpose = kEk;
  EXPECT_THAT(why("", "", ""), IsOk());
  EXPECT_THAT(why("", kEk, several), IsOk());
  EXPECT_THAT(why("", "anyExtendedKeyUsage", several), IsOk());
  EXPECT_THAT(why(kWeb, kEk, ""), IsOk()) << "the anchor is not asked";
  for (const std::string& other : {std::string(kAk), absl::StrCat("critical,", kWeb)}) {
    EXPECT_THAT(why("", other, ""), RefusedWith(Reason::kCertificatePurpose));
    EXPECT_THAT(why("", kEk, other), RefusedWith(Reason::kCertificatePurpose));
    EXPECT_THAT(why("", other, kEk), RefusedWith(Reason::kCertificatePurpose));
  }
  const absl::Status refused = why("", kAk, kEk);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("\"CN=one\""));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("lacks 2.23.133.8.1: it is for 2.23.133"));
}

TEST_F(CertificateTest, AnExtKeyUsageThatDoesNotParseIsForNothing) {
  Trust(root_.CaSpec(root_));
  options_.purpose = "2.23.133.8.1";
  CertificateSpec one = one_.CaSpec(root_);
  for (const std::string& value : {std::string("\x30\x00", 2), std::string("nonsense")}) {
    one.extensions = {{"2.5.29.37", false, value}};
    EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificatePurpose));
  }
}

TEST_F(CertificateTest, OfTwoCertificatesOfACaTheOneForThePurposeIsTaken) {
  Trust(root_.CaSpec(root_));
  options_.purpose = "2.23.133.8.1";
  CertificateSpec other = one_.CaSpec(root_), fit = one_.CaSpec(root_);
  other.extended_key_usage = "2.23.133.8.3";
  fit.extended_key_usage = "2.23.133.8.1";
  EXPECT_THAT(Verify(Leaf(one_), {other, fit}), IsOk());
}

TEST_F(CertificateTest, RefusesNameConstraintsItCannotProcess) {
  Trust(root_.CaSpec(root_));
  CertificateSpec one = one_.CaSpec(root_);
  one.extensions = {{"2.5.29.30", true, std::string("\x30\x00", 2)}};
  EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificateCriticalExtension));
}

TEST_F(CertificateTest, TakesCriticalPoliciesAndUsagesOfCas) {
  Trust(root_.CaSpec(root_));
  CertificateSpec one = one_.CaSpec(root_);
  one.extended_key_usage = "critical,2.23.133.8.1";
  // One policy, 1.2.3.
  one.extensions = {{"2.5.29.32", true, std::string("\x30\x06\x30\x04\x06\x02\x2a\x03", 8)}};
  EXPECT_THAT(Verify(Leaf(one_), {one}), IsOk());
}

// RFC 5280 §6.1.3 (d) and (f); agencies' roots and bridges issue such CAs.
TEST_F(CertificateTest, APolicyThatACaRequiresMustHoldAlongThePath) {
  Trust(root_.CaSpec(root_));
  // Policies 1.2.N and anyPolicy (0).
  const auto listing = [](std::initializer_list<int> policies) {
    std::string all;
    for (int policy : policies) {
      all += policy == 0
                 ? std::string("\x30\x06\x06\x04\x55\x1d\x20\x00", 8)
                 : absl::StrCat("\x30\x04\x06\x02\x2a", std::string(1, static_cast<char>(policy)));
    }
    return ExtensionSpec{"2.5.29.32", false,
                         absl::StrCat("\x30", std::string(1, static_cast<char>(all.size())), all)};
  };
  const ExtensionSpec required = {"2.5.29.36", true, std::string("\x30\x03\x80\x01\x00", 5)};
  const ExtensionSpec no_mapping = {"2.5.29.36", true, std::string("\x30\x03\x81\x01\x00", 5)};
  const ExtensionSpec no_any = {"2.5.29.54", true, std::string("\x02\x01\x00", 3)};
  // root - one - two - leaf
  const auto why = [&](std::vector<ExtensionSpec> of_one, std::vector<ExtensionSpec> of_two,
                       std::vector<ExtensionSpec> of_leaf) {
    CertificateSpec one = one_.CaSpec(root_);
    one.extensions = std::move(of_one);
    CertificateSpec two = two_.CaSpec(one_);
    two.extensions = std::move(of_two);
    CertificateSpec leaf = Leaf(two_);
    leaf.extensions = std::move(of_leaf);
    return ReasonOf(Verify(leaf, {one, two}).status());
  };
  const std::optional<Reason> taken;
  const std::optional<Reason> refused = Reason::kCertificatePolicy;
  EXPECT_EQ(why({required, listing({1, 2})}, {listing({2, 3})}, {listing({2})}), taken);
  EXPECT_EQ(why({listing({1, 2})}, {required, listing({2, 3})}, {listing({2})}), taken);
  EXPECT_EQ(why({required, listing({1, 2})}, {listing({2, 3})}, {listing({1, 3})}), refused);
  EXPECT_EQ(why({required, listing({1})}, {listing({1})}, {}), refused);
  EXPECT_EQ(why({required, listing({1})}, {}, {listing({1})}), refused);
  EXPECT_EQ(why({required}, {listing({1})}, {listing({1})}), refused);
  EXPECT_EQ(why({required, listing({0})}, {listing({1})}, {listing({1})}), taken);
  EXPECT_EQ(why({required, listing({1})}, {listing({0})}, {listing({0})}), taken);
  EXPECT_EQ(why({required, listing({1})}, {listing({2, 0})}, {listing({1})}), taken);
  EXPECT_EQ(why({required, no_any, listing({1})}, {listing({0})}, {listing({1})}), refused);
  EXPECT_EQ(why({required, listing({1})}, {no_any, listing({1})}, {listing({1, 0})}), taken);
  EXPECT_EQ(why({no_mapping, no_any}, {}, {}), taken);
  for (const char* oid : {"2.5.29.33", "2.5.29.36", "2.5.29.54"}) {
    EXPECT_EQ(why({{oid, true, "nonsense"}}, {}, {}), Reason::kCertificateCriticalExtension);
    EXPECT_EQ(why({{oid, false, "nonsense"}}, {}, {}), refused) << oid;
  }
  // Whether they are critical does not matter.
  ExtensionSpec soft = required, soft_any = no_any;
  soft.critical = soft_any.critical = false;
  EXPECT_EQ(why({soft, listing({1})}, {listing({1})}, {}), refused);
  EXPECT_EQ(why({soft, soft_any, listing({1})}, {listing({0})}, {listing({1})}), refused);
  EXPECT_EQ(why({soft, soft_any, listing({1})}, {listing({1})}, {listing({1})}), taken);
  // The leaf may require one, too.
  EXPECT_EQ(why({}, {}, {soft}), refused);
  EXPECT_EQ(why({listing({1})}, {listing({1})}, {soft, listing({1})}), taken);
  // Counts: so many certificates below may do without.
  const auto after = [](uint8_t tag, char skip) {
    return ExtensionSpec{"2.5.29.36", true,
                         absl::StrCat("\x30\x03", std::string(1, static_cast<char>(tag)), "\x01",
                                      std::string(1, skip))};
  };
  EXPECT_EQ(why({after(0x80, 1)}, {}, {}), refused);
  EXPECT_EQ(why({after(0x80, 2)}, {}, {}), refused) << "RFC 5280 6.1.5 (a): the leaf counts down";
  EXPECT_EQ(why({after(0x80, 3)}, {}, {}), taken);
  EXPECT_EQ(why({after(0x80, 3)}, {after(0x80, 0)}, {}), refused);
  EXPECT_EQ(why({{"2.5.29.36", true, std::string("\x30\x03\x80\x01\xff", 5)}}, {}, {}),
            Reason::kCertificateCriticalExtension)
      << "a negative count";
  const auto no_any_after = [](char skip) {
    return ExtensionSpec{"2.5.29.54", true, absl::StrCat("\x02\x01", std::string(1, skip))};
  };
  const std::vector<ExtensionSpec> one = {required, listing({1}), no_any_after(1)};
  EXPECT_EQ(why(one, {listing({0})}, {listing({1})}), taken);
  EXPECT_EQ(why(one, {listing({0})}, {listing({0})}), refused);
  // Pinned itself, the CA asks for nothing: an anchor is a name, a key and a path length.
  CertificateSpec pinned = one_.CaSpec(root_);
  pinned.extensions = {required};
  anchors_ = {};
  Trust(pinned);
  EXPECT_THAT(Verify(Leaf(one_)), IsOk());
}

// RFC 5280 §6.1.4 (a) and (b). Which policies hold is VerifiedPath's to tell.
TEST_F(CertificateTest, MappedPoliciesHoldUnderTheirNewNameAndAreMarked) {
  Trust(root_.CaSpec(root_));
  const auto oid = [](int policy) {
    return policy == 0 ? std::string("\x06\x04\x55\x1d\x20\x00", 6)
                       : absl::StrCat("\x06\x02\x2a", std::string(1, static_cast<char>(policy)));
  };
  const auto listing = [&](std::initializer_list<int> policies) {
    std::string all;
    for (int policy : policies) all += Tlv(0x30, oid(policy));
    return ExtensionSpec{"2.5.29.32", false, Tlv(0x30, all)};
  };
  const auto map = [&](int from, int to) {
    return ExtensionSpec{"2.5.29.33", true, Tlv(0x30, Tlv(0x30, oid(from) + oid(to)))};
  };
  const ExtensionSpec required = {"2.5.29.36", true, std::string("\x30\x03\x80\x01\x00", 5)};
  const ExtensionSpec no_mapping = {"2.5.29.36", true,
                                    std::string("\x30\x06\x80\x01\x00\x81\x01\x00", 8)};
  const auto verify = [&](std::vector<ExtensionSpec> of_one, std::vector<ExtensionSpec> of_two,
                          std::vector<ExtensionSpec> of_leaf) {
    CertificateSpec one = one_.CaSpec(root_), two = two_.CaSpec(one_), leaf = Leaf(two_);
    one.extensions = std::move(of_one);
    two.extensions = std::move(of_two);
    leaf.extensions = std::move(of_leaf);
    return Verify(leaf, {one, two});
  };
  using Names = std::set<std::string>;
  const auto plain = verify({required, listing({1, 2})}, {listing({2, 3})}, {listing({2, 4})});
  ASSERT_THAT(plain, IsOk());
  EXPECT_EQ(plain->policies().named, Names{"1.2.2"});
  EXPECT_FALSE(plain->policies().mapped);
  const auto mapped = verify({required, listing({1})}, {listing({1}), map(1, 2)}, {listing({2})});
  ASSERT_THAT(mapped, IsOk());
  EXPECT_EQ(mapped->policies().named, Names{"1.2.2"});
  EXPECT_TRUE(mapped->policies().mapped);
  const auto refused = RefusedWith(Reason::kCertificatePolicy);
  EXPECT_THAT(verify({required, listing({1})}, {listing({1}), map(1, 2)}, {listing({1})}), refused);
  EXPECT_THAT(verify({required, listing({1})}, {listing({1}), map(3, 2)}, {listing({2})}), refused);
  EXPECT_THAT(verify({no_mapping, listing({1})}, {listing({1}), map(1, 2)}, {listing({2})}),
              refused);
  // By anyPolicy every policy can be mapped, but anyPolicy itself can't.
  EXPECT_THAT(verify({required, listing({0})}, {listing({0}), map(1, 2)}, {listing({2})}), IsOk());
  EXPECT_THAT(verify({}, {listing({0}), map(0, 2)}, {}), refused);
  EXPECT_THAT(verify({}, {listing({0}), map(2, 0)}, {}), refused);
  // A critical mapping of the leaf's own is nothing that anybody understands.
  EXPECT_THAT(verify({}, {}, {map(1, 2)}), RefusedWith(Reason::kCertificateCriticalExtension));
}

TEST_F(CertificateTest, ASelfIssuedCaNeitherCountsDownNorLosesAnyPolicy) {
  Trust(root_.CaSpec(root_));
  const ExtensionSpec any = {"2.5.29.32", false,
                             std::string("\x30\x08\x30\x06\x06\x04\x55\x1d\x20\x00", 10)};
  const ExtensionSpec policy = {"2.5.29.32", false,
                                std::string("\x30\x06\x30\x04\x06\x02\x2a\x01", 8)};
  const ExtensionSpec required = {"2.5.29.36", true, std::string("\x30\x03\x80\x01\x00", 5)};
  const ExtensionSpec no_any = {"2.5.29.54", true, std::string("\x02\x01\x00", 3)};
  const TestCa renewed = TestCa::New("one");  // the same CA with a new key
  CertificateSpec one = one_.CaSpec(root_), again = renewed.CaSpec(one_), leaf = Leaf(renewed);
  one.extensions = {required, no_any, policy};
  again.extensions = {any};
  leaf.extensions = {policy};
  EXPECT_THAT(Verify(leaf, {one, again}), IsOk());
  leaf.extensions = {any};
  EXPECT_THAT(Verify(leaf, {one, again}), RefusedWith(Reason::kCertificatePolicy));
  // requireExplicitPolicy 2: the renewed CA does not use one up.
  leaf.extensions = again.extensions = {};
  one.extensions = {{"2.5.29.36", true, std::string("\x30\x03\x80\x01\x02", 5)}};
  EXPECT_THAT(Verify(leaf, {one, again}), IsOk());
}

TEST_F(CertificateTest, RefusesWeakHashesAndKeys) {
  Trust(root_.CaSpec(root_));
  CertificateSpec leaf = Leaf(root_);
  leaf.md = EVP_sha1();
  EXPECT_THAT(Verify(leaf), RefusedWith(Reason::kCertificateAlgorithm));
  CertificateSpec one = one_.CaSpec(root_);
  one.md = EVP_sha1();
  EXPECT_THAT(Verify(Leaf(one_), {one}), RefusedWith(Reason::kCertificateAlgorithm));

  const TestCa small{"small", NewRsaKey(1024)};
  EXPECT_THAT(Verify(Leaf(small), {small.CaSpec(root_)}),
              RefusedWith(Reason::kCertificateAlgorithm));
  const TestCa curve{"curve", NewEcKey("secp224r1")};
  EXPECT_THAT(Verify(Leaf(curve), {curve.CaSpec(root_)}),
              RefusedWith(Reason::kCertificateAlgorithm));
  // A root's signature of itself is nobody's proof of anything.
  anchors_ = {};
  CertificateSpec root = root_.CaSpec(root_);
  root.md = EVP_sha1();
  Trust(root);
  EXPECT_THAT(Verify(Leaf(root_)), IsOk());
}

TEST_F(CertificateTest, RefusesAnIssuerWhoseKeyNobodyKnows) {
  Trust(root_.CaSpec(root_));
  CertificateSpec unknown = one_.CaSpec(root_);
  unknown.key_algorithm = "1.2.3.4.5";
  const auto path = Verify(Leaf(one_), {unknown});
  EXPECT_THAT(path, RefusedWith(Reason::kCertificateAlgorithm));
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("not understood"));
}

TEST_F(CertificateTest, TakesRsaKeysOf2048To8192BitsWithShortExponents) {
  Trust(root_.CaSpec(root_));
  // The key signs nothing here, so that its modulus need not be one: what is refused for its size
  // never comes to the signature.
  const auto why = [&](int bits, const char* e = "10001") {
    BIGNUM* hex = nullptr;
    BN_hex2bn(&hex, e);
    BignumPtr modulus(BN_new()), exponent(hex);
    BN_set_bit(modulus.get(), bits - 1);
    BN_set_bit(modulus.get(), 0);
    std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> builder(OSSL_PARAM_BLD_new(),
                                                                            OSSL_PARAM_BLD_free);
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
    std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> params(
        OSSL_PARAM_BLD_to_param(builder.get()), OSSL_PARAM_free);
    EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
    EVP_PKEY* key = nullptr;
    EVP_PKEY_fromdata_init(context.get());
    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get());
    const TestCa ca{"rsa", std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(key))};
    CertificateSpec leaf = Leaf(ca);
    leaf.signer = NewRsaKey();
    return ReasonOf(Verify(leaf, {ca.CaSpec(root_)}).status());
  };
  EXPECT_EQ(why(2047), Reason::kCertificateAlgorithm);
  EXPECT_EQ(why(2048), Reason::kCertificateSignatureInvalid);
  EXPECT_EQ(why(8192), Reason::kCertificateSignatureInvalid);
  EXPECT_EQ(why(8193), Reason::kCertificateAlgorithm);
  EXPECT_EQ(why(2048, "3"), Reason::kCertificateSignatureInvalid);
  EXPECT_EQ(why(2048, "FFFFFFFF"), Reason::kCertificateSignatureInvalid);
  for (const char* e : {"1", "10000", "100000001", "10000000000000000000000000000000000000001"}) {
    EXPECT_EQ(why(2048, e), Reason::kCertificateAlgorithm) << e;
  }
}

TEST_F(CertificateTest, UnderstandsTheseCriticalExtensions) {
  Trust(root_.CaSpec(root_));
  struct Case {
    const char* oid;
    bool of_ca, of_leaf;
  };
  const std::string empty("\x30\x00", 2);
  for (const Case& c : {Case{"2.5.29.18", true, true},  // issuerAltName
                        {"2.5.29.17", true, false},     // subjectAltName
                        {"2.5.29.31", true, true},      // cRLDistributionPoints
                        {"2.5.29.32", true, true},      // certificatePolicies
                        {"2.5.29.37", true, false},     // extKeyUsage
                        {"2.5.29.36", true, false},     // policyConstraints
                        {"2.5.29.33", true, false},     // policyMappings
                        {"2.5.29.54", true, false}}) {  // inhibitAnyPolicy
    const std::string value =
        absl::string_view(c.oid) == "2.5.29.54" ? std::string("\x02\x01\x00", 3)
        : absl::string_view(c.oid) == "2.5.29.33"
            ? std::string("\x30\x0a\x30\x08\x06\x02\x2a\x01\x06\x02\x2a\x02", 12)
            : empty;
    const auto due = [](bool taken) {
      return taken ? std::optional<Reason>() : Reason::kCertificateCriticalExtension;
    };
    CertificateSpec one = one_.CaSpec(root_);
    one.extensions = {{c.oid, true, value}};
    EXPECT_EQ(ReasonOf(Verify(Leaf(one_), {one}).status()), due(c.of_ca)) << c.oid;
    CertificateSpec leaf = Leaf(root_);
    leaf.extensions = {{c.oid, true, value}};
    EXPECT_EQ(ReasonOf(Verify(leaf).status()), due(c.of_leaf)) << c.oid;
  }
  CertificateSpec leaf = Leaf(root_);
  leaf.basic_constraints = "critical,CA:FALSE";
  leaf.key_usage = "critical,digitalSignature";
  EXPECT_THAT(Verify(leaf), IsOk());
}

TEST_F(CertificateTest, IsValidFromItsFirstSecondToItsLast) {
  Trust(root_.CaSpec(root_));
  CertificateSpec leaf = Leaf(root_);
  leaf.not_before = leaf.not_after = kNow;
  EXPECT_THAT(Verify(leaf), IsOk());
}

TEST_F(CertificateTest, TheSameCertificateSentOftenCostsNoMore) {
  Trust(root_.CaSpec(root_));
  const TestCa namesake = TestCa::New("one");
  const Certificate false_one = Make(namesake.CaSpec(root_));
  std::vector<Certificate> intermediates(options_.max_signature_checks, false_one);
  intermediates.push_back(Make(one_.CaSpec(root_)));
  EXPECT_THAT(VerifyPath(Make(Leaf(one_)), intermediates, anchors_, options_), IsOk());
}

TEST_F(CertificateTest, TakesTheKeysOfRealVendors) {
  EvpPkeyCtxPtr pss(EVP_PKEY_CTX_new_from_name(nullptr, "RSA-PSS", nullptr));
  EVP_PKEY* pss_key = nullptr;
  EVP_PKEY_keygen_init(pss.get());
  ASSERT_EQ(EVP_PKEY_generate(pss.get(), &pss_key), 1);
  const std::shared_ptr<EVP_PKEY> keys[] = {
      NewRsaKey(2048), NewEcKey("P-384"), NewEcKey("P-521"),
      std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))),
      std::shared_ptr<EVP_PKEY>(EvpPkeyPtr(pss_key))};
  for (const auto& key : keys) {
    const TestCa ca{"vendor", key};
    anchors_ = {};
    Trust(ca.CaSpec(ca));
    EXPECT_THAT(Verify(Leaf(ca)), IsOk());
  }
}

TEST_F(CertificateTest, RefusesAnIssuerOnExplicitCurveParameters) {
  Trust(root_.CaSpec(root_));
  const TestCa curve{"curve", NewEcKey()};
  EVP_PKEY_set_utf8_string_param(curve.key.get(), "encoding", "explicit");
  EXPECT_THAT(Verify(Leaf(curve), {curve.CaSpec(root_)}),
              RefusedWith(Reason::kCertificateAlgorithm));
}

TEST_F(CertificateTest, ComparesNamesWhateverTheirEncoding) {
  CertificateSpec root = root_.CaSpec(root_);
  root.subject_type = V_ASN1_PRINTABLESTRING;
  root.subject = "Root  CA";
  Trust(root);
  CertificateSpec leaf = Leaf(root_);
  leaf.issuer = "root ca";
  leaf.issuer_type = V_ASN1_UTF8STRING;
  EXPECT_THAT(Verify(leaf), IsOk());
}

TEST_F(CertificateTest, TakesALeafWithoutSubjectAndAnchorsOfEveryKind) {
  CertificateSpec root = root_.CaSpec(root_);
  root.basic_constraints = "CA:FALSE";
  root.key_usage = "";
  root.serial = 0;
  Trust(root);
  CertificateSpec leaf = Leaf(root_);
  leaf.subject = "";
  EXPECT_THAT(Verify(leaf), IsOk());
  anchors_ = {};
  root.basic_constraints = "";
  root.version = 0;
  Trust(root);
  EXPECT_THAT(Verify(leaf), IsOk());
  // An intermediate that an administrator trusts, without its root.
  anchors_ = {};
  Trust(one_.CaSpec(two_));
  EXPECT_THAT(Verify(Leaf(one_)), IsOk());
}

TEST_F(CertificateTest, ALeafAnchorsItselfOnlyWhereAsked) {
  const TestCa self{"leaf", leaf_key_};
  const Certificate leaf = Make(Leaf(self));
  anchors_.Add(leaf);
  EXPECT_THAT(VerifyPath(leaf, {}, anchors_, options_), RefusedWith(Reason::kCertificateUntrusted));
  options_.leaf_may_be_anchor = true;
  auto path = VerifyPath(leaf, {}, anchors_, options_);
  ASSERT_THAT(path, IsOk());
  EXPECT_THAT(path->certificates(), SizeIs(1));
}

TEST_F(CertificateTest, StopsAtTheFirstAnchorOfACrossSignedChain) {
  const TestCa old = TestCa::New("old root");
  Trust(old.CaSpec(old));
  EXPECT_THAT(Verify(Leaf(root_), {root_.CaSpec(old)}), IsOk());
  Trust(root_.CaSpec(root_));
  auto path = Verify(Leaf(root_), {root_.CaSpec(old)});
  ASSERT_THAT(path, IsOk());
  EXPECT_THAT(path->certificates(), SizeIs(2));
}

// ---- The search ----

TEST_F(CertificateTest, TheSearchDoesNotGoInCircles) {
  // Two CAs that have certified each other, again and again; nobody above them is trusted.
  Trust(root_.CaSpec(root_));
  std::vector<CertificateSpec> mesh;
  for (int i = 0; i < 5; ++i) {
    mesh.push_back(one_.CaSpec(two_));
    mesh.push_back(two_.CaSpec(one_));
    mesh[2 * i].serial = mesh[2 * i + 1].serial = 100 + i;
  }
  const auto path = Verify(Leaf(one_), mesh);
  EXPECT_THAT(path, RefusedWith(Reason::kCertificateUntrusted));
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("no trust anchor"));
  // Each of the five certificates of one, and of two above each: and no more.
  options_.max_signature_checks = 5 + 5 * 5;
  EXPECT_THAT(std::string(Verify(Leaf(one_), mesh).status().message()), HasSubstr("no trust anch"));
  mesh.push_back(two_.CaSpec(root_));
  options_.max_signature_checks = 32;
  EXPECT_THAT(Verify(Leaf(one_), mesh), IsOk());
}

TEST_F(CertificateTest, LooksAtLengthsBeforeItPaysForSignatures) {
  CertificateSpec root = root_.CaSpec(root_);
  root.basic_constraints = "critical,CA:TRUE,pathlen:0";
  Trust(root);
  // One signature is good, that of the leaf by `one`; the root is then passed over unpaid.
  options_.max_signature_checks = 1;
  const auto unpaid = Verify(Leaf(one_), {one_.CaSpec(root_)});
  EXPECT_THAT(unpaid, RefusedWith(Reason::kCertificateUntrusted));
  EXPECT_THAT(std::string(unpaid.status().message()), HasSubstr("gave up after 1"));
  // With budget left it is the reason, if it is the issuer ...
  options_.max_signature_checks = 32;
  const auto why = Verify(Leaf(one_), {one_.CaSpec(root_)});
  EXPECT_THAT(why, RefusedWith(Reason::kCertificateNotCa));
  EXPECT_THAT(std::string(why.status().message()), HasSubstr("allows 0 CAs below it, there are 1"));
  // ... and none where it only has the name.
  const TestCa namesake = TestCa::New("root");
  EXPECT_THAT(Verify(Leaf(one_), {one_.CaSpec(namesake)}),
              RefusedWith(Reason::kCertificateSignatureInvalid));
  // No signature at all is paid for what would be too long.
  options_.max_length = 2;
  options_.max_signature_checks = 0;
  EXPECT_THAT(std::string(Verify(Leaf(one_), {one_.CaSpec(root_)}).status().message()),
              HasSubstr("the path is longer than 2"));
}

TEST_F(CertificateTest, SaysWhatWasWrongAndNotThatThePathIsLong) {
  Trust(root_.CaSpec(root_));
  options_.max_length = 4;
  // A good path that has expired, beside a way that only leads on and on.
  std::vector<CertificateSpec> chain;
  TestCa below = one_;
  for (int i = 0; i < 4; ++i) {
    const TestCa above = TestCa::New(absl::StrCat("above ", i));
    chain.push_back(below.CaSpec(above));
    below = above;
  }
  CertificateSpec expired = one_.CaSpec(root_);
  expired.not_after = kNow - absl::Seconds(1);
  chain.push_back(expired);
  EXPECT_THAT(Verify(Leaf(one_), chain), RefusedWith(Reason::kCertificateExpired));
  chain.pop_back();
  EXPECT_THAT(Verify(Leaf(one_), chain), RefusedWith(Reason::kCertificateNotCa));
}

TEST_F(CertificateTest, TriesMatchingKeyIdentifiersFirst) {
  const auto ski = [](char id) {
    return ExtensionSpec{"2.5.29.14", false, std::string("\x04\x01") + id};
  };
  const auto aki = [](char id) {
    return ExtensionSpec{"2.5.29.35", false, std::string("\x30\x03\x80\x01") + id};
  };
  // Twelve anchors of one name, and the last one is it.
  for (char i = 0; i < 12; ++i) {
    const TestCa ca = i < 11 ? TestCa::New("root") : root_;
    CertificateSpec spec = ca.CaSpec(ca);
    spec.extensions = {ski(i)};
    Trust(spec);
  }
  CertificateSpec leaf = Leaf(root_);
  leaf.extensions = {aki(11)};
  options_.max_signature_checks = 1;
  EXPECT_THAT(Verify(leaf), IsOk());
  // An identifier is a hint: a wrong one costs, and refuses nobody.
  leaf.extensions = {aki(3)};
  EXPECT_FALSE(Verify(leaf).ok());
  options_.max_signature_checks = 12;
  EXPECT_THAT(Verify(leaf), IsOk());
  // The same among intermediates, in front of an anchor that is another one.
  options_.max_signature_checks = 2;
  std::vector<CertificateSpec> intermediates;
  for (char i = 0; i < 5; ++i) {
    const TestCa ca = i < 4 ? TestCa::New("one") : one_;
    intermediates.push_back(ca.CaSpec(root_));
    intermediates.back().extensions = {ski(i), aki(11)};
  }
  leaf = Leaf(one_);
  leaf.extensions = {aki(4)};
  EXPECT_THAT(Verify(leaf, intermediates), IsOk());
}

TEST_F(CertificateTest, CurvesThatNoVendorUsesCostNoSignature) {
  for (const char* curve :
       {"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1", "secp256k1", "P-224"}) {
    const TestCa odd{"odd", NewEcKey(curve)};
    anchors_ = {};
    Trust(odd.CaSpec(odd));
    CertificateSpec leaf = Leaf(odd);
    EXPECT_THAT(Verify(leaf), RefusedWith(Reason::kCertificateAlgorithm)) << curve;
    // For the curve, before anybody looks whether the signature is good.
    leaf.signer = NewEcKey();
    EXPECT_THAT(Verify(leaf), RefusedWith(Reason::kCertificateAlgorithm)) << curve;
  }
}

TEST_F(CertificateTest, ANameOfAnyLengthIsCutInWhatPeopleRead) {
  CertificateSpec leaf = Leaf(root_);
  for (int i = 0; i < 600; ++i) leaf.subject_fields.emplace_back("OU", std::string(60, 'x'));
  const auto path = Verify(leaf);
  EXPECT_THAT(path, RefusedWith(Reason::kCertificateUntrusted));
  EXPECT_LT(path.status().message().size(), 2000u);
}

TEST_F(CertificateTest, GivesUpOnIntermediatesMadeToExplode) {
  Trust(root_.CaSpec(root_));
  // Twelve certificates of one name and key that all issue each other.
  const TestCa maze = TestCa::New("maze");
  std::vector<CertificateSpec> intermediates;
  for (int i = 0; i < 12; ++i) {
    intermediates.push_back(maze.CaSpec(maze));
    intermediates.back().serial = 100 + i;
  }
  // Without a budget this would be 12! checks.
  options_.max_length = 20;
  auto path = Verify(Leaf(maze), intermediates);
  EXPECT_THAT(path, ::testing::AnyOf(RefusedWith(Reason::kCertificateUntrusted),
                                     RefusedWith(Reason::kCertificateNotCa)));
  // A decoy costs one check, the honest path two.
  const TestCa decoy = TestCa::New("one");
  options_.max_signature_checks = 3;
  EXPECT_THAT(Verify(Leaf(one_), {decoy.CaSpec(root_), one_.CaSpec(root_)}), IsOk());
  options_.max_signature_checks = 2;
  EXPECT_FALSE(Verify(Leaf(one_), {decoy.CaSpec(root_), one_.CaSpec(root_)}).ok());
}

// ---- Quirks ----

TEST_F(CertificateTest, VerifiesOverTheOriginalBytesWithExplicitCriticalFalse) {
  Trust(root_.CaSpec(root_));
  CertificateSpec spec = Leaf(root_);
  spec.extensions = {{"1.2.3.4", false, std::string("\x05\x00", 2)}};
  // Extension: OID, OCTET STRING; with the default BOOLEAN FALSE spelled out.
  const std::string plain("\x30\x09\x06\x03\x2a\x03\x04\x04\x02\x05\x00", 11);
  const std::string spelled("\x30\x0c\x06\x03\x2a\x03\x04\x01\x01\x00\x04\x02\x05\x00", 14);
  // [3] { SEQUENCE { extension } }
  const std::string der = Altered(spec, absl::StrCat(std::string("\xa3\x0d\x30\x0b", 4), plain),
                                  absl::StrCat(std::string("\xa3\x10\x30\x0e", 4), spelled));
  auto certificate = Certificate::ParseDer(der);
  ASSERT_THAT(certificate, IsOk());
  EXPECT_FALSE(certificate->ExtensionIsCritical("1.2.3.4"));
  EXPECT_THAT(VerifyPath(*certificate, {}, anchors_, options_), IsOk());
}

TEST_F(CertificateTest, TakesASerialWithLeadingZerosOverTheOriginalBytes) {
  Trust(root_.CaSpec(root_));
  const std::string minimal("\x02\x01\x07", 3);
  const std::string padded("\x02\x04\x00\x00\x00\x07", 6);
  const std::string der = Altered(one_.CaSpec(root_), minimal, padded);
  auto certificate = Certificate::ParseDer(der);
  ASSERT_THAT(certificate, IsOk());
  EXPECT_TRUE(certificate->repaired());
  EXPECT_EQ(certificate->der(), der);
  EXPECT_EQ(certificate->SerialHex(), "07");
  EXPECT_THAT(VerifyPath(Make(Leaf(one_)), {*certificate}, anchors_, options_), IsOk());

  // The repaired form is not what was signed: it must not verify, nor the other way round.
  EXPECT_THAT(VerifyPath(Make(Leaf(one_)), {*Certificate::ParseDer(*RepairSerial(der))}, anchors_,
                         options_),
              RefusedWith(Reason::kCertificateSignatureInvalid));
  std::string forged = MakeDer(one_.CaSpec(root_));
  CertificateParts parts = *SplitCertificate(forged);
  std::string tbs(parts.tbs.substr(4 - (parts.tbs[1] == '\x81')));
  tbs.replace(tbs.find(minimal), minimal.size(), padded);
  forged = Tlv(0x30, absl::StrCat(Tlv(0x30, tbs), parts.signature_algorithm,
                                  Tlv(0x03, absl::StrCat(std::string(1, '\0'), parts.signature))));
  EXPECT_THAT(VerifyPath(Make(Leaf(one_)), {*Certificate::ParseDer(forged)}, anchors_, options_),
              RefusedWith(Reason::kCertificateSignatureInvalid));
}

TEST_F(CertificateTest, RepairsUnusedBitsOfTheKnownCertificatesAlone) {
  Trust(root_.CaSpec(root_));
  std::string der = MakeDer(Leaf(root_));
  CertificateParts parts = *SplitCertificate(der);
  der[der.size() - parts.signature.size() - 1] = 1;
  EXPECT_EQ(RepairUnusedBits(der), std::nullopt);
  auto certificate = Certificate::ParseDer(der);
  EXPECT_TRUE(!certificate.ok() || !VerifyPath(*certificate, {}, anchors_, options_).ok());
}

// ---- Trust folders ----

TEST_F(CertificateTest, LoadsAFolderAndNamesWhatItSkips) {
  std::string folder = ::testing::TempDir() + "/anchors.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string root = MakeDer(root_.CaSpec(root_));
  const auto write = [&folder](const std::string& name, const std::string& content) {
    std::ofstream(folder + "/" + name, std::ios::binary) << content;
  };
  write("a.der", root);
  write("b.pem", Pem(MakeDer(one_.CaSpec(one_))) + Pem("junk") + Pem(MakeDer(two_.CaSpec(two_))));
  write("c.txt", "a note");
  std::vector<std::string> skipped;
  auto anchors = TrustAnchors::FromDirectory(folder, &skipped);
  ASSERT_THAT(anchors, IsOk());
  EXPECT_THAT(anchors->anchors(), SizeIs(3));
  EXPECT_THAT(skipped, ::testing::ElementsAre(HasSubstr("b.pem: "), HasSubstr("c.txt: ")));
  std::filesystem::remove_all(folder);
  EXPECT_THAT(TrustAnchors::FromDirectory(folder, &skipped), HasCode(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace forekey
