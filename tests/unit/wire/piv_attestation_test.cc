// SPDX-License-Identifier: Apache-2.0
#include "src/wire/piv_attestation.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "src/base/reason.h"

namespace forekey {
namespace {

std::optional<Reason> SerialReason(absl::string_view hex) {
  return ReasonOf(ParsePivSerial(absl::HexStringToBytes(hex)).status());
}

TEST(PivExtensionsTest, FirmwareIsThreeRawOctets) {
  EXPECT_EQ(ParsePivFirmware(absl::string_view("\x05\x04\x03", 3))->Text(), "5.4.3");
  for (absl::string_view hex : {"", "0504", "05040300", "0403050403"}) {
    EXPECT_EQ(ReasonOf(ParsePivFirmware(absl::HexStringToBytes(hex)).status()),
              Reason::kPivAttestationExtension)
        << hex;
  }
}

TEST(PivExtensionsTest, FirmwareIsOrderedByNumbers) {
  EXPECT_LT((PivFirmware{5, 4, 3}), (PivFirmware{5, 7, 0}));
  EXPECT_LT((PivFirmware{4, 4, 5}), (PivFirmware{5, 0, 0}));
  EXPECT_GT((PivFirmware{5, 10, 0}), (PivFirmware{5, 9, 9}));
}

TEST(PivExtensionsTest, SerialIsOneMinimalNonNegativeDerInteger) {
  EXPECT_EQ(*ParsePivSerial(absl::HexStringToBytes("020400bc614e")), 12345678u);
  EXPECT_EQ(*ParsePivSerial(absl::HexStringToBytes("020100")), 0u);
  EXPECT_EQ(*ParsePivSerial(absl::HexStringToBytes("02050080000000")), 0x80000000u);
}

TEST(PivExtensionsTest, RefusesEveryOtherSerial) {
  for (absl::string_view hex :
       {"", "02", "0200", "020180", "02020005", "00bc614e", "02040000", "02010500", "02810105",
        "0280050000", "020900ffffffffffffffffff", "040105"}) {
    EXPECT_EQ(SerialReason(hex), Reason::kPivAttestationExtension) << hex;
  }
}

TEST(PivExtensionsTest, UnknownValuesAreNamedAsSuch) {
  EXPECT_EQ(PivPinPolicyText(3), "always");
  EXPECT_EQ(PivPinPolicyText(6), "unknown (0x06)");
  EXPECT_EQ(PivTouchPolicyText(2), "always");
  EXPECT_EQ(PivTouchPolicyText(3), "cached");
  EXPECT_EQ(PivTouchPolicyText(0), "unknown (0x00)");
  EXPECT_EQ(PivFormFactorText(5), "usb-c-lightning");
  EXPECT_EQ(PivFormFactorText(0x40), "unknown (0x40)");
}

TEST(PivExtensionsTest, FirmwareTextIsTwoOrThreeNumbers) {
  EXPECT_EQ(*ParsePivFirmwareText("5.7"), (PivFirmware{5, 7, 0}));
  EXPECT_EQ(*ParsePivFirmwareText("5.7.4"), (PivFirmware{5, 7, 4}));
  for (absl::string_view text :
       {"", "5", "5.", "5.7.4.1", "5.256", "-5.7", "5.7a", " 5.7", "+5.7"}) {
    EXPECT_FALSE(ParsePivFirmwareText(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace forekey
