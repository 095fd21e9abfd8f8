// SPDX-License-Identifier: Apache-2.0
// The window of sequence numbers, against a plain set that remembers everything.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "src/store/replay_window.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::RefusedWith;

TEST(ReplayWindowTest, RoundsItsSizeUpWithinItsBounds) {
  for (const auto& [asked, given] : {std::pair(0u, 64u),
                                     {1u, 64u},
                                     {64u, 64u},
                                     {65u, 128u},
                                     {1024u, 1024u},
                                     {65536u, 65536u},
                                     {65537u, 65536u},
                                     {4294967295u, 65536u}}) {
    EXPECT_EQ(ReplayWindow(asked).size(), given) << asked;
  }
}

TEST(ReplayWindowTest, SequencesStartAtOne) {
  ReplayWindow window(64);
  EXPECT_THAT(window.Accept(0), RefusedWith(Reason::kSequenceTooOld));
  EXPECT_THAT(window.Accept(1), IsOk());
  EXPECT_THAT(window.Accept(0), RefusedWith(Reason::kSequenceTooOld));
}

TEST(ReplayWindowTest, ChecksWithoutRemembering) {
  ReplayWindow window(64);
  EXPECT_THAT(window.Check(5), IsOk());
  EXPECT_THAT(window.Check(5), IsOk());
  EXPECT_THAT(window.Accept(5), IsOk());
  EXPECT_THAT(window.Check(5), RefusedWith(Reason::kSequenceReplayed));
}

TEST(ReplayWindowTest, TakesTheWholeWindowOutOfOrderAndNothingBeforeIt) {
  for (uint32_t size : {64u, 128u, 1024u, 65536u}) {
    for (uint64_t highest :
         {uint64_t{size}, uint64_t{size} + 1, uint64_t{size} * 3 + 17, UINT64_MAX}) {
      ReplayWindow window(size);
      ASSERT_THAT(window.Accept(highest), IsOk());
      EXPECT_THAT(window.Accept(highest - size), RefusedWith(Reason::kSequenceTooOld));
      for (uint64_t back = size - 1; back > 0; back -= back > 70 ? 7 : 1) {
        ASSERT_THAT(window.Accept(highest - back), IsOk()) << size << " " << highest << " " << back;
        ASSERT_THAT(window.Accept(highest - back), RefusedWith(Reason::kSequenceReplayed));
      }
      EXPECT_THAT(window.Accept(highest), RefusedWith(Reason::kSequenceReplayed));
    }
  }
}

TEST(ReplayWindowTest, AgreesWithASetThatForgetsNothing) {
  std::mt19937_64 random(42);
  for (uint32_t size : {64u, 192u, 1024u}) {
    ReplayWindow window(size);
    std::set<uint64_t> accepted;
    uint64_t highest = 0;
    for (int i = 0; i < 20000; ++i) {
      // Mostly near the front; now and then a leap by up to several windows.
      uint64_t leap = random() % 50 == 0 ? random() % (4 * size) : random() % 5;
      uint64_t sequence = highest + leap;
      sequence -= std::min(sequence, random() % (size + size / 8));
      absl::Status status = window.Accept(sequence);
      if (sequence == 0 || (sequence <= highest && highest - sequence >= size)) {
        ASSERT_THAT(status, RefusedWith(Reason::kSequenceTooOld)) << sequence << " of " << highest;
      } else if (accepted.contains(sequence)) {
        ASSERT_THAT(status, RefusedWith(Reason::kSequenceReplayed))
            << sequence << " of " << highest;
      } else {
        ASSERT_THAT(status, IsOk()) << sequence << " of " << highest;
        accepted.insert(sequence);
        highest = std::max(highest, sequence);
      }
    }
  }
}

}  // namespace
}  // namespace forekey
