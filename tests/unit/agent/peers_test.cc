// SPDX-License-Identifier: Apache-2.0
// Whose name a prompt can tell.
#include "src/agent/peers.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace forekey {
namespace {

class PeerSlotsTest : public ::testing::Test {
 protected:
  ~PeerSlotsTest() override {
    for (const auto& [agents, peers] : connections_) {
      close(agents);
      if (peers >= 0) close(peers);
    }
  }
  int Connect() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    connections_.emplace_back(ends[0], ends[1]);
    return ends[0];
  }
  void Hangup(size_t connection) { close(std::exchange(connections_[connection].second, -1)); }

  std::vector<std::pair<int, int>> connections_;
  PeerSlots slots_{4, 2};
};

TEST_F(PeerSlotsTest, OneProcessCannotMakeTheOthersNameless) {
  EXPECT_TRUE(slots_.Take(Connect(), 7, "greedy"));
  EXPECT_TRUE(slots_.Take(Connect(), 7, "greedy"));
  EXPECT_FALSE(slots_.Take(Connect(), 7, "greedy"));
  const auto other = slots_.Take(Connect(), 8, "other");
  ASSERT_TRUE(other);
  EXPECT_EQ(slots_.Program(*other), "other");
}

TEST_F(PeerSlotsTest, WhoHangsUpFreesASlot) {
  const auto first = slots_.Take(Connect(), 7, "first");
  EXPECT_TRUE(slots_.Take(Connect(), 7, "second"));
  Hangup(0);
  EXPECT_EQ(slots_.Take(Connect(), 7, "third"), first);
  EXPECT_EQ(slots_.Program(*first), "third");
  for (pid_t pid : {8, 9}) EXPECT_TRUE(slots_.Take(Connect(), pid, "others"));
  EXPECT_FALSE(slots_.Take(Connect(), 10, "one too many"));
}

}  // namespace
}  // namespace forekey
