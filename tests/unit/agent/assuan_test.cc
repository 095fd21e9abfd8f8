// SPDX-License-Identifier: Apache-2.0
#include "src/agent/assuan.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/printable.h"

namespace forekey {
namespace {

TEST(AssuanTest, EscapesWhatMayNotStandInALineAndRefusesHalfAnEscape) {
  EXPECT_EQ(AssuanEscape("100%\r\n\x01"), "100%25%0D%0A%01");
  EXPECT_EQ(AssuanUnescape("100%25%0d%0A").value(), "100%\r\n");
  for (const char* bad : {"%", "%2", "x%2", "%zz", "%2x"})
    EXPECT_FALSE(AssuanUnescape(bad).ok()) << bad;
}

TEST(AssuanTest, ShortensInTheMiddleAndKeepsCharactersWhole) {
  EXPECT_EQ(AssuanFitted("short", 20), "short");
  EXPECT_EQ(AssuanFitted("01234567890123456789x", 20), "01234...90123456789x");
  const std::string wide = absl::StrCat(std::string(40, '%'), "\xc3\xa4\xe2\x82\xac", "%%%");
  for (size_t most = 20; most < 140; ++most) {
    const std::string fitted = AssuanFitted(wide, most);
    EXPECT_LE(AssuanEscape(fitted).size(), most);
    EXPECT_TRUE(IsPrintable(fitted)) << fitted;
  }
}

}  // namespace
}  // namespace forekey
