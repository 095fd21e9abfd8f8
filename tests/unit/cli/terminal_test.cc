// SPDX-License-Identifier: Apache-2.0
// What a person types and reads: times, words that are misspelt, numbers of things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "src/cli/terminal/did_you_mean.h"
#include "src/cli/terminal/plural.h"
#include "src/cli/terminal/suggest_command.h"
#include "src/cli/terminal/time_text.h"

namespace forekey {
namespace {

TEST(TimeTextTest, TakesTheUsualFormsByTheZoneOfThePerson) {
  const absl::TimeZone zone = absl::FixedTimeZone(2 * 60 * 60);
  const absl::Time now = absl::FromCivil(absl::CivilSecond(2027, 1, 15, 10, 32, 0), zone);
  const auto parse = [&](const char* text) {
    auto time = ParseTimeText(text, now, zone);
    EXPECT_TRUE(time.ok()) << text << ": " << time.status();
    return time.value_or(absl::InfinitePast());
  };
  const auto at = [&](int day, int hour, int minute, int second = 0) {
    return absl::FromCivil(absl::CivilSecond(2027, 1, day, hour, minute, second), zone);
  };
  EXPECT_EQ(parse("2027-01-15T08:00:00Z"), at(15, 10, 0));
  EXPECT_EQ(parse("2027-01-14"), at(14, 0, 0));
  EXPECT_EQ(parse("2027-01-14 09:30"), at(14, 9, 30));
  EXPECT_EQ(parse("2027-01-14T09:30:05"), at(14, 9, 30, 5));
  EXPECT_EQ(parse("10:30"), at(15, 10, 30));
  EXPECT_EQ(parse("23:00"), at(14, 23, 0)) << "the last time that it was";
  EXPECT_EQ(parse("today"), at(15, 0, 0));
  EXPECT_EQ(parse("yesterday"), at(14, 0, 0));
  EXPECT_EQ(parse("90m"), now - absl::Minutes(90));
  EXPECT_EQ(parse("2w ago"), now - absl::Hours(24 * 14));
  EXPECT_EQ(parse("now"), now);
  for (const char* bad :
       {"", "soon", "h", "-5h", "2027-13-01", "25:00", "10:32 ago", "5 fortnights"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseTimeText(bad, now, zone).status())) << bad;
  }
}

TEST(DidYouMeanTest, NamesWhatIsNearAndNothingElse) {
  const std::vector<std::string> commands = {"status", "subjects", "subject", "serve", "revoke"};
  EXPECT_EQ(Closest("statsu", commands), "status");
  EXPECT_EQ(Closest("revok", commands), "revoke");
  EXPECT_EQ(Closest("subjcts", commands), "subjects");
  EXPECT_EQ(Closest("enroll", commands), "");
  EXPECT_EQ(Closest("", commands), "");
  EXPECT_EQ(DidYouMean("statsu", commands), ": did you mean status?");
  EXPECT_EQ(DidYouMean("x", commands), "");
  EXPECT_EQ(Closest(std::string(1000, 'a'), commands), "");
}

TEST(SuggestCommandTest, LooksAtTheCommandThatIsNotKnown) {
  CLI::App app("", "forekey-gate");
  app.add_subcommand("status");
  app.add_subcommand("audit")->add_subcommand("verify");
  EXPECT_EQ(SuggestCommand(app, {"statsu"}), "statsu is no command: did you mean status?");
  EXPECT_EQ(SuggestCommand(app, {"audit", "verfy"}), "verfy is no command: did you mean verify?");
  EXPECT_EQ(SuggestCommand(app, {"audit", "verify", "statsu"}), "");
  EXPECT_EQ(SuggestCommand(app, {"nothing-like-it"}), "");
  EXPECT_EQ(SuggestCommand(app, {"--help"}), "");
}

TEST(PluralTest, OneIsOne) {
  EXPECT_EQ(Plural(0, "key"), "0 keys");
  EXPECT_EQ(Plural(1, "key"), "1 key");
  EXPECT_EQ(Plural(2, "key"), "2 keys");
}

}  // namespace
}  // namespace forekey
