// SPDX-License-Identifier: Apache-2.0
// What a stranger's text may do to a terminal: nothing.
#include "src/base/printable.h"

#include <gtest/gtest.h>

namespace forekey {
namespace {

TEST(PrintableTest, TakesLettersOfAnyLanguage) {
  for (const char* good : {"", "Ada's laptop", "B\xc3\xbcro", "\xd7\x90\xd7\x91", "\xe6\x9c\xba",
                           "\xf0\x9f\x94\x91", "\xf4\x8f\xbf\xbd"}) {
    EXPECT_TRUE(IsPrintable(good)) << good;
  }
}

TEST(PrintableTest, RefusesWhatIsNotShown) {
  for (const char* bad : {"\x1b[2J", "a\nb", "a\x7f", "\xc2\x9b\x32J", "\xc2\x85", "\xc2\xad",
                          "\xd8\x9c", "\xe2\x80\x8b", "\xe2\x80\xa8", "\xe2\x80\xae",
                          "\xe2\x81\xa6", "\xef\xbb\xbf", "\xf3\xa0\x80\xa0"}) {
    EXPECT_FALSE(IsPrintable(bad)) << Printable(bad, 20);
  }
  EXPECT_FALSE(IsPrintable(absl::string_view("a\0b", 3)));
}

TEST(PrintableTest, RefusesWhatIsNoUtf8) {
  for (const char* bad :
       {"\x80", "\xc3", "\xc0\x9b", "\xc1\xbf", "\xe2\x80", "\xe0\x82\x9b", "\xed\xa0\x80",
        "\xf0\x80\x82\x9b", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3\x28"}) {
    EXPECT_FALSE(IsPrintable(bad)) << Printable(bad, 20);
  }
}

TEST(PrintableTest, EscapesEachByteThatIsNoPrintableAscii) {
  EXPECT_EQ(Printable("no \"quotes\" \x1b[2J\xc2\x9b\n", 100),
            "no \"quotes\" \\x1b[2J\\xc2\\x9b\\x0a");
  EXPECT_EQ(Printable("abcdef", 4), "abcd...(cut)");
  EXPECT_EQ(Shown("B\xc3\xbcro"), "B\xc3\xbcro");
  EXPECT_EQ(Shown("B\xc3\xbcro\x1b["), "B\\xc3\\xbcro\\x1b[");
}

}  // namespace
}  // namespace forekey
