// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/digest.h"

#include <gtest/gtest.h>

#include "src/base/bytes.h"
#include "src/crypto/random.h"
#include "tests/support/hex.h"

namespace forekey {
namespace {

using testing::FromHex;
using testing::ToHex;

std::string MacHex(absl::string_view key, absl::string_view data) {
  std::array<uint8_t, 32> mac = HmacSha256(key).Mac({data});
  return ToHex(View(mac.data(), mac.size()));
}

// FIPS 180-4 examples.
TEST(DigestTest, HashesAbc) {
  EXPECT_EQ(ToHex(Sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(ToHex(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha384("abc")),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
            "8086072ba1e7cc2358baeca134c825a7");
  EXPECT_EQ(ToHex(Sha512("abc")),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(DigestTest, HashesNothing) {
  EXPECT_EQ(ToHex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha1(absl::string_view())), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

// RFC 4231 §4.2 to §4.8.
TEST(HmacSha256Test, GivesTheVectorsOfRfc4231) {
  EXPECT_EQ(MacHex(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(MacHex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(MacHex(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(MacHex(FromHex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
                   std::string(50, '\xcd')),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(MacHex(std::string(20, '\x0c'), "Test With Truncation").substr(0, 32),
            "a3b6167473100ee06e0c796c2955552b");
  EXPECT_EQ(
      MacHex(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(MacHex(std::string(131, '\xaa'),
                   "This is a test using a larger than block-size key and a larger than block-size "
                   "data. The key needs to be hashed before being used by the HMAC algorithm."),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(HmacSha256Test, AKeyOfOneBlockIsNotHashed) {
  const std::string key(64, 'k');
  std::string key_and_more = key + 'k';
  EXPECT_NE(MacHex(key, "m"), MacHex(key_and_more, "m"));
  EXPECT_EQ(MacHex(key_and_more, "m"), MacHex(Sha256(key_and_more), "m"));
  EXPECT_NE(MacHex(key, "m"), MacHex(Sha256(key), "m"));
}

// However a message is cut into parts, at every length around the block's edges.
TEST(HmacSha256Test, PartsAreOneMessage) {
  const HmacSha256 hmac("key");
  for (size_t size = 0; size <= 200; ++size) {
    const std::string message = RandomBytes(size);
    const absl::string_view view(message);
    const auto whole = hmac.Mac({message});
    EXPECT_EQ(whole, hmac.Mac({view.substr(0, size / 3), "", view.substr(size / 3)}));
    EXPECT_EQ(ToHex(View(whole.data(), whole.size())), MacHex("key", message));
  }
}

TEST(HmacSha256Test, MatchesOnlyTheBeginningOfTheMac) {
  const HmacSha256 hmac("key");
  const auto mac = hmac.Mac({"message"});
  const std::string bytes(View(mac.data(), mac.size()));
  EXPECT_TRUE(hmac.Matches({"message"}, bytes));
  EXPECT_TRUE(hmac.Matches({"mess", "age"}, bytes.substr(0, 16)));
  EXPECT_FALSE(hmac.Matches({"message"}, bytes.substr(1)));
  EXPECT_FALSE(hmac.Matches({"messagf"}, bytes));
  EXPECT_FALSE(HmacSha256("kez").Matches({"message"}, bytes));
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string wrong = bytes;
    wrong[at] ^= 1;
    EXPECT_FALSE(hmac.Matches({"message"}, wrong)) << at;
  }
}

TEST(HmacSha256Test, AnEmptyOrOversizeMacNeverMatches) {
  const HmacSha256 hmac("key");
  const auto mac = hmac.Mac({"message"});
  EXPECT_FALSE(hmac.Matches({"message"}, ""));
  EXPECT_FALSE(hmac.Matches({"message"}, std::string(View(mac.data(), mac.size())) + '\0'));
}

TEST(HmacSha256Test, IsWipedWhenItGoes) {
  alignas(HmacSha256) unsigned char memory[sizeof(HmacSha256)];
  HmacSha256* hmac = new (memory) HmacSha256("key");
  hmac->~HmacSha256();
  for (const volatile unsigned char& byte : memory) EXPECT_EQ(byte, 0);
}

TEST(HmacSha256Test, IsAsSmallAsItSays) { EXPECT_EQ(sizeof(HmacSha256), 64u); }

TEST(RandomBytesTest, GivesTheSizeAskedForAndNeverTheSame) {
  EXPECT_EQ(RandomBytes(0).size(), 0u);
  EXPECT_EQ(RandomBytes(33).size(), 33u);
  EXPECT_NE(RandomBytes(16), RandomBytes(16));
}

}  // namespace
}  // namespace forekey
