// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "src/wire/base64url.h"
#include "src/wire/cbor.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::FromHex;
using ::testing::HasSubstr;
using testing::RefusedWith;

// Refused, and for this: a parser that refuses everything would pass otherwise.
void ExpectMalformed(absl::string_view hex, absl::string_view why,
                     const CborOptions& options = {}) {
  const auto value = CborValue::Parse(FromHex(hex), options);
  EXPECT_THAT(value, RefusedWith(Reason::kEvidenceMalformed)) << hex;
  EXPECT_THAT(std::string(value.status().message()), HasSubstr(std::string(why))) << hex;
}

TEST(CborTest, ReadsEveryTypeThatCtap2Has) {
  const std::string bytes = FromHex(
      "a6"
      "00"
      "1864"
      "20"
      "3903e7"
      "6161"
      "43010203"
      "6162"
      "626869"
      "6163"
      "83f5f4f6"
      "6164"
      "fb3ff0000000000000");
  const auto value = CborValue::Parse(bytes);
  ASSERT_THAT(value, testing::IsOk());
  EXPECT_EQ(value->Find(int64_t{0})->integer(), 100);
  EXPECT_EQ(value->Find(int64_t{-1})->integer(), -1000);
  EXPECT_EQ(value->Find("a")->bytes(), "\x01\x02\x03");
  EXPECT_EQ(value->Find("b")->text(), "hi");
  ASSERT_EQ(value->Find("c")->elements().size(), 3u);
  EXPECT_EQ(value->Find("c")->elements()[0].boolean(), true);
  EXPECT_EQ(value->Find("c")->elements()[1].boolean(), false);
  EXPECT_EQ(value->Find("c")->elements()[2].type(), CborValue::Type::kNull);
  EXPECT_EQ(value->Find("d")->type(), CborValue::Type::kFloat);
  EXPECT_EQ(value->Find("e"), nullptr);
}

TEST(CborTest, TypesAreNotConfused) {
  const std::string bytes = FromHex("4161");
  const auto value = CborValue::Parse(bytes);
  ASSERT_THAT(value, testing::IsOk());
  EXPECT_FALSE(value->text());
  EXPECT_FALSE(value->integer());
  EXPECT_FALSE(value->boolean());
  EXPECT_FALSE(value->is_map());
  EXPECT_EQ(value->Find("a"), nullptr);
}

TEST(CborTest, IntegersThatDoNotFitAreNone) {
  const std::string largest = FromHex("1b7fffffffffffffff");
  const std::string larger = FromHex("1b8000000000000000");
  const std::string smallest = FromHex("3b7fffffffffffffff");
  const std::string smaller = FromHex("3bffffffffffffffff");
  EXPECT_EQ(CborValue::Parse(largest)->integer(), INT64_MAX);
  EXPECT_FALSE(CborValue::Parse(larger)->integer());
  EXPECT_EQ(CborValue::Parse(smallest)->integer(), INT64_MIN);
  EXPECT_FALSE(CborValue::Parse(smaller)->integer());
}

TEST(CborTest, RejectsIndefiniteLengths) {
  for (const char* hex : {"5f4101ff", "7f6161ff", "9f01ff", "bf0001ff"}) {
    ExpectMalformed(hex, "an indefinite length");
  }
  ExpectMalformed("ff", "a break");
}

TEST(CborTest, RejectsLengthsThatAreNotTheShortest) {
  for (const char* hex : {"1817", "190018", "1900ff", "1a0000ffff", "1b00000000ffffffff", "581401",
                          "5900000a", "780161", "980101", "b8010001", "3817"}) {
    ExpectMalformed(hex, "not the shortest");
  }
}

TEST(CborTest, RejectsReservedAndUnassignedForms) {
  for (const char* hex : {"1c", "5d", "1e"}) ExpectMalformed(hex, "a reserved length");
  for (const char* hex : {"e0", "f7", "f8ff", "f3", "fc"})
    ExpectMalformed(hex, "an unassigned simple");
  ExpectMalformed("c000", "a tag");
}

TEST(CborTest, RejectsDuplicateKeysInAnyOrder) {
  CborOptions any_order;
  any_order.canonical_order = false;
  ExpectMalformed("a200010002", "a duplicate map key");
  ExpectMalformed("a3000101010002", "a duplicate map key", any_order);
  ExpectMalformed("a2616101616102", "a duplicate map key", any_order);
}

TEST(CborTest, RejectsKeysOutOfOrderWhereOrderMatters) {
  CborOptions any_order;
  any_order.canonical_order = false;
  // A larger integer first; text before integer; a longer text before a shorter; negative first.
  for (const char* hex : {"a201000000",
                          "a2616100"
                          "0000",
                          "a262616100616200", "a220000000"}) {
    ExpectMalformed(hex, "out of order");
    EXPECT_THAT(CborValue::Parse(FromHex(hex), any_order), testing::IsOk()) << hex;
  }
}

TEST(CborTest, RejectsKeysOfOtherTypes) {
  for (const char* hex : {"a1410000", "a1f500", "a18000", "a1a000"}) {
    ExpectMalformed(hex, "neither integer nor text");
  }
}

TEST(CborTest, RejectsWhatReachesPastTheEnd) {
  for (const char* hex : {"4201", "62", "8201", "a100", "1a0000", "fb00", "5a7fffffff",
                          "5bffffffffffffffff", "9bffffffffffffffff", "bbffffffffffffffff"}) {
    EXPECT_THAT(CborValue::Parse(FromHex(hex)), RefusedWith(Reason::kEvidenceMalformed)) << hex;
  }
  ExpectMalformed("", "ends too early");
}

TEST(CborTest, RejectsWhatIsLeftOver) {
  ExpectMalformed("0000", "1 bytes left over");
  std::string bytes = FromHex("00ff");
  absl::string_view rest = bytes;
  EXPECT_THAT(CborValue::ParsePrefix(&rest), testing::IsOk());
  EXPECT_EQ(rest.size(), 1u);
}

TEST(CborTest, RejectsTextThatIsNotUtf8) {
  for (const char* hex : {"61ff", "6180", "62c080", "63eda080", "63e08080", "64f0808080",
                          "64f4908080", "61c3", "64f5808080"}) {
    ExpectMalformed(hex, "not UTF-8");
  }
  EXPECT_THAT(CborValue::Parse(FromHex("64f09f9880")), testing::IsOk());
  EXPECT_THAT(CborValue::Parse(FromHex("63e282ac")), testing::IsOk());
}

TEST(CborTest, BoundsDepthAndItems) {
  EXPECT_THAT(CborValue::Parse(FromHex("8181818100")), testing::IsOk());
  ExpectMalformed("818181818100", "nested too deep");
  ExpectMalformed("a100a100a100a100a100", "nested too deep");
  CborOptions few;
  few.max_items = 3;
  EXPECT_THAT(CborValue::Parse(FromHex("820000"), few), testing::IsOk());
  ExpectMalformed("83000000", "too many items", few);
}

TEST(Base64UrlTest, HasOneTextForEveryBytes) {
  EXPECT_EQ(Base64UrlEncode("\xfb\xff"), "-_8");
  EXPECT_EQ(Base64UrlDecode("-_8"), "\xfb\xff");
  EXPECT_EQ(Base64UrlDecode(""), "");
  for (const char* text : {"-_9", "-_8=", "+/8", "-_8 ", "A", "AAAAA", "A\n", "-_8\n"}) {
    EXPECT_FALSE(Base64UrlDecode(text)) << text;
  }
}

}  // namespace
}  // namespace forekey
