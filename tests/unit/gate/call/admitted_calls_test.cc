// SPDX-License-Identifier: Apache-2.0
// What is remembered of admitted calls: by whose prefix and path, and for how many others.
#include "src/gate/call/admitted_calls.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/gate/call/call_verifier.h"

namespace forekey {
namespace {

TEST(AdmittedCallsTest, ACallIsFoundByItsPrefixAndPathTogether) {
  AdmittedCalls calls;
  const auto one = std::make_shared<const DeviceCall>();
  calls.Add("prefix", "/svc/Say", one);
  EXPECT_EQ(calls.Find("prefix", "/svc/Say"), one);
  EXPECT_EQ(calls.Find("prefix", "/svc/Delete"), nullptr);
  EXPECT_EQ(calls.Find("other", "/svc/Say"), nullptr);
}

// A resumption whose handler asks after it was overwritten is refused, and its user asked to touch.
TEST(AdmittedCallsTest, SomeOthersAtTheSameTimeOverwriteNothing) {
  constexpr int kRounds = 2000, kAtTheSameTime = 8;
  AdmittedCalls calls;
  for (int round = 0; round < kRounds; ++round) {
    const auto one = std::make_shared<const DeviceCall>();
    calls.Add(absl::StrCat(round), "/svc/Say", one);
    for (int i = 0; i < kAtTheSameTime; ++i) {
      calls.Add(absl::StrCat(round, "-", i), "/svc/Say", std::make_shared<const DeviceCall>());
    }
    ASSERT_EQ(calls.Find(absl::StrCat(round), "/svc/Say"), one) << round;
  }
}

TEST(AdmittedCallsTest, WhatIsOldIsForgotten) {
  AdmittedCalls calls;
  auto one = std::make_shared<const DeviceCall>();
  const std::weak_ptr<const DeviceCall> old = one;
  calls.Add("old", "/svc/Say", std::move(one));
  for (int i = 0; i < 100'000; ++i) {
    calls.Add(absl::StrCat(i), "/svc/Say", std::make_shared<const DeviceCall>());
  }
  EXPECT_TRUE(old.expired());
}

}  // namespace
}  // namespace forekey
