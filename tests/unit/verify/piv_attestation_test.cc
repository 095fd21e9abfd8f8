// SPDX-License-Identifier: Apache-2.0
// What a slot's attestation must say, for each thing that a policy may ask; what it earns and what
// is kept.
#include "tests/support/roca_key.h"
#include "tests/unit/verify/piv_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PivAttestationTest : public PivVerifierTest {};

constexpr uint8_t kUnknown = 9;

TEST_F(PivAttestationTest, APinPolicyIsEnoughForWhatItIsAndForLess) {
  using Pin = PivPolicy::Pin;
  struct Case {
    uint8_t attested;
    bool once, always;  // enough for
  };
  for (const Case& c : {Case{piv::kPinNever, false, false},
                        {piv::kPinOnce, true, false},
                        {piv::kPinAlways, true, true},
                        {piv::kPinMatchOnce, false, false},
                        {piv::kPinMatchAlways, false, false},
                        {0, false, false},
                        {kUnknown, false, false}}) {
    slot_.policies = {c.attested, piv::kTouchNever};
    const auto with = [&](Pin least) {
      policy_.pin = least;
      return WhyNot();
    };
    const auto due = [](bool enough) {
      return enough ? std::optional<Reason>() : Reason::kPivPolicy;
    };
    EXPECT_EQ(with(Pin::kAny), std::nullopt) << int{c.attested};
    EXPECT_EQ(with(Pin::kOnce), due(c.once)) << int{c.attested};
    EXPECT_EQ(with(Pin::kAlways), due(c.always)) << int{c.attested};
  }
}

TEST_F(PivAttestationTest, ATouchPolicyIsEnoughForWhatItIsAndForLess) {
  using Touch = PivPolicy::Touch;
  struct Case {
    uint8_t attested;
    bool cached, always;
  };
  for (const Case& c : {Case{piv::kTouchNever, false, false},
                        {piv::kTouchCached, true, false},
                        {piv::kTouchAlways, true, true},
                        {0, false, false},
                        {kUnknown, false, false}}) {
    slot_.policies = {piv::kPinNever, c.attested};
    const auto with = [&](Touch least) {
      policy_.touch = least;
      return WhyNot();
    };
    const auto due = [](bool enough) {
      return enough ? std::optional<Reason>() : Reason::kPivPolicy;
    };
    EXPECT_EQ(with(Touch::kAny), std::nullopt) << int{c.attested};
    EXPECT_EQ(with(Touch::kCached), due(c.cached)) << int{c.attested};
    EXPECT_EQ(with(Touch::kAlways), due(c.always)) << int{c.attested};
  }
}

TEST_F(PivAttestationTest, EarnsPinAndTouchForAlwaysAlone) {
  const auto factors = [this](uint8_t pin, uint8_t touch) {
    slot_.policies = {pin, touch};
    const auto attested = Attest();
    return attested.ok() ? attested->factors() : std::vector<std::string>();
  };
  EXPECT_THAT(factors(piv::kPinAlways, piv::kTouchAlways),
              ElementsAre("piv", "piv+pin", "piv+touch"));
  EXPECT_THAT(factors(piv::kPinAlways, piv::kTouchCached), ElementsAre("piv", "piv+pin"));
  EXPECT_THAT(factors(piv::kPinOnce, piv::kTouchAlways), ElementsAre("piv", "piv+touch"));
  EXPECT_THAT(factors(piv::kPinMatchAlways, kUnknown), ElementsAre("piv"));
  EXPECT_THAT(factors(0, 0), ElementsAre("piv"));
  policy_.allow_shared = true;
  slot_name_ = "YubiKey PIV Attestation 9a";
  EXPECT_THAT(factors(piv::kPinAlways, piv::kTouchAlways), ElementsAre("piv-shared"));
}

