// SPDX-License-Identifier: Apache-2.0
// What commands tell while they run: heard by who waits and by who comes later, and gone with the
// command.
#include "src/agent/notice_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> TextsAfter(NoticeBoard& board, uint64_t* seen,
                                    absl::Duration patience = absl::ZeroDuration()) {
  std::vector<std::string> texts;
  for (const NoticeBoard::Notice& notice : board.After(seen, patience)) {
    texts.push_back(notice.gate + ": " + notice.text);
  }
  return texts;
}

TEST(NoticeBoardTest, EachLineIsHeardOnceByEachAlsoByWhoComesLaterUntilTheCommandEnds) {
  NoticeBoard board;
  uint64_t early = 0, late = 0, after = 0;
  std::optional<NoticeBoard::Place> one(std::in_place, &board, "a.test"),
      two(std::in_place, &board, "b.test");
  EXPECT_EQ(one->Post("open https://idp.test"), "open https://idp.test");
  EXPECT_THAT(TextsAfter(board, &early), ElementsAre("a.test: open https://idp.test"));
  EXPECT_THAT(TextsAfter(board, &early), IsEmpty());
  two->Post("code 1234");
  EXPECT_THAT(TextsAfter(board, &late),
              ElementsAre("a.test: open https://idp.test", "b.test: code 1234"));
  one.reset();
  EXPECT_THAT(TextsAfter(board, &early), ElementsAre("b.test: code 1234"));
  two.reset();
  EXPECT_THAT(TextsAfter(board, &after), IsEmpty());
}

TEST(NoticeBoardTest, LinesAreForTerminalsAndBounded) {
  NoticeBoard board;
  NoticeBoard::Place place(&board, "a.test");
  EXPECT_EQ(place.Post("a\x1b[2Jb\tc\x7f\r\n"), "a?[2Jb?c?");
  EXPECT_EQ(place.Post("Gr\xc3\xbc\xc3\x9f"
                       "e"),
            "Gr\xc3\xbc\xc3\x9f"
            "e");
  EXPECT_EQ(place.Post(" \n"), "");
  EXPECT_EQ(place.Post(std::string(5000, 'x')).size(), 1024u);
  size_t taken = 0;
  for (int i = 0; i < 1000; ++i) taken += !place.Post("x").empty();
  EXPECT_EQ(taken, 61u);
  NoticeBoard::Place another(&board, "a.test");
  EXPECT_EQ(another.Post("not its fault"), "not its fault");
}

TEST(NoticeBoardTest, WhoWaitsIsWokenByALineAndByTheEnd) {
  NoticeBoard board;
  ASSERT_TRUE(board.Enter());
  NoticeBoard::Place place(&board, "a.test");
  std::thread poster([&] { place.Post("now"); });
  uint64_t seen = 0;
  EXPECT_THAT(TextsAfter(board, &seen, absl::Minutes(1)), ElementsAre("a.test: now"));
  poster.join();
  std::thread stopper([&] { board.Stop(); });
  EXPECT_THAT(TextsAfter(board, &seen, absl::Minutes(1)), IsEmpty());
  stopper.join();
  board.Leave();
  EXPECT_FALSE(board.Enter()) << "the agent ends";
}

TEST(NoticeBoardTest, OnlySoManyWatch) {
  NoticeBoard board;
  int watchers = 0;
  while (watchers < 1000 && board.Enter()) ++watchers;
  EXPECT_EQ(watchers, 32);
  board.Leave();
  EXPECT_TRUE(board.Enter());
}

}  // namespace
}  // namespace forekey::testing
