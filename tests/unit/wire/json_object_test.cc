// SPDX-License-Identifier: Apache-2.0
// Law guarded: what others nest cannot outgrow the stack of who reads it.
#include "src/wire/json_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

std::string ObjectOfDepth(int depth) {
  return absl::StrCat("{\"a\":", std::string(depth - 1, '['), std::string(depth - 1, ']'), "}");
}

TEST(JsonObjectTest, IsReadToTheDepthThatIsAllowedAndNoDeeper) {
  EXPECT_TRUE(ParseJsonObject(ObjectOfDepth(kMaxJsonDepth)).ok());
  const auto refused = ParseJsonObject(ObjectOfDepth(kMaxJsonDepth + 1));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("too deep"));
  EXPECT_FALSE(ParseJsonObject(ObjectOfDepth(1'000'000)).ok());
}

TEST(JsonObjectTest, CountsWhatIsOpenAtOnceAndNothingInStrings) {
  std::string wide = "{\"a\":[";
  for (int i = 0; i < 1000; ++i) wide += "[],{},";
  EXPECT_TRUE(ParseJsonObject(wide + "[]]}").ok());
  EXPECT_TRUE(ParseJsonObject(absl::StrCat("{\"", std::string(100, '['), "\":\"\\\"",
                                           std::string(100, '{'), "\"}"))
                  .ok());
  EXPECT_TRUE(IsJsonDeeperThan(2, "[[["));
  EXPECT_FALSE(IsJsonDeeperThan(3, "[[["));
  // The quote is escaped, or the backslash is.
  EXPECT_FALSE(IsJsonDeeperThan(0, "\"\\\"[\""));
  EXPECT_TRUE(IsJsonDeeperThan(0, "\"\\\\\"["));
  EXPECT_EQ(ParseBoundedJson("[[1]]")[0][0], 1);
  for (const std::string& bad :
       {std::string("[1"), std::string("1\0", 2), std::string(65, '[') + std::string(65, ']')}) {
    EXPECT_TRUE(ParseBoundedJson(bad).is_discarded()) << bad;
  }
}

}  // namespace
}  // namespace forekey
