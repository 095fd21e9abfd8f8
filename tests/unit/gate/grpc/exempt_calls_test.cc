// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/exempt_calls.h"

#include <gtest/gtest.h>

namespace forekey {
namespace {

class ExemptCallsTest : public ::testing::Test {
 protected:
  ExemptCallsTest() {
    limits_.stranger_calls = 4;
    limits_.exempt_per_second = 1e-6;
    limits_.exempt_burst = 1000;
  }
  ExemptCalls::Answer Ask(ExemptCalls& calls, bool own = true, bool proved = false) {
    return calls.Ask({.own = own, .proved = proved, .now = now_}, [this] { return address_; });
  }
  bool LetsIn(ExemptCalls& calls, bool own = true) { return Ask(calls, own).refused.empty(); }

  GateConfig::Connections limits_;
  BootTime now_ = BootTime() + absl::Seconds(1000);
  bool address_ = true;  // whether the bucket of the address has something
};

TEST_F(ExemptCallsTest, WhatNeighboursDoRefusesOnlyStrangersAndEndsNobody) {
  ExemptCalls calls(limits_);
  address_ = false;
  for (int i = 0; i < 100; ++i) {
    const ExemptCalls::Answer stranger = Ask(calls);
    EXPECT_EQ(stranger.refused, "exempt calls of this address");
    EXPECT_FALSE(stranger.ends);
    EXPECT_TRUE(Ask(calls, /*own=*/true, /*proved=*/true).refused.empty());
  }
}

TEST_F(ExemptCallsTest, ItsOwnRateEndsAConnectionAlsoWithRefusalsOfTheAddressBetween) {
  limits_.exempt_burst = 1;
  ExemptCalls calls(limits_);
  address_ = false;
  EXPECT_EQ(Ask(calls).refused, "exempt calls of this address");
  for (int i = 0; i < 15; ++i) {
    const ExemptCalls::Answer answer = Ask(calls);
    EXPECT_EQ(answer.refused, "exempt calls of this connection");
    EXPECT_FALSE(answer.ends) << i;
  }
  const ExemptCalls::Answer last = Ask(calls);
  EXPECT_TRUE(last.ends && last.costs);
}

TEST_F(ExemptCallsTest, CallsAtOnceEndAConnectionAtItsCost) {
  ExemptCalls calls(limits_);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(LetsIn(calls));
  for (int i = 0; i < 15; ++i) EXPECT_FALSE(Ask(calls).ends);
  const ExemptCalls::Answer last = Ask(calls);
  EXPECT_EQ(last.refused, "exempt calls at once, with nothing admitted");
  EXPECT_TRUE(last.ends && last.costs);
}

TEST_F(ExemptCallsTest, CallsThatAreDoneDoNotCount) {
  ExemptCalls calls(limits_);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(LetsIn(calls)) << i;
    calls.Began();
    calls.Done();
  }
}

TEST_F(ExemptCallsTest, AProberWhoseCallsWereAllLostComesBackForNothing) {
  ExemptCalls calls(limits_);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(LetsIn(calls, /*own=*/false)) << "given up before its interceptor saw it";
    now_ += absl::Seconds(5);
  }
  const ExemptCalls::Answer fifth = Ask(calls, /*own=*/false);
  EXPECT_FALSE(fifth.refused.empty());
  EXPECT_TRUE(fifth.ends) << "with the first refusal: the next probe is of another connection";
  EXPECT_FALSE(fifth.costs);
}

TEST_F(ExemptCallsTest, CallsThatAreOnTheirWayOrServedAreNotLost) {
  ExemptCalls calls(limits_);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(LetsIn(calls, /*own=*/false));
  EXPECT_FALSE(Ask(calls, /*own=*/false).ends) << "all of them came just now";
  calls.Began();
  now_ += absl::Seconds(5);
  for (int i = 0; i < 14; ++i) EXPECT_FALSE(Ask(calls, /*own=*/false).ends);
  const ExemptCalls::Answer last = Ask(calls, /*own=*/false);
  EXPECT_TRUE(last.ends);
  EXPECT_FALSE(last.costs) << "calls that are refused for those that were lost";
}

TEST_F(ExemptCallsTest, WhoWatchesAndIsTooFastPays) {
  limits_.exempt_burst = 4;
  ExemptCalls calls(limits_);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(LetsIn(calls, /*own=*/false));
  ExemptCalls::Answer last;
  for (int i = 0; i < 16; ++i) last = Ask(calls, /*own=*/false);
  EXPECT_TRUE(last.ends && last.costs);
}

}  // namespace
}  // namespace forekey
