// SPDX-License-Identifier: Apache-2.0
#include "src/agent/tls_anchors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "src/crypto/certificate.h"
#include "tests/unit/client/fakes/tls.h"

namespace forekey::testing {
namespace {

std::set<std::string> DersOf(const std::string& pem) {
  std::set<std::string> ders;
  const auto all = Certificate::ParseAll(pem);
  EXPECT_TRUE(all.ok()) << all.status();
  for (const Certificate& one : *all) ders.insert(one.der());
  return ders;
}

TEST(TlsAnchorsTest, WhatIsNewIsAddedAndNothingThatIsGoodGoes) {
  const TlsIdentity old = MakeTlsIdentity(), next = MakeTlsIdentity();
  const auto merged =
      MergeTlsAnchors(old.certificate_pem, old.certificate_pem + next.certificate_pem, absl::Now());
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(DersOf(*merged), (std::set<std::string>{old.certificate_der, next.certificate_der}));
  EXPECT_EQ(*MergeTlsAnchors(*merged, next.certificate_pem, absl::Now()), *merged);
}

TEST(TlsAnchorsTest, WhatHasExpiredGoesAndIsNotLearnt) {
  const TlsIdentity old = MakeTlsIdentity("", -absl::Hours(2), -absl::Hours(1));
  const TlsIdentity next = MakeTlsIdentity();
  EXPECT_EQ(DersOf(*MergeTlsAnchors(old.certificate_pem, next.certificate_pem, absl::Now())),
            (std::set<std::string>{next.certificate_der}));
  EXPECT_EQ(DersOf(*MergeTlsAnchors(next.certificate_pem, old.certificate_pem, absl::Now())),
            (std::set<std::string>{next.certificate_der}));
}

TEST(TlsAnchorsTest, AreBoundedAndMustParse) {
  std::string many;
  for (size_t i = 0; i < kMostTlsAnchors; ++i) many += MakeTlsIdentity().certificate_pem;
  const std::string old = MakeTlsIdentity().certificate_pem;
  EXPECT_TRUE(absl::IsResourceExhausted(MergeTlsAnchors(old, many, absl::Now()).status()));
  EXPECT_FALSE(MergeTlsAnchors(old, "no certificate", absl::Now()).ok());
  EXPECT_FALSE(MergeTlsAnchors(old, "", absl::Now()).ok());
}

}  // namespace
}  // namespace forekey::testing