TEST_F(PivAttestationTest, TakesTheSlotsOfThePolicyAndNoSharedOneUnlessAllowed) {
  for (const char* slot : {"82", "95", "9c"}) {
    slot_name_ = absl::StrCat("YubiKey PIV Attestation ", slot);
    EXPECT_EQ(WhyNot(), std::nullopt) << slot;
  }
  for (const char* slot : {"9a", "9d", "9e"}) {
    slot_name_ = absl::StrCat("YubiKey PIV Attestation ", slot);
    EXPECT_EQ(WhyNot(), Reason::kPivSharedKey) << slot;
  }
  policy_.slots = {0x9a, 0x82};
  EXPECT_EQ(WhyNot(), Reason::kPivSlotMismatch) << "9e";
  slot_name_ = "YubiKey PIV Attestation 9a";
  EXPECT_EQ(WhyNot(), Reason::kPivSharedKey) << "named, yet shared";
  policy_.allow_shared = true;
  EXPECT_EQ(WhyNot(), std::nullopt);
  slot_name_ = "YubiKey PIV Attestation 9c";
  EXPECT_EQ(WhyNot(), Reason::kPivSlotMismatch);
}

TEST_F(PivAttestationTest, TheLeastFirmwareIsTaken) {
  policy_.min_firmware = PivFirmware{5, 7, 1};
  EXPECT_EQ(WhyNot(), std::nullopt);
  slot_.firmware = PivFirmware{5, 7, 0};
  EXPECT_EQ(WhyNot(), Reason::kPivFirmware);
  slot_.firmware = PivFirmware{5, 10, 0};
  EXPECT_EQ(WhyNot(), std::nullopt) << "numbers, not text";
}

TEST_F(PivAttestationTest, TheOrganisationsListIsAsked) {
  const auto with = [this](absl::string_view line) {
    const auto list = FirmwareList::Parse(absl::StrCat("forekey-firmware-list 1\n", line));
    EXPECT_TRUE(list.ok()) << list.status();
    policy_.firmware = &*list;
    const std::optional<Reason> why = WhyNot();
    policy_.firmware = nullptr;
    return why;
  };
  slot_.firmware = PivFirmware{5, 4, 3};
  EXPECT_EQ(with("piv yubikey least 5.4.3"), std::nullopt);
  EXPECT_EQ(with("piv yubikey least 5.4.4"), Reason::kFirmwareTooOld);
  EXPECT_EQ(with("piv yubikey weak 5.0-5.6 ecdsa"), Reason::kFirmwareWeak);
  EXPECT_EQ(with("piv yubikey weak 5.0-5.6 rsa"), std::nullopt);
  EXPECT_EQ(with("piv yubikey-bio weak all"), std::nullopt);
  slot_.form_factor = 6;
  EXPECT_EQ(with("piv yubikey-bio weak all"), Reason::kFirmwareWeak);
  // The card that signs counts, not what its batch's certificate says.
  f9_marks_.firmware = PivFirmware{5, 7, 4};
  EXPECT_EQ(with("piv yubikey least 5.7"), Reason::kFirmwareTooOld);
}

TEST_F(PivAttestationTest, WeakFirmwareIsRefusedReportedOrTolerated) {
  struct Case {
    PivFirmware firmware;
    bool recoverable;
    const char* id;
  };
  for (const Case& c : {Case{{4, 4, 4}, true, "YSA-2019-02"}, {{5, 4, 3}, false, "YSA-2024-03"}}) {
    slot_.firmware = c.firmware;
    slot_.form_factor.reset();
    policy_.weakness = PivWeakness::kRefuseAll;
    EXPECT_EQ(WhyNot(), Reason::kPivFirmware);
    EXPECT_THAT(std::string(Attest().status().message()), HasSubstr(c.id));
    policy_.weakness = PivWeakness::kRefuseRecoverable;
    EXPECT_EQ(WhyNot(), c.recoverable ? std::optional(Reason::kPivFirmware) : std::nullopt);
    policy_.weakness = PivWeakness::kReport;
    const auto attested = Attest();
    ASSERT_TRUE(attested.ok()) << attested.status();
    EXPECT_THAT(attested->proved()["weaknesses"].dump(), HasSubstr(c.id));
  }
}

