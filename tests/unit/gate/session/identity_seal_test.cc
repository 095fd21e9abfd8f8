// SPDX-License-Identifier: Apache-2.0
#include "src/gate/session/identity_seal.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;

TEST(IdentitySealTest, OpensWithItsPassphraseAloneAndOnlyUnchanged) {
  const Secret content = Secret::CopyOf("forekey-gate-identity 1\ncurrent 00 0\n"),
               right = Secret::CopyOf("correct horse battery"),
               wrong = Secret::CopyOf("correct horse batterz");
  auto sealed = SealIdentity(content, right);
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(sealed->find("current"), std::string::npos);
  auto opened = OpenSealedIdentity(*sealed, right);
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->view(), content.view());
  EXPECT_THAT(OpenSealedIdentity(*sealed, wrong), HasCode(absl::StatusCode::kPermissionDenied));
  std::string changed = *sealed;
  changed.back() ^= 1;
  EXPECT_THAT(OpenSealedIdentity(changed, right), HasCode(absl::StatusCode::kPermissionDenied));
  EXPECT_NE(*SealIdentity(content, right), *sealed) << "another salt, another nonce";
  EXPECT_THAT(SealIdentity(content, Secret::CopyOf("eleven byte")),
              HasCode(absl::StatusCode::kInvalidArgument));
}

TEST(IdentitySealTest, WhatIsCutShortLeftOverOrAnothersDoesNotParse) {
  const std::string line = "forekey-gate-identity-sealed 1\n";
  EXPECT_THAT(SealedIdentity::Parse(line + std::string(45, 'x')), IsOk());
  for (const std::string& bad :
       {std::string(), line, line + std::string(44, 'x'), line + std::string(8193, 'x'),
        "forekey-gate-identity-sealed 2\n" + std::string(45, 'x'),
        " " + line + std::string(45, 'x')}) {
    EXPECT_THAT(SealedIdentity::Parse(bad), HasCode(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace forekey
