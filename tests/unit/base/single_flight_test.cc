// SPDX-License-Identifier: Apache-2.0
// Work that is shared, and the threads that do it.
#include "src/base/single_flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "absl/synchronization/notification.h"
#include "src/base/lanes.h"

namespace forekey {
namespace {

using Flights = SingleFlight<int>;
using ::testing::ElementsAre;

class SingleFlightTest : public ::testing::Test {
 protected:
  Flights::Waiter Waiter() {
    return [this](const Flights::Flight&, int result) { results_.push_back(result); };
  }
  Flights flights_;
  std::vector<int> results_;
};

TEST_F(SingleFlightTest, OneStartsAndAllAreAnsweredOnce) {
  auto first = flights_.Join("a", Waiter());
  auto second = flights_.Join("a", Waiter());
  EXPECT_TRUE(first.started);
  EXPECT_FALSE(second.started);
  EXPECT_TRUE(flights_.Join("b", Waiter()).started) << "another piece of work";
  EXPECT_EQ(flights_.JoinFlight(first.flight, Waiter()).flight, first.flight);
  flights_.Finish(first.flight, 7);
  flights_.Finish(first.flight, 8);
  EXPECT_THAT(results_, ElementsAre(7, 7, 7));
  EXPECT_TRUE(flights_.Join("a", Waiter()).started) << "what comes later is done anew";
}

TEST_F(SingleFlightTest, TheLastWhoLeavesAbandonsAndWhoComesThenStartsAnew) {
  auto first = flights_.Join("a", Waiter());
  auto second = flights_.Join("a", Waiter());
  EXPECT_TRUE(flights_.Leave(first));
  EXPECT_FALSE(flights_.Leave(first));
  EXPECT_FALSE(first.flight->abandoned());
  EXPECT_TRUE(flights_.Leave(second));
  EXPECT_TRUE(first.flight->abandoned());
  EXPECT_EQ(flights_.JoinFlight(first.flight, Waiter()).flight, nullptr);
  auto third = flights_.Join("a", Waiter());
  EXPECT_TRUE(third.started);
  flights_.Finish(first.flight, 1);
  EXPECT_THAT(results_, ElementsAre());
  flights_.Finish(third.flight, 2);
  EXPECT_THAT(results_, ElementsAre(2));
  EXPECT_FALSE(flights_.Leave(third)) << "answered already";
}

TEST_F(SingleFlightTest, WhatIsAnsweredEarlyNeedNotBeDone) {
  auto a = flights_.Join("a", Waiter());
  auto b = flights_.Join("b", Waiter());
  flights_.FinishEarly(a.flight, 3);
  EXPECT_THAT(results_, ElementsAre(3));
  EXPECT_TRUE(a.flight->abandoned());
  EXPECT_FALSE(b.flight->abandoned());
  flights_.Finish(a.flight, 5);
  EXPECT_THAT(results_, ElementsAre(3));
}

TEST_F(SingleFlightTest, AbandonAllAnswersEverybody) {
  auto a = flights_.Join("a", Waiter());
  auto b = flights_.Join("b", Waiter());
  EXPECT_EQ(flights_.waiters(), 2u);
  flights_.AbandonAll(-1);
  EXPECT_THAT(results_, ElementsAre(-1, -1));
  EXPECT_TRUE(a.flight->abandoned() && b.flight->abandoned());
  flights_.Finish(a.flight, 5);
  EXPECT_EQ(results_.size(), 2u);
}

TEST(LanesTest, ALaneThatHangsHoldsUpNoOtherOne) {
  Lanes lanes;
  absl::Notification release, other, behind;
  lanes.Post("stuck", 1, [&] { release.WaitForNotification(); });
  lanes.Post("stuck", 1, [&] { behind.Notify(); });
  lanes.Post("free", 1, [&] { other.Notify(); });
  other.WaitForNotification();
  EXPECT_FALSE(behind.HasBeenNotified());
  release.Notify();
  behind.WaitForNotification();
}

TEST(LanesTest, StopRunsWhatIsQueuedAndLaterTasksRunHere) {
  Lanes lanes;
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) lanes.Post("lane", 3, [&] { ++ran; });
  lanes.Stop();
  EXPECT_EQ(ran, 100);
  std::thread::id where;
  lanes.Post("lane", 3, [&] { where = std::this_thread::get_id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
}

// Whoever lets go of the last reference may be one of its own tasks.
TEST(LanesTest, ATaskMayEndItsOwnLanes) {
  auto lanes = std::make_shared<Lanes>();
  absl::Notification ended;
  Lanes* raw = lanes.get();
  raw->Post("lane", 1, [held = std::move(lanes), &ended]() mutable {
    held.reset();
    ended.Notify();
  });
  ended.WaitForNotification();
}

}  // namespace
}  // namespace forekey
