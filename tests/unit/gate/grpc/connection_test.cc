#include "src/gate/grpc/connection.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "src/gate/limits/host_places.h"

namespace forekey {
namespace {

class StrangerRoomTest : public ::testing::Test {
 protected:
  std::shared_ptr<Connection> From(const std::string& host) {
    return std::make_shared<Connection>(++last_id_, "peer of " + host, host, -1, -1, limits_, 0);
  }
  // The id of who leaves; 0: nobody.
  static uint64_t Leaves(StrangerRoom& room, const std::shared_ptr<Connection>& connection) {
    const auto left = room.Add(connection);
    return left == nullptr ? 0 : left->id();
  }

  const GateConfig::Connections limits_;
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

TEST(HostPlacesTest, OneAddressHasItsShareAndGetsItBack) {
  HostPlaces places(4, 2);
  EXPECT_TRUE(places.Enter("a"));
  EXPECT_TRUE(places.Enter("a"));
  EXPECT_FALSE(places.Enter("a"));
  EXPECT_TRUE(places.Enter("b"));
  EXPECT_TRUE(places.Enter("c"));
  EXPECT_FALSE(places.Enter("d")) << "all are taken";
  places.Leave("a");
  EXPECT_TRUE(places.Enter("d"));
  EXPECT_FALSE(places.Enter("a"));
  places.Leave("b");
  EXPECT_TRUE(places.Enter("a"));
}

}  // namespace
}  // namespace forekey
