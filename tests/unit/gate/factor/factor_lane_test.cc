// SPDX-License-Identifier: Apache-2.0
// What one slow factor may hold, and what it leaves to others.
#include "src/gate/factor/factor_lane.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace forekey::testing {
namespace {

TEST(FactorLaneTest, IsFullWhenItIsAndAgainFreeWhenAPlaceIsGivenBack) {
  FactorLane lane("passwords", 3);
  std::vector<FactorLane::Place> places;
  for (int i = 0; i < 3; ++i) places.push_back(lane.Enter(absl::StrCat("subject", i)).value());
  EXPECT_THAT(lane.Enter("ada"), RefusedWith(Reason::kFactorBusy));
  places.pop_back();
  EXPECT_THAT(lane.Enter("ada"), IsOk());
  EXPECT_THAT(lane.Enter("ada"), IsOk()) << "given back at once";
}

TEST(FactorLaneTest, NoSubjectTakesThePlacesOfOthers) {
  FactorLane lane("passwords", 10);
  std::vector<FactorLane::Place> places;
  places.push_back(lane.Enter("eve").value());
  places.push_back(lane.Enter("eve").value());
  EXPECT_THAT(lane.Enter("eve"), RefusedWith(Reason::kFactorBusy));
  places.push_back(lane.Enter("ada").value());
  EXPECT_THAT(lane.Enter("eve"), RefusedWith(Reason::kFactorBusy));
  places.pop_back();
  EXPECT_THAT(lane.Enter("ada"), IsOk());
}

}  // namespace
}  // namespace forekey::testing
