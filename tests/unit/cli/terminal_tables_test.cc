// SPDX-License-Identifier: Apache-2.0
// What a person at a terminal is shown and asked: tables, questions, progress.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "absl/synchronization/notification.h"
#include "src/cli/terminal/dialogue.h"
#include "src/cli/terminal/table.h"
#include "src/cli/terminal/waiting.h"

namespace forekey {
namespace {

using ::testing::HasSubstr;

std::string Printed(size_t columns, const std::vector<std::vector<std::string>>& rows) {
  Table table(columns);
  for (const auto& row : rows) table.Add(row);
  std::ostringstream out;
  table.Print(out);
  return out.str();
}

TEST(TableTest, IsLeftAloneInAPipe) {
  EXPECT_EQ(Printed(0, {{"a", "bc", "d"}, {"abc", "d"}}), "a  bc  d\nabc  d\n");
}

TEST(TableTest, HasColumnsOnATerminal) {
  EXPECT_EQ(Printed(80, {{"a", "bc", "d"}, {"abc", "d", "e"}, {"é", "", "f"}}),
            "a    bc  d\nabc  d   e\né        f\n");
}

TEST(TableTest, FitsTheTerminalAndKeepsTheDigitsThatCommandsTake) {
  const std::string id(64, 'f');
  EXPECT_EQ(Printed(40, {{id, "alice"}, {id, "bob"}}),
            std::string(30, 'f') + "...  alice\n" + std::string(30, 'f') + "...  bob\n");
  // Where nothing more can go, lines are long.
  EXPECT_EQ(Printed(10, {{id, "alice"}}), "ffffffffffff...  alice\n");
  EXPECT_EQ(Printed(18, {{std::string(20, 'x'), "éé"}}), "xxxxxxxxxxxx...  éé\n");
}

TEST(DialogueTest, TakesANumberOfTheList) {
  std::istringstream in("7\nx\n2\n");
  std::ostringstream out;
  const Dialogue dialogue{in, out, true};
  const auto chosen = dialogue.Choose("Which?", {"tpm:", "fido2:"});
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(*chosen, 1u);
  EXPECT_THAT(out.str(), HasSubstr("1) tpm:\n2) fido2:\nWhich? [1-2] "));
}

TEST(DialogueTest, NoAnswerIsNoChoice) {
  for (const char* answer : {"", "\n", "0\n0\n0\n", "1x\n3\n-1\n"}) {
    std::istringstream in(answer);
    std::ostringstream out;
    EXPECT_TRUE(absl::IsCancelled(Dialogue{in, out, true}.Choose("Which?", {"a", "b"}).status()))
        << answer;
  }
}

TEST(DialogueTest, ConfirmsWithAnEmptyLineOrYes) {
  const auto confirm = [](const char* answer) {
    std::istringstream in(answer);
    std::ostringstream out;
    return Dialogue{in, out, true}.Confirm("Go on?");
  };
  for (const char* yes : {"\n", "y\n", " Yes \n"}) EXPECT_TRUE(confirm(yes)) << yes;
  for (const char* no : {"", "n\n", "no\n", "what\n"}) EXPECT_FALSE(confirm(no)) << no;
}

// A stream whose writes can be waited for.
class WatchedBuffer : public std::stringbuf {
 public:
  absl::Notification written;
  int sync() override {
    if (!str().empty() && !written.HasBeenNotified()) written.Notify();
    return 0;
  }
};

TEST(WaitingTest, SaysWhatTakesItsTimeAndClearsTheLine) {
  WatchedBuffer buffer;
  std::ostream err(&buffer);
  {
    Waiting waiting(err, /*on_terminal=*/true, "enrolling", absl::ZeroDuration());
    buffer.written.WaitForNotification();
    waiting.Tell("touch the key");
  }
  EXPECT_THAT(buffer.str(), HasSubstr("enrolling ... 0 s"));
  EXPECT_THAT(buffer.str(), HasSubstr("\rtouch the key\n"));
}

TEST(WaitingTest, IsSilentWhereNobodyLooksButForWhatIsTold) {
  std::ostringstream err;
  {
    Waiting waiting(err, /*on_terminal=*/false, "enrolling", absl::ZeroDuration());
    waiting.Tell("touch the key");
  }
  EXPECT_EQ(err.str(), "touch the key\n");
}

}  // namespace
}  // namespace forekey
