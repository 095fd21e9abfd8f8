// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/key_agreement.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::FromHex;
using testing::IsError;
using testing::IsOk;
using testing::RefusedWith;
using testing::ToHex;

std::string Sequence(int first, int last) {
  std::string bytes;
  for (int i = first; i <= last; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

// RFC 7748 §6.1.
TEST(X25519Test, GivesTheVectorOfRfc7748) {
  auto alice = X25519PrivateKey::FromRaw(
      FromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  auto bob = X25519PrivateKey::FromRaw(
      FromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  ASSERT_THAT(alice, IsOk());
  ASSERT_THAT(bob, IsOk());
  EXPECT_EQ(ToHex(alice->public_key()),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(ToHex(bob->public_key()),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  auto one = alice->Agree(bob->public_key());
  auto other = bob->Agree(alice->public_key());
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(ToHex(one->view()), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  EXPECT_EQ(one->view(), other->view());
}

// Every point of small order gives all zero: whoever sends one knows the secret without a key.
TEST(X25519Test, RefusesKeySharesOfSmallOrder) {
  const X25519PrivateKey key = X25519PrivateKey::Generate();
  for (absl::string_view hex : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           // 2^255 is masked away: zero again.
           "0000000000000000000000000000000000000000000000000000000000000080",
       }) {
    EXPECT_THAT(key.Agree(FromHex(hex)), RefusedWith(Reason::kKeyShareInvalid)) << hex;
  }
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(X25519Test, RefusesKeySharesOfAnotherSize) {
  const X25519PrivateKey key = X25519PrivateKey::Generate();
  for (size_t size : {0, 1, 31, 33, 64}) {
    EXPECT_THAT(key.Agree(std::string(size, '\x09')), RefusedWith(Reason::kKeyShareInvalid));
    EXPECT_THAT(X25519PrivateKey::FromRaw(std::string(size, '\x09')),
                IsError(absl::StatusCode::kInvalidArgument, "32 bytes"));
  }
}

TEST(X25519Test, RawGoesRound) {
  const X25519PrivateKey key = X25519PrivateKey::Generate();
  auto again = X25519PrivateKey::FromRaw(key.Raw().view());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->public_key(), key.public_key());
  EXPECT_NE(X25519PrivateKey::Generate().public_key(), key.public_key());
}

// RFC 5869 A.1 to A.3.
TEST(HkdfTest, GivesTheVectorsOfRfc5869) {
  EXPECT_EQ(
      ToHex(HkdfSha256(std::string(22, '\x0b'), Sequence(0, 12), Sequence(0xf0, 0xf9), 42).view()),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(
      ToHex(HkdfSha256(Sequence(0, 0x4f), Sequence(0x60, 0xaf), Sequence(0xb0, 0xff), 82).view()),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
      "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(ToHex(HkdfSha256(std::string(22, '\x0b'), "", "", 42).view()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

Secret Key(char c) { return Secret(std::string(32, c)); }

TEST(AeadTest, GoesRound) {
  for (size_t size : {0, 1, 16, 1000}) {
    const std::string plain(size, 'p');
    const std::string sealed = AeadSeal(Key('k'), plain, "for this");
    EXPECT_EQ(sealed.size(), size + 28);
    auto opened = AeadOpen(Key('k'), sealed, "for this");
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(opened->view(), plain);
  }
  EXPECT_NE(AeadSeal(Key('k'), "p", ""), AeadSeal(Key('k'), "p", ""));
}

TEST(AeadTest, OpensNothingThatWasChanged) {
  const std::string sealed = AeadSeal(Key('k'), "plain text", "for this");
  auto refused = IsError(absl::StatusCode::kInvalidArgument, "");
  for (size_t at = 0; at < sealed.size(); ++at) {
    std::string changed = sealed;
    changed[at] ^= 1;
    EXPECT_THAT(AeadOpen(Key('k'), changed, "for this"), refused) << at;
    EXPECT_THAT(AeadOpen(Key('k'), sealed.substr(0, at), "for this"), refused) << at;
  }
  EXPECT_THAT(AeadOpen(Key('k'), sealed + '\0', "for this"), refused);
  EXPECT_THAT(AeadOpen(Key('k'), sealed, "for that"), refused);
  EXPECT_THAT(AeadOpen(Key('k'), sealed, ""), refused);
  EXPECT_THAT(AeadOpen(Key('l'), sealed, "for this"), refused);
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(AeadDeathTest, TakesNoKeyOfAnotherSize) {
  EXPECT_DEATH(AeadSeal(Secret("short"), "p", ""), "32 bytes");
  EXPECT_DEATH(AeadOpen(Secret("short"), std::string(40, 's'), "").IgnoreError(), "32 bytes");
}

}  // namespace
}  // namespace forekey
