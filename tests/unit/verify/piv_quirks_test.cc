// SPDX-License-Identifier: Apache-2.0
// Each allowance for real cards, and what is next to it and not allowed.
#include "src/verify/piv_quirks.h"

#include "tests/unit/verify/piv_fixture.h"

namespace forekey::testing {
namespace {

Certificate Named(const std::string& name, const PivMarks& marks = {}) {
  CertificateSpec spec = TestCa::New("Issuer").Spec(name, NewEcKey());
  spec.extensions = marks.Extensions();
  return PivCertificate(spec);
}
Certificate OfFirmware(const std::string& name, std::optional<PivFirmware> firmware,
                       bool policies = false) {
  PivMarks marks;
  marks.firmware = firmware;
  if (policies) marks.policies = {piv::kPinOnce, piv::kTouchNever};
  return Named(name, marks);
}

TEST(PivSlotNameTest, IsTwoHexDigitsInAWordOfTheirOwn) {
  for (const auto& [name, slot] :
       std::vector<std::pair<std::string, int>>{{"YubiKey PIV Attestation 9a", 0x9a},
                                                {"YubiKey PIV Attestation 9C", 0x9c},
                                                {"Slot 9d", 0x9d},
                                                {"9e", 0x9e},
                                                {"PIV (82) key", 0x82},
                                                {"PIV [95]", 0x95},
                                                {"slot:0x8f", 0x8f},
                                                {"slot=0X8F,", 0x8f},
                                                {"key#f9;", 0xf9},
                                                {"9a again 9A", 0x9a}}) {
    EXPECT_EQ(PivSlotOf(Named(name)), slot) << name;
  }
  for (const char* name :
       {"YubiKey PIV Attestation", "81", "96", "9b", "9f", "f8", "9", "a", "9aa", "09a", "9g", "g9",
        "9a9c", "0x9a0", "0x", "PIV-9a", "9a and 9c", "SN 12345678", "00"}) {
    EXPECT_EQ(PivSlotOf(Named(name)), std::nullopt) << name;
  }
}

class F9WithoutConstraintsTest : public ::testing::Test {
 protected:
  static bool Taken(const Certificate& issuer, std::vector<Certificate> below) {
    std::vector<const Certificate*> path;
    for (const Certificate& certificate : below) path.push_back(&certificate);
    return IsF9WithoutConstraints(issuer, path);
  }
  static Certificate Slot(PivFirmware firmware) { return OfFirmware("PIV 9a", firmware, true); }
  const std::string name_ = "Yubico PIV Attestation";
};

TEST_F(F9WithoutConstraintsTest, OfTheFirmwareThatHasThem) {
  for (PivFirmware firmware :
       {PivFirmware{4, 3, 0}, PivFirmware{4, 3, 7}, PivFirmware{4, 4, 5}, PivFirmware{5, 2, 4}}) {
    EXPECT_TRUE(Taken(OfFirmware("any name", firmware), {Slot({5, 7, 4})})) << firmware.Text();
  }
  for (PivFirmware firmware :
       {PivFirmware{4, 2, 7}, PivFirmware{4, 4, 2}, PivFirmware{4, 4, 4}, PivFirmware{5, 2, 3},
        PivFirmware{5, 3, 0}, PivFirmware{5, 2, 5}, PivFirmware{3, 3, 0}}) {
    EXPECT_FALSE(Taken(OfFirmware(name_, firmware), {Slot(firmware)})) << firmware.Text();
  }
}

TEST_F(F9WithoutConstraintsTest, OrOfACardOfSuchFirmwareAndTheSameGeneration) {
  EXPECT_TRUE(Taken(OfFirmware(name_, PivFirmware{4, 4, 2}), {Slot({4, 3, 5})}));
  EXPECT_TRUE(Taken(OfFirmware(name_, PivFirmware{5, 1, 2}), {Slot({5, 2, 4})}));
  EXPECT_FALSE(Taken(OfFirmware(name_, PivFirmware{5, 1, 2}), {Slot({4, 3, 5})}));
  EXPECT_FALSE(Taken(OfFirmware(name_, PivFirmware{4, 4, 2}), {Slot({5, 2, 4})}));
  EXPECT_FALSE(Taken(OfFirmware(name_, PivFirmware{4, 4, 2}), {Slot({4, 4, 4})}));
  EXPECT_FALSE(Taken(OfFirmware(name_, PivFirmware{4, 4, 2}), {OfFirmware("PIV 9a", {}, true)}));
}

TEST_F(F9WithoutConstraintsTest, OneThatTellsNoFirmwareMustCallItselfOne) {
  EXPECT_TRUE(Taken(Named(name_), {Slot({4, 3, 5})}));
  EXPECT_FALSE(Taken(Named("Yubico U2F EE Serial 1"), {Slot({4, 3, 5})}));
  EXPECT_FALSE(Taken(Named(name_), {Slot({5, 4, 3})}));
}

TEST_F(F9WithoutConstraintsTest, NeverASlotsCertificate) {
  // Its owner signs with that key what he likes.
  EXPECT_FALSE(Taken(Slot({4, 3, 5}), {Slot({4, 3, 5})}));
  EXPECT_FALSE(Taken(OfFirmware("Yubico PIV Attestation", PivFirmware{4, 3, 5}, /*policies=*/true),
                     {Slot({4, 3, 5})}));
  EXPECT_FALSE(Taken(OfFirmware("PIV Attestation 9a", PivFirmware{4, 3, 5}), {Slot({4, 3, 5})}));
  EXPECT_TRUE(Taken(OfFirmware("PIV Attestation f9", PivFirmware{4, 3, 5}), {Slot({4, 3, 5})}));
  CertificateSpec malformed = TestCa::New("Issuer").Spec(name_, NewEcKey());
  malformed.extensions = {{"1.3.6.1.4.1.41482.3.3", false, PivOctets({4, 3})}};
  EXPECT_FALSE(Taken(PivCertificate(malformed), {Slot({4, 3, 5})}));
}

TEST_F(F9WithoutConstraintsTest, DirectlyAboveTheSlotAlone) {
  const Certificate f9 = OfFirmware(name_, PivFirmware{4, 3, 5});
  EXPECT_TRUE(Taken(f9, {Slot({4, 3, 5})}));
  EXPECT_FALSE(Taken(f9, {Slot({4, 3, 5}), f9}));
  EXPECT_FALSE(Taken(f9, {}));
}

class U2fRootTest : public ::testing::Test {
 protected:
  static bool Excused(const Certificate& anchor, std::vector<Certificate> below) {
    std::vector<const Certificate*> path;
    for (const Certificate& certificate : below) path.push_back(&certificate);
    return IsU2fRootOverF9(anchor, path);
  }
  static Certificate Slot(PivFirmware firmware) { return OfFirmware("PIV 9a", firmware, true); }
  static Certificate F9(std::optional<PivFirmware> firmware) {
    return OfFirmware("Yubico PIV Attestation", firmware);
  }
  const Certificate root_ = Named("Yubico U2F Root CA Serial 457200631");
};

TEST_F(U2fRootTest, OverAnF9OfA437) {
  EXPECT_TRUE(Excused(root_, {Slot({4, 3, 7}), F9(PivFirmware{4, 3, 7})}));
  EXPECT_TRUE(Excused(root_, {Slot({4, 3, 7}), F9(PivFirmware{4, 3, 5})})) << "of a batch";
  EXPECT_TRUE(Excused(root_, {Slot({4, 3, 5}), F9(PivFirmware{4, 3, 7})}));
  EXPECT_TRUE(Excused(root_, {Slot({4, 3, 7}), F9({})}));
  EXPECT_FALSE(Excused(root_, {Slot({4, 3, 5}), F9(PivFirmware{4, 3, 5})}));
  EXPECT_FALSE(Excused(root_, {Slot({5, 4, 3}), F9({})}));
}

TEST_F(U2fRootTest, NoOtherRootAndNoOtherPlace) {
  const std::vector<Certificate> path = {Slot({4, 3, 7}), F9(PivFirmware{4, 3, 7})};
  EXPECT_FALSE(Excused(Named("Yubico PIV Root CA Serial 263751"), path));
  EXPECT_FALSE(Excused(Named("My Yubico U2F Root CA"), path));
  EXPECT_FALSE(Excused(root_, {path[0]}));
  EXPECT_FALSE(Excused(root_, {path[0], path[1], path[1]}));
  EXPECT_FALSE(Excused(root_, {path[0], Slot({4, 3, 7})})) << "a slot's certificate is no issuer";
}

}  // namespace
}  // namespace forekey::testing
