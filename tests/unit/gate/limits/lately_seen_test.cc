// SPDX-License-Identifier: Apache-2.0
#include "src/gate/limits/lately_seen.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

TEST(LatelySeenTest, KeepsTheLastOnesAndNoMoreThanTwiceAsMany) {
  LatelySeen seen;
  EXPECT_FALSE(seen.Has("0"));
  const size_t all = 3 * LatelySeen::kKept;
  for (size_t i = 0; i < all; ++i) {
    seen.Add(absl::StrCat(i));
    seen.Add("often");
  }
  size_t kept = 0;
  for (size_t i = 0; i < all; ++i) kept += seen.Has(absl::StrCat(i));
  EXPECT_LE(kept, 2 * LatelySeen::kKept);
  for (size_t i = all - LatelySeen::kKept + 1; i < all; ++i) ASSERT_TRUE(seen.Has(absl::StrCat(i)));
  EXPECT_TRUE(seen.Has("often"));
}

}  // namespace
}  // namespace forekey
