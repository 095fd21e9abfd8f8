// SPDX-License-Identifier: Apache-2.0
#include "src/base/boot_time.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <sstream>
#include <type_traits>

namespace forekey {
namespace {

static_assert(std::is_trivially_copyable_v<BootTime>);
static_assert(std::atomic<BootTime>::is_always_lock_free);
static_assert(!std::is_convertible_v<int64_t, BootTime> &&
                  !std::is_convertible_v<BootTime, int64_t>,
              "a number says neither its unit nor its clock");
static_assert(!std::is_convertible_v<absl::Time, BootTime>);
static_assert(BootTime() < BootTime::FromNanos(1));
static_assert(BootTime::FromNanos(7).nanos() == 7);
static_assert(BootTime::FromNanos(9).NanosSince(BootTime::FromNanos(4)) == 5);

constexpr BootTime kAt = BootTime::FromNanos(1'000'000'000'000);

TEST(BootTimeTest, IsOrderedAsTheInstantsAre) {
  EXPECT_LT(BootTime(), kAt);
  EXPECT_LT(kAt, BootTime::InfiniteFuture());
  EXPECT_EQ(kAt, BootTime::FromNanos(kAt.nanos()));
  EXPECT_GE(kAt, kAt);
}

TEST(BootTimeTest, ADifferenceOfInstantsIsADuration) {
  EXPECT_EQ(kAt + absl::Seconds(2) - kAt, absl::Seconds(2));
  EXPECT_EQ(kAt - (kAt + absl::Nanoseconds(1)), -absl::Nanoseconds(1));
  EXPECT_EQ(kAt - absl::Seconds(1000), BootTime());
  BootTime moved = kAt;
  moved += absl::Minutes(1);
  EXPECT_EQ(moved.NanosSince(kAt), int64_t{60'000'000'000});
  moved -= absl::Minutes(2);
  EXPECT_EQ(moved.NanosSince(kAt), -int64_t{60'000'000'000});
}

// An end that wrapped around would lie in the past, or an age in the future.
TEST(BootTimeTest, NothingWrapsAround) {
  const BootTime first = BootTime::FromNanos(std::numeric_limits<int64_t>::min());
  const BootTime last = BootTime::InfiniteFuture();
  EXPECT_EQ(kAt + absl::InfiniteDuration(), last);
  EXPECT_LT(kAt - absl::InfiniteDuration(), BootTime());
  EXPECT_EQ(last + absl::Nanoseconds(1), last);
  EXPECT_EQ(first - absl::Nanoseconds(1), first);
  EXPECT_EQ(kAt.PlusNanos(std::numeric_limits<int64_t>::max()), last);
  EXPECT_EQ(last.NanosSince(first), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(first.NanosSince(last), std::numeric_limits<int64_t>::min());
  EXPECT_GT(last - first, absl::ZeroDuration());
}

TEST(BootTimeTest, IsPrintedAsTimeSinceTheStart) {
  std::ostringstream out;
  out << kAt;
  EXPECT_EQ(out.str(), "boot+16m40s");
}

}  // namespace
}  // namespace forekey
