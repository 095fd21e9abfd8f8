// SPDX-License-Identifier: Apache-2.0
// What the certificate of a card's key proves by the word of its issuing CA, and what it does not.
#include "tests/support/roca_key.h"
#include "tests/unit/verify/piv_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;

constexpr char kClientAuth[] = "1.3.6.1.5.5.7.3.2";
constexpr char kForekey[] = "1.2.3.4.99";
constexpr char kForekeyToo[] = "1.2.3.4.98";
constexpr char kHardware[] = "1.2.3.7";
constexpr char kOther[] = "1.2.3.8";

// certificatePolicies of arcs below 1.2.3, one octet each; 0: anyPolicy.
ExtensionSpec PoliciesExtension(std::initializer_list<uint8_t> last_arcs) {
  std::string policies;
  for (uint8_t arc : last_arcs) {
    policies += arc == 0 ? PivOctets({0x30, 6, 6, 4, 0x55, 0x1d, 0x20, 0})
                         : PivOctets({0x30, 5, 6, 3, 0x2a, 3, arc});
  }
  return {"2.5.29.32", false, PivOctets({0x30, static_cast<uint8_t>(policies.size())}) + policies};
}

// Root (the anchor), issuing CA, card.
class PivCertificateTest : public ::testing::Test {
 protected:
  PivCertificateTest() {
    anchors_.Add(PivCertificate(root_.CaSpec(root_)));
    policy_.trust = &anchors_;
    policy_.time = absl::FromUnixSeconds(1'800'000'000);
    policy_.allow_shared = true;
    card_ = ca_.Spec("Ada", NewEcKey());
    card_.key_usage = "critical,digitalSignature";
    card_.extended_key_usage = kClientAuth;
    ca_spec_ = ca_.CaSpec(root_);
  }
  absl::StatusOr<VerifiedAttestation> Verify() const {
    return VerifyPivCertificate(PivCertificate(card_), {PivCertificate(ca_spec_)}, policy_);
  }
  std::optional<Reason> WhyNot() const { return ReasonOf(Verify().status()); }
  std::vector<std::string> Factors() const {
    const auto verified = Verify();
    return verified.ok() ? verified->factors()
                         : std::vector<std::string>{ReasonOf(verified.status()) ? "refused" : "?"};
  }

  const TestCa root_ = TestCa::New("Agency Root");
  const TestCa ca_ = TestCa::New("Agency CA");
  CertificateSpec card_, ca_spec_;
  TrustAnchors anchors_;
  PivPolicy policy_;
};

TEST_F(PivCertificateTest, ACaWhoseModulusCanBeFactoredVouchesForNothing) {
  EXPECT_EQ(WhyNot(), std::nullopt);
  ca_spec_.key = card_.signer = RocaKey();
  EXPECT_EQ(WhyNot(), Reason::kCertificateAlgorithm);
}

TEST_F(PivCertificateTest, APolicySaysHardwareAllAlongThePathOrNotAtAll) {
  policy_.hardware_policies = {kHardware};
  EXPECT_THAT(Factors(), ElementsAre("cert"));
  card_.extensions = {PoliciesExtension({7})};
  EXPECT_THAT(Factors(), ElementsAre("cert")) << "the CA was not given it";
  ca_spec_.extensions = {PoliciesExtension({8})};
  EXPECT_THAT(Factors(), ElementsAre("cert"));
  ca_spec_.extensions = {PoliciesExtension({8, 7})};
  EXPECT_THAT(Factors(), ElementsAre("piv-shared"));
  ca_spec_.extensions = {PoliciesExtension({0})};
  EXPECT_THAT(Factors(), ElementsAre("piv-shared"));
  // anyPolicy in the card's own certificate names none.
  card_.extensions = {PoliciesExtension({0})};
  EXPECT_THAT(Factors(), ElementsAre("cert"));
  policy_.hardware_policies = {};
  card_.extensions = {PoliciesExtension({7})};
  EXPECT_THAT(Factors(), ElementsAre("cert")) << "nobody said that it means hardware";
}

// RFC 5280 takes it away: OpenSSL's policy tree says so, too.
TEST_F(PivCertificateTest, APolicyCountsOnlyWhereItsIssuersMayGiveIt) {
  policy_.hardware_policies = {kHardware};
  card_.extensions = {PoliciesExtension({7})};
  const TestCa sub = TestCa::New("Agency Sub CA");
  CertificateSpec sub_spec = sub.CaSpec(ca_);
  card_.issuer = sub.name;
  card_.signer = sub.key;
  const auto factors = [&] {
    const auto verified = VerifyPivCertificate(
        PivCertificate(card_), {PivCertificate(ca_spec_), PivCertificate(sub_spec)}, policy_);
    return verified.ok() ? verified->factors() : std::vector<std::string>{"refused"};
  };
  const auto no_any = [](uint8_t skip) {
    return ExtensionSpec{"2.5.29.54", true, PivOctets({2, 1, skip})};
  };
  ca_spec_.extensions = {PoliciesExtension({7})};
  sub_spec.extensions = {PoliciesExtension({8, 0})};
  EXPECT_THAT(factors(), ElementsAre("piv-shared"));
  ca_spec_.extensions.push_back(no_any(0));
  EXPECT_THAT(factors(), ElementsAre("cert")) << "anyPolicy of the sub-CA counts for nothing";
  sub_spec.extensions = {PoliciesExtension({8, 7})};
  EXPECT_THAT(factors(), ElementsAre("piv-shared"));
  // The counter: one CA below may still use it.
  ca_spec_.extensions.back() = no_any(1);
  sub_spec.extensions = {PoliciesExtension({0})};
  EXPECT_THAT(factors(), ElementsAre("piv-shared"));
  // Not critical: that is nobody's leave to ignore it.
  ca_spec_.extensions.back() = no_any(0);
  ca_spec_.extensions.back().critical = false;
  EXPECT_THAT(factors(), ElementsAre("cert"));
}

TEST_F(PivCertificateTest, BelowACaThatMapsPoliciesNoneSaysHardware) {
  policy_.hardware_policies = {kHardware};
  card_.extensions = {PoliciesExtension({7})};
  // 1.2.3.8 of the issuer is 1.2.3.7 of the subject.
  const ExtensionSpec mapping = {
      "2.5.29.33", true, PivOctets({0x30, 12, 0x30, 10, 6, 3, 0x2a, 3, 8, 6, 3, 0x2a, 3, 7})};
  for (const auto policies : {0, 7, 8}) {
    for (const bool critical : {true, false}) {
      ca_spec_.extensions = {PoliciesExtension({static_cast<uint8_t>(policies)}), mapping};
      ca_spec_.extensions.back().critical = critical;
      EXPECT_THAT(Factors(), ElementsAre("cert")) << policies;
    }
  }
  policy_.hardware_only = true;
  const absl::Status refused = Verify().status();
  EXPECT_EQ(ReasonOf(refused), Reason::kCertificatePolicy);
  EXPECT_NE(refused.message().find("in which a CA maps policies"), absl::string_view::npos);
}

TEST_F(PivCertificateTest, OfSeveralPoliciesTheFirstThatHoldsIsNamed) {
  policy_.hardware_policies = {kOther, kHardware};
  card_.extensions = {PoliciesExtension({7, 8})};
  ca_spec_.extensions = {PoliciesExtension({7})};
  EXPECT_EQ(Verify()->proved()["policy"], kHardware);
  EXPECT_EQ(Verify()->proved()["hardware"], true);
  ca_spec_.extensions = {PoliciesExtension({0})};
  EXPECT_EQ(Verify()->proved()["policy"], kOther);
  policy_.hardware_policies = {"1.2.3.9"};
  EXPECT_EQ(Verify()->proved()["hardware"], false);
  EXPECT_FALSE(Verify()->proved().contains("policy"));
}

TEST_F(PivCertificateTest, HardwareOnlyRefusesTheRest) {
  policy_.hardware_policies = {kHardware};
  policy_.hardware_only = true;
  EXPECT_EQ(WhyNot(), Reason::kCertificatePolicy);
  card_.extensions = {PoliciesExtension({7})};
  ca_spec_.extensions = {PoliciesExtension({7})};
  EXPECT_EQ(WhyNot(), std::nullopt);
}

TEST_F(PivCertificateTest, IsDedicatedByReservedUsagesAlone) {
  policy_.dedicated_usages = {kForekey, kForekeyToo};
  policy_.hardware_policies = {kHardware};
  card_.extensions = {PoliciesExtension({7})};
  ca_spec_.extensions = {PoliciesExtension({7})};
  const auto with = [this](const std::string& usages) {
    card_.extended_key_usage = usages;
    policy_.allow_shared = true;
    const bool dedicated = Factors() == std::vector<std::string>{"piv"};
    EXPECT_EQ(Verify()->proved()["dedicated"], dedicated);
    policy_.allow_shared = false;
    EXPECT_EQ(WhyNot(), dedicated ? std::nullopt : std::optional(Reason::kPivSharedKey)) << usages;
    return dedicated;
  };
  EXPECT_TRUE(with(kForekey));
  EXPECT_TRUE(with(absl::StrCat(kForekeyToo, ",", kForekey)));
  EXPECT_FALSE(with(absl::StrCat(kForekey, ",", kClientAuth)));
  EXPECT_FALSE(with(absl::StrCat(kClientAuth, ",", kForekey)));
  EXPECT_FALSE(with("anyExtendedKeyUsage"));
  EXPECT_FALSE(with(""));
  policy_.hardware_policies = {};
  card_.extended_key_usage = kForekey;
  EXPECT_THAT(Factors(), ElementsAre("cert")) << "dedicated, but who knows where";
}

TEST_F(PivCertificateTest, MustBeMadeForSigningAndForWhatIsRequired) {
  for (const char* usage : {"critical,keyEncipherment", "keyAgreement", "nonRepudiation"}) {
    card_.key_usage = usage;
    EXPECT_EQ(WhyNot(), Reason::kCertificatePurpose) << usage;
  }
  for (const char* usage : {"", "digitalSignature", "critical,digitalSignature,nonRepudiation"}) {
    card_.key_usage = usage;
    EXPECT_EQ(WhyNot(), std::nullopt) << usage;
  }
  policy_.required_usages = {kForekey, kForekeyToo};
  EXPECT_EQ(WhyNot(), Reason::kCertificatePurpose);
  card_.extended_key_usage = absl::StrCat(kClientAuth, ",", kForekeyToo);
  EXPECT_EQ(WhyNot(), std::nullopt);
  card_.extended_key_usage = "";
  EXPECT_EQ(WhyNot(), Reason::kCertificatePurpose);
}

TEST_F(PivCertificateTest, APurposeCountsOnlyWhereItsIssuerMayGiveIt) {
  const std::string server = "1.3.6.1.5.5.7.3.1";
  ca_spec_.extended_key_usage = "critical," + server;
  EXPECT_EQ(WhyNot(), Reason::kCertificatePurpose);
  card_.extended_key_usage = "anyExtendedKeyUsage";
  EXPECT_EQ(WhyNot(), std::nullopt);
  card_.extended_key_usage = "";
  EXPECT_EQ(WhyNot(), std::nullopt);
  // One of several is enough, but it must be the one that is asked for.
  card_.extended_key_usage = absl::StrCat(kClientAuth, ",", kForekey);
  ca_spec_.extended_key_usage = kClientAuth;
  EXPECT_EQ(WhyNot(), std::nullopt);
  policy_.required_usages = {kForekey};
  EXPECT_EQ(WhyNot(), Reason::kCertificatePurpose);
  policy_.required_usages = {kForekey, kClientAuth};
  EXPECT_EQ(WhyNot(), std::nullopt);
}

TEST_F(PivCertificateTest, WhatAgenciesMakeCriticalIsUnderstood) {
  // A person's name as subjectAltName, and the usages.
  card_.extended_key_usage = absl::StrCat("critical,", kClientAuth);
  card_.extensions = {{"2.5.29.17", true, PivOctets({0x30, 3, 0x82, 1, 'a'})}};
  EXPECT_EQ(WhyNot(), std::nullopt);
  card_.extensions = {{"1.2.3.4.5", true, PivOctets({5, 0})}};
  EXPECT_EQ(WhyNot(), Reason::kCertificateCriticalExtension);
}

TEST_F(PivCertificateTest, IsNoCasAndOfNoOtherCa) {
  card_.basic_constraints = "CA:TRUE";
  EXPECT_EQ(WhyNot(), Reason::kCertificateProfile);
  card_.basic_constraints = "";
  card_.key_usage = "digitalSignature,cRLSign";
  EXPECT_EQ(WhyNot(), Reason::kCertificateProfile);
  card_.key_usage = "digitalSignature";
  card_.signer = NewEcKey();
  EXPECT_EQ(WhyNot(), Reason::kCertificateSignatureInvalid);
}

TEST_F(PivCertificateTest, WithListsTheIssuersMustBeThere) {
  policy_.revocation = {*RevocationList::Parse(MakeCrlDer({root_, {}}))};
  EXPECT_EQ(WhyNot(), Reason::kCrlInvalid);
  policy_.revocation = {*RevocationList::Parse(MakeCrlDer({ca_, {}}))};
  EXPECT_EQ(WhyNot(), std::nullopt);
  EXPECT_EQ(Verify()->proved()["revocation_checked"], true);
  policy_.revocation = {*RevocationList::Parse(MakeCrlDer({ca_, {7}}))};
  EXPECT_EQ(WhyNot(), Reason::kCertificateRevoked);
  policy_.revocation = {};
  EXPECT_EQ(Verify()->proved()["revocation_checked"], false);
}

TEST_F(PivCertificateTest, NamesNoCard) {
  const auto verified = Verify();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->device_id(), "");
  EXPECT_EQ(verified->proved()["proof"], "certificate");
  EXPECT_EQ(verified->proved()["certificate_serial"], "07");
}

}  // namespace
}  // namespace forekey::testing
