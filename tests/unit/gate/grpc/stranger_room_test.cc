// SPDX-License-Identifier: Apache-2.0
#include "src/gate/grpc/stranger_room.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/gate/limits/host_buckets.h"

namespace forekey {
namespace {

class StrangerRoomTest : public ::testing::Test {
 protected:
  std::shared_ptr<Connection> From(const std::string& host) {
    return std::make_shared<Connection>(++last_id_, "peer of " + host, host, -1, -1, limits_,
                                        BootTime());
  }
  // The id of who leaves; 0: nobody.
  static uint64_t Leaves(StrangerRoom& room, const std::shared_ptr<Connection>& connection) {
    const auto left = room.Add(connection);
    return left == nullptr ? 0 : left->id();
  }

  const GateConfig::Connections limits_{};
  uint64_t last_id_ = 0;
};

TEST_F(StrangerRoomTest, WhoHasHisShareSendsTheOldestOfHisOwnAway) {
  StrangerRoom room(8, 2);
  EXPECT_EQ(Leaves(room, From("a")), 0u);
  EXPECT_EQ(Leaves(room, From("b")), 0u);
  EXPECT_EQ(Leaves(room, From("b")), 0u);
  EXPECT_EQ(Leaves(room, From("b")), 2u);
  EXPECT_EQ(room.size(), 3u);
}

TEST_F(StrangerRoomTest, WhereAllIsTakenTheAddressWithMostGivesWay) {
  StrangerRoom room(4, 3);
  for (const char* host : {"a", "b", "b", "b"}) EXPECT_EQ(Leaves(room, From(host)), 0u);
  EXPECT_EQ(Leaves(room, From("c")), 2u) << "the oldest of b, not the oldest of all";
  EXPECT_EQ(Leaves(room, From("d")), 3u);
  EXPECT_EQ(Leaves(room, From("e")), 1u) << "of those who have as many, the oldest";
}

TEST_F(StrangerRoomTest, WithoutPlacesWhoComesLeaves) {
  StrangerRoom room(0, 1);
  EXPECT_EQ(Leaves(room, From("a")), 1u);
  EXPECT_EQ(room.size(), 0u);
}

TEST_F(StrangerRoomTest, WhoLeftIsNotCounted) {
  StrangerRoom room(8, 1), other(8, 1);
  const auto first = From("a");
  EXPECT_EQ(Leaves(room, first), 0u);
  other.Remove(*first);
  EXPECT_EQ(room.size(), 1u) << "not in that room";
  room.Remove(*first);
  room.Remove(*first);
  EXPECT_EQ(Leaves(room, From("a")), 0u);
}

TEST_F(StrangerRoomTest, WhoWasAdmittedMeanwhileMakesRoomAndIsNotSentAway) {
  StrangerRoom room(2, 2);
  const auto proved = From("a"), other = From("b");
  EXPECT_EQ(Leaves(room, proved), 0u);
  EXPECT_EQ(Leaves(room, other), 0u);
  // The accept loop hears of it only with its next look: a newcomer may be before that.
  proved->Prove();
  EXPECT_EQ(Leaves(room, From("c")), 0u) << "its call was admitted, and is being answered";
  EXPECT_EQ(room.size(), 2u);
  EXPECT_EQ(Leaves(room, From("d")), other->id());
}

TEST_F(StrangerRoomTest, WhoWasAdmittedMeanwhileIsNotTakenForAnOldStranger) {
  StrangerRoom room(8, 8);
  const auto silent = From("a"), proved = From("b");
  room.Add(silent);
  room.Add(proved);
  proved->Prove();
  EXPECT_TRUE(room.TakeOld(BootTime() + absl::Seconds(9), absl::Seconds(10)).empty());
  EXPECT_EQ(room.TakeOld(BootTime() + absl::Seconds(10), absl::Seconds(10)),
            std::vector<std::shared_ptr<Connection>>{silent});
  EXPECT_EQ(room.size(), 0u);
}

// ---- One party with a /48 has 65,536 addresses ----

std::string AddressOf(int site, int network) {
  return HostKey(
      absl::StrCat("ipv6:[2001:db8:", absl::Hex(site), ":", absl::Hex(network), "::1]:1"));
}

TEST_F(StrangerRoomTest, ASiteOfManyAddressesTakesOnlyItsShare) {
  StrangerRoom room(16, 4);
  EXPECT_EQ(Leaves(room, From(AddressOf(1, 1))), 0u) << "somebody's watch of health, the oldest";
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Leaves(room, From(AddressOf(2, i))), 0u);
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(Leaves(room, From(AddressOf(2, 8 + static_cast<int>(i)))), 2 + i)
        << "the oldest of its own site";
  }
  EXPECT_EQ(room.size(), 9u);
}

TEST_F(StrangerRoomTest, WhereAllIsTakenTheSiteWithMostGivesWay) {
  StrangerRoom room(4, 4);
  EXPECT_EQ(Leaves(room, From("a")), 0u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Leaves(room, From(AddressOf(2, i))), 0u);
  EXPECT_EQ(Leaves(room, From("b")), 2u)
      << "no address of it has more than the others, or is older";
  EXPECT_EQ(Leaves(room, From("c")), 3u);
}

TEST_F(StrangerRoomTest, WithinASiteTheAddressWithMostGivesWay) {
  StrangerRoom room(16, 2);
  EXPECT_EQ(Leaves(room, From(AddressOf(2, 1))), 0u) << "a neighbour of the others";
  for (int network : {2, 2, 3}) EXPECT_EQ(Leaves(room, From(AddressOf(2, network))), 0u);
  EXPECT_EQ(Leaves(room, From(AddressOf(2, 3))), 2u) << "the oldest of those who have two";
}

}  // namespace
}  // namespace forekey
