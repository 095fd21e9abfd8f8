// SPDX-License-Identifier: Apache-2.0
#include "src/base/reread.h"

#include <gtest/gtest.h>

namespace forekey {
namespace {

class RereadTest : public ::testing::Test {
 protected:
  RereadTest() { reread_.Use("a"); }
  // How many looks pass until the next one that says so.
  int LooksUntilDue(const std::string& now) {
    for (int looks = 1; looks < 100; ++looks) {
      if (reread_.Due(now)) return looks;
    }
    return -1;
  }
  Reread reread_;
};

TEST_F(RereadTest, OtherFilesAreReadOnceTheyHaveSettled) {
  EXPECT_EQ(LooksUntilDue("a"), -1) << "they are in use";
  EXPECT_FALSE(reread_.Due("b")) << "they may be half written";
  EXPECT_TRUE(reread_.Due("b"));
  reread_.Use("b");
  EXPECT_EQ(LooksUntilDue("b"), -1);
}

TEST_F(RereadTest, WhatIsNotInUseIsTriedAgainAfterAPauseThatGrows) {
  EXPECT_EQ(LooksUntilDue("b"), 2);
  for (const int pause : {1, 2, 4, 8, 16, 32, 32}) EXPECT_EQ(LooksUntilDue("b"), pause);
  EXPECT_EQ(LooksUntilDue("c"), 2) << "others need not wait";
  EXPECT_EQ(LooksUntilDue("c"), 1);
  reread_.Use("c");
  EXPECT_EQ(LooksUntilDue("c"), -1);
}

TEST_F(RereadTest, FilesThatAreAsTheyWereAreInUseStill) {
  EXPECT_EQ(LooksUntilDue("b"), 2);
  EXPECT_EQ(LooksUntilDue("a"), -1);
  EXPECT_EQ(LooksUntilDue("b"), 2);
}

TEST_F(RereadTest, AFailureIsToldOnceForTheSameFiles) {
  EXPECT_EQ(LooksUntilDue("b"), 2);
  EXPECT_TRUE(reread_.Failed("disk full"));
  EXPECT_EQ(LooksUntilDue("b"), 1);
  EXPECT_FALSE(reread_.Failed("disk full"));
  EXPECT_TRUE(reread_.Failed("it is broken"));
  EXPECT_FALSE(reread_.Failed("it is broken"));
  EXPECT_EQ(LooksUntilDue("c"), 2);
  EXPECT_TRUE(reread_.Failed("it is broken"));
}

}  // namespace
}  // namespace forekey
