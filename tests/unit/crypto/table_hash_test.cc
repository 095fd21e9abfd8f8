// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/table_hash.h"

#include "gtest/gtest.h"

namespace forekey {
namespace {

TEST(TableHashTest, TellsInputsApartAndKnowsThemAgain) {
  const TableHash hash;
  EXPECT_EQ(hash("forekey"), hash("forekey"));
  EXPECT_NE(hash("forekey"), hash("forekez"));
  EXPECT_NE(hash(""), hash(absl::string_view("\0", 1)));
}

TEST(TableHashTest, NobodyKnowsAnotherTablesValues) {
  const TableHash one, other;
  EXPECT_NE(one("forekey"), other("forekey"));
}

}  // namespace
}  // namespace forekey
