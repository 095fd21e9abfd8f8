// SPDX-License-Identifier: Apache-2.0
#include "src/base/reason.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace forekey {
namespace {

constexpr Reason kAll[] = {
#define FOREKEY_REASON(enumerator, name, code, meaning) Reason::k##enumerator,
#include "src/base/reason.def"
#undef FOREKEY_REASON
};

TEST(ReasonTest, EveryReasonHasANameOfItsOwnAndAMeaning) {
  std::set<std::string> names;
  for (Reason reason : kAll) {
    const absl::string_view name = ReasonName(reason);
    EXPECT_TRUE(names.insert(std::string(name)).second) << name;
    EXPECT_EQ(ReasonFromName(name), reason);
    EXPECT_FALSE(ReasonMeaning(reason).empty()) << name;
    for (char c : name)
      EXPECT_TRUE((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-') << name;
  }
  EXPECT_EQ(ReasonFromName("no-such-reason"), std::nullopt);
  EXPECT_EQ(ReasonFromName(""), std::nullopt);
}

// LAW 6: three public codes and no more. OK least of all.
TEST(ReasonTest, PeersLearnOneOfThreeCodes) {
  for (Reason reason : kAll) {
    const absl::StatusCode code = PublicCode(reason);
    EXPECT_TRUE(code == absl::StatusCode::kUnauthenticated ||
                code == absl::StatusCode::kPermissionDenied ||
                code == absl::StatusCode::kUnavailable)
        << ReasonName(reason);
  }
}

TEST(ReasonTest, ARefusalCarriesItsReason) {
  const absl::Status status = Refuse(Reason::kChallengeReplayed, "seen 3 s ago");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(status.message(), "challenge-replayed: seen 3 s ago");
  EXPECT_EQ(ReasonOf(status), Reason::kChallengeReplayed);
  EXPECT_TRUE(absl::StrContains(Refuse(Reason::kChallengeReplayed).message(),
                                ReasonMeaning(Reason::kChallengeReplayed)));
}

TEST(ReasonTest, OtherStatusesCarryNone) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ReasonOf(absl::UnauthenticatedError("challenge-replayed: by hand")), std::nullopt);
}

}  // namespace
}  // namespace forekey
