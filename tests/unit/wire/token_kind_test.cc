// SPDX-License-Identifier: Apache-2.0
#include "src/wire/token_kind.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

using ::testing::ElementsAre;

TEST(TokenKindTest, EveryKindOfTheWireIsListedWithANameOfItsOwn) {
  const auto* kinds = v1::TokenKind_descriptor();
  std::set<std::string> names;
  int listed = 0;
  for (int i = 0; i < kinds->value_count(); ++i) {
    const auto kind = static_cast<TokenKind>(kinds->value(i)->number());
    if (kind == v1::TOKEN_KIND_UNSPECIFIED) continue;
    ++listed;
    EXPECT_TRUE(IsTokenKind(kind)) << kinds->value(i)->name();
    const std::string name(TokenKindName(kind));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(TokenKindFromName(name), kind);
    EXPECT_EQ(TokenKindOfFactor(name), kind) << "a kind proves a factor of its name";
  }
  EXPECT_EQ(TokenKindNames().size(), static_cast<size_t>(listed));
}

TEST(TokenKindTest, NumbersAndNamesThatAreNotListedAreNoKind) {
  for (int number : {-1, 0, 4, 77, 255, 256, 257, INT32_MAX}) {
    EXPECT_FALSE(IsTokenKind(static_cast<TokenKind>(number))) << number;
    EXPECT_EQ(TokenKindName(static_cast<TokenKind>(number)), "unknown");
  }
  for (const char* name :
       {"", "unknown", "TPM", "tpm ", "tpm fido2", "fido2+uv", "TOKEN_KIND_TPM"}) {
    EXPECT_EQ(TokenKindFromName(name), std::nullopt) << name;
  }
}

TEST(TokenKindTest, EachFactorIsOfOneKind) {
  EXPECT_EQ(TokenKindOfFactor("fido2+uv"), v1::TOKEN_KIND_FIDO2);
  EXPECT_EQ(TokenKindOfFactor("piv-shared"), v1::TOKEN_KIND_PIV);
  EXPECT_EQ(TokenKindOfFactor("cert"), v1::TOKEN_KIND_PIV);
  for (const char* none : {"", "password", "oidc", "fido2+", "piv piv+pin", "tpm+uv"}) {
    EXPECT_EQ(TokenKindOfFactor(none), std::nullopt) << none;
    EXPECT_FALSE(IsHardwareFactor(none)) << none;
  }
  EXPECT_THAT(BareTokenFactors(),
              ElementsAre("tpm", "fido2", "piv", "piv-shared", "cert", "custom"));
}

}  // namespace
}  // namespace forekey