// An organisation's own F9 key, made on a card of 4.3.0 to 4.3.4: who computes it signs
// attestations of slots in software.
TEST_F(PivAttestationTest, AnF9WhoseModulusCanBeFactoredVouchesForNothing) {
  const TestCa weak{"Vendor PIV Attestation", RocaKey()};
  CertificateSpec slot = SlotSpec();
  slot.signer = weak.key;
  const Certificate f9 = PivCertificate(weak.CaSpec(root_));
  const auto attest = [&] { return VerifyPivAttestation(PivCertificate(slot), {f9}, policy_); };
  for (const auto weakness : {PivWeakness::kRefuseRecoverable, PivWeakness::kRefuseAll}) {
    policy_.weakness = weakness;
    EXPECT_EQ(ReasonOf(attest().status()), Reason::kPivFirmware);
    EXPECT_THAT(std::string(attest().status().message()), HasSubstr("the F9 key's RSA modulus"));
  }
  anchors_.Add(f9);
  EXPECT_EQ(ReasonOf(attest().status()), Reason::kPivFirmware) << "also where it is the anchor";
  policy_.weakness = PivWeakness::kReport;
  const auto reported = attest();
  ASSERT_TRUE(reported.ok()) << reported.status();
  EXPECT_THAT(reported->proved()["weaknesses"].dump(), HasSubstr("YSA-2017-01"));
}

TEST_F(PivAttestationTest, ACaAboveTheF9WhoseModulusCanBeFactoredVouchesForNothing) {
  const TestCa weak{"Vendor PIV CA", RocaKey()};
  CertificateSpec f9 = f9_.CaSpec(weak);
  f9.extensions = f9_marks_.Extensions();
  EXPECT_EQ(ReasonOf(VerifyPivAttestation(PivCertificate(SlotSpec()),
                                          {PivCertificate(f9), PivCertificate(weak.CaSpec(root_))},
                                          policy_)
                         .status()),
            Reason::kCertificateAlgorithm);
}

TEST_F(PivAttestationTest, CertificationStandsInTheSlotsOrTheF9s) {
  const auto proved = [this](const char* what) {
    const auto attested = Attest();
    return attested.ok() && attested->proved()[what] == true;
  };
  policy_.fips_only = true;
  EXPECT_EQ(WhyNot(), Reason::kPivFormFactor);
  EXPECT_FALSE(proved("fips"));
  slot_.form_factor = 0x81;
  EXPECT_TRUE(proved("fips"));
  slot_.form_factor = 1;
  slot_.fips = true;
  EXPECT_TRUE(proved("fips"));
  slot_.fips = false;
  f9_marks_.fips = true;
  EXPECT_TRUE(proved("fips"));
  EXPECT_FALSE(proved("cspn"));
  f9_marks_.cspn = true;
  EXPECT_TRUE(proved("cspn"));
  f9_marks_.cspn = false;
  slot_.cspn = true;
  EXPECT_TRUE(proved("cspn"));
}

TEST_F(PivAttestationTest, TheFormFactorIsOneOfThePolicys) {
  policy_.form_factors = {3, 4};
  EXPECT_EQ(WhyNot(), Reason::kPivFormFactor);
  slot_.form_factor = 4;
  EXPECT_EQ(WhyNot(), std::nullopt);
  slot_.form_factor = 0x83;  // a FIPS model of it
  EXPECT_EQ(WhyNot(), std::nullopt);
  slot_.form_factor.reset();
  EXPECT_THAT(std::string(Attest().status().message()), HasSubstr("it tells none"));
  EXPECT_EQ(WhyNot(), Reason::kPivFormFactor);
}

