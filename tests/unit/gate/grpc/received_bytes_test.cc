// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/received_bytes.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace forekey {
namespace {

constexpr size_t kKibi = 1024;
constexpr size_t kMost = 256 * kKibi;  // [connections] stranger_bytes

Allowance Judge(uint64_t received, int64_t seconds) {
  return JudgeBytes(received, absl::Seconds(seconds), kMost);
}

TEST(AllowanceTest, GrowsWithTime) {
  EXPECT_EQ(Judge(kMost, 0), Allowance::kWithin);
  EXPECT_EQ(Judge(kMost + 1, 0), Allowance::kExceeded);
  EXPECT_EQ(Judge(kMost + 100 * kKibi, 100), Allowance::kWithin);
  EXPECT_EQ(Judge(kMost + 100 * kKibi + 1, 100), Allowance::kExceeded);
}

TEST(AllowanceTest, IsNeverMoreThanTwiceWhatAStrangerMaySendAtOnce) {
  for (int64_t days : {1, 30}) {
    const int64_t age = days * 24 * 3600;
    EXPECT_EQ(Judge(2 * kMost, age), Allowance::kWithin);
    EXPECT_EQ(Judge(2 * kMost + 1, age), Allowance::kOld) << "slow: it is ended, and owes nothing";
    EXPECT_EQ(Judge(kMost + kKibi * static_cast<uint64_t>(age) + 1, age), Allowance::kExceeded);
  }
}

TEST(AllowanceTest, AClockThatStepsBackAllowsNoMore) {
  EXPECT_EQ(Judge(kMost, -1000), Allowance::kWithin);
  EXPECT_EQ(Judge(kMost + 1, -1000), Allowance::kExceeded);
}

TEST(AllowanceTest, WhatIsNotKnownIsTooMuch) {
  EXPECT_EQ(JudgeBytes(absl::UnimplementedError("no count"), absl::Seconds(1000), kMost),
            Allowance::kExceeded);
}

TEST(ReceivedBytesTest, AnErrorIsNoCount) {
  EXPECT_FALSE(BytesReceivedOn(-1).ok());
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_FALSE(BytesReceivedOn(pair[0]).ok()) << "no TCP";
  close(pair[0]);
  close(pair[1]);
}

TEST(ReceivedBytesTest, ThisSystemCounts) { EXPECT_TRUE(CheckBytesAreCounted().ok()); }

}  // namespace
}  // namespace forekey