TEST_F(PivAttestationTest, SerialNumbersAreAllowedAndDenied) {
  policy_.serial_deny = {42};
  EXPECT_EQ(WhyNot(), Reason::kDeviceNotPinned);
  slot_.serial = 43;
  EXPECT_EQ(WhyNot(), std::nullopt);
  slot_.serial.reset();
  EXPECT_EQ(WhyNot(), std::nullopt);
  policy_.serial_allow = {41};
  EXPECT_EQ(WhyNot(), Reason::kDeviceNotPinned);
  EXPECT_THAT(std::string(Attest().status().message()), HasSubstr("no serial number"));
  slot_.serial = 43;
  EXPECT_EQ(WhyNot(), Reason::kDeviceNotPinned);
  slot_.serial = 41;
  EXPECT_EQ(WhyNot(), std::nullopt);
}

TEST_F(PivAttestationTest, ACardIsKnownByItsVendorAndSerialAlone) {
  const std::string device = Attest()->device_id();
  EXPECT_EQ(device.size(), 32u);
  key_ = NewEcKey();
  slot_name_ = "YubiKey PIV Attestation 82";
  f9_marks_.firmware = PivFirmware{5, 4, 3};
  EXPECT_EQ(Attest()->device_id(), device);
  slot_.serial = 43;
  EXPECT_NE(Attest()->device_id(), device);
  slot_.serial.reset();
  EXPECT_EQ(Attest()->device_id(), "") << "the F9 is a batch's";
}

TEST_F(PivAttestationTest, KeepsWhatWasProved) {
  const auto attested = Attest();
  ASSERT_TRUE(attested.ok()) << attested.status();
  EXPECT_EQ(attested->kind(), v1::TOKEN_KIND_PIV);
  const nlohmann::json& proved = attested->proved();
  EXPECT_EQ(proved["proof"], "attestation");
  EXPECT_EQ(proved["slot"], "9c");
  EXPECT_EQ(proved["shared_slot"], false);
  EXPECT_EQ(proved["firmware"], "5.7.1");
  EXPECT_EQ(proved["f9_firmware"], "5.7.1");
  EXPECT_EQ(proved["serial"], 42);
  EXPECT_EQ(proved["form_factor"], "usb-a-keychain");
  EXPECT_EQ(proved["path"].size(), 3u);
  EXPECT_EQ(proved["revocation_checked"], false);
  EXPECT_FALSE(proved.contains("insecure_simulator"));
  EXPECT_FALSE(proved.contains("weaknesses"));
  policy_.insecure_simulators = true;
  EXPECT_EQ(Attest()->proved()["insecure_simulator"], true);
  // What is not there is not invented.
  slot_.serial.reset();
  slot_.form_factor.reset();
  f9_marks_.firmware.reset();
  const auto less = Attest();
  ASSERT_TRUE(less.ok()) << less.status();
  for (const char* member : {"serial", "form_factor", "f9_firmware"}) {
    EXPECT_FALSE(less->proved().contains(member)) << member;
  }
}

TEST_F(PivAttestationTest, AnF9WhoseMarksAreMalformedSaysNothing) {
  CertificateSpec f9 = f9_.CaSpec(root_);
  f9_marks_.fips = f9_marks_.cspn = true;
  f9.extensions = f9_marks_.Extensions();
  f9.extensions[0].der = "x";
  const auto attested =
      VerifyPivAttestation(PivCertificate(SlotSpec()), {PivCertificate(f9)}, policy_);
  ASSERT_TRUE(attested.ok()) << attested.status();
  EXPECT_FALSE(attested->proved().contains("f9_firmware"));
  EXPECT_EQ(attested->proved()["fips"], false);
}

TEST_F(PivAttestationTest, EightIntermediatesAndNoMore) {
  std::vector<Certificate> intermediates = {F9()};
  while (intermediates.size() < policy_.max_intermediates) {
    const TestCa other = TestCa::New("Another");
    intermediates.push_back(PivCertificate(other.CaSpec(other)));
  }
  const Certificate slot = PivCertificate(SlotSpec());
  EXPECT_TRUE(VerifyPivAttestation(slot, intermediates, policy_).ok());
  intermediates.push_back(F9());
  EXPECT_EQ(ReasonOf(VerifyPivAttestation(slot, intermediates, policy_).status()),
            Reason::kEvidenceMalformed);
}

TEST_F(PivAttestationTest, ListsAreAskedWhereTheyAreThere) {
  CrlSpec list{root_, {}};
  policy_.revocation = {*RevocationList::Parse(MakeCrlDer(list))};
  EXPECT_EQ(Attest()->proved()["revocation_checked"], true);
  list.serials = {7};  // the F9's
  policy_.revocation = {*RevocationList::Parse(MakeCrlDer(list))};
  EXPECT_EQ(WhyNot(), Reason::kCertificateRevoked);
  policy_.revocation = {*RevocationList::Parse(MakeCrlDer({TestCa::New("Another"), {7}}))};
  EXPECT_EQ(Attest()->proved()["revocation_checked"], false);
}

TEST_F(PivAttestationTest, KeysThatNobodyVerifiesWithAreRefused) {
  const auto why = [this](const CertificateSpec& spec) {
    return ReasonOf(VerifyPivAttestation(PivCertificate(spec), {F9()}, policy_).status());
  };
  CertificateSpec spec = SlotSpec();
  spec.key_algorithm = "1.2.3.4.5";  // OpenSSL makes no key of it at all
  EXPECT_EQ(why(spec), Reason::kKeyAlgorithm);
  spec = SlotSpec();
  spec.key = NewEcKey("P-521");
  EXPECT_EQ(why(spec), Reason::kKeyAlgorithm) << "which no card makes";
  spec.key = NewRsaKey(1024);
  EXPECT_EQ(why(spec), Reason::kKeyAlgorithm);
  for (const auto& key : {NewEcKey("P-384"), NewRsaKey(2048), NewRsaKey(3072)}) {
    spec.key = key;
    EXPECT_EQ(why(spec), std::nullopt);
  }
}

TEST_F(PivAttestationTest, WhatIsNoSlotsIsRefusedForThat) {
  // A CA by basicConstraints, or by keyUsage alone.
  CertificateSpec ca = SlotSpec();
  ca.basic_constraints = "CA:TRUE";
  const auto why = [this](const CertificateSpec& spec) {
    return ReasonOf(VerifyPivAttestation(PivCertificate(spec), {F9()}, policy_).status());
  };
  EXPECT_EQ(why(ca), Reason::kCertificateProfile);
  for (const char* usage : {"keyCertSign", "cRLSign", "digitalSignature,cRLSign"}) {
    CertificateSpec spec = SlotSpec();
    spec.key_usage = usage;
    EXPECT_EQ(why(spec), Reason::kCertificateProfile) << usage;
  }
  CertificateSpec signing = SlotSpec();
  signing.key_usage = "digitalSignature";
  EXPECT_EQ(why(signing), std::nullopt);
  slot_name_ = "YubiKey PIV Attestation f9";
  EXPECT_EQ(WhyNot(), Reason::kCertificateProfile);
  slot_name_ = "YubiKey PIV Attestation";
  EXPECT_EQ(WhyNot(), Reason::kCertificateProfile);
  slot_name_ = "YubiKey PIV Attestation 9c";
  slot_.firmware.reset();
  EXPECT_EQ(WhyNot(), Reason::kPivAttestationExtension);
  slot_.firmware = PivFirmware{5, 7, 1};
  slot_.policies.reset();
  EXPECT_EQ(WhyNot(), Reason::kPivAttestationExtension);
}

}  // namespace
}  // namespace forekey::testing
