// SPDX-License-Identifier: Apache-2.0
// Limits of addresses, and of the sites that they are of.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/limits/host_places.h"
#include "src/gate/limits/stranger_limit.h"

namespace forekey {
namespace {

constexpr BootTime kNow = BootTime::FromNanos(1'000'000'000);

std::string PeerOf(int site, int network) {
  return absl::StrCat("ipv6:[2001:db8:", absl::Hex(site), ":", absl::Hex(network), "::1]:4711");
}
std::string AddressOf(int site, int network) { return HostKey(PeerOf(site, network)); }

TEST(SiteKeyTest, IsThe48OfAnIpv6AddressAndAllElseItself) {
  EXPECT_EQ(SiteKey(AddressOf(1, 1)), SiteKey(AddressOf(1, 0xffff)));
  EXPECT_NE(SiteKey(AddressOf(1, 1)), SiteKey(AddressOf(2, 1)));
  for (const char* peer : {"ipv4:192.0.2.1:1", "ipv6:[::ffff:192.0.2.1]:1", "unix:/run/x", ""}) {
    EXPECT_EQ(SiteKey(HostKey(peer)), HostKey(peer)) << peer;
  }
}

TEST(SiteBucketsTest, ASiteGetsFourTimesWhatAnAddressGetsHoweverManyItHas) {
  SiteBuckets buckets(1, 10);
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += buckets.Take(AddressOf(1, i), kNow) ? 1 : 0;
  EXPECT_EQ(allowed, 40);
  EXPECT_TRUE(buckets.Take(AddressOf(2, 1), kNow)) << "another site";
  EXPECT_TRUE(buckets.Take(HostKey("ipv4:192.0.2.1:1"), kNow));
}

TEST(SiteBucketsTest, OneAddressNeverEmptiesTheBucketOfItsSite) {
  SiteBuckets buckets(1, 10);
  for (int i = 0; i < 1000; ++i) buckets.Take(AddressOf(1, 1), kNow);
  buckets.Charge(AddressOf(1, 1), 1000, kNow);
  EXPECT_FALSE(buckets.Take(AddressOf(1, 1), kNow));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(buckets.Take(AddressOf(1, 2), kNow)) << i;
}

TEST(StrangerLimitTest, LookUpsOfManyAddressesOfASiteAreBounded) {
  StrangerLimitOptions options;
  options.per_address_burst = 10;
  StrangerLimit limit(options);
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limit.AllowLookUp(PeerOf(1, i), kNow) ? 1 : 0;
  EXPECT_EQ(allowed, 40);
}

TEST(StrangerLimitTest, LookUpsOfAllStrangersHaveOneBucketWhichKnownHostsDoNotAskFor) {
  StrangerLimitOptions options;
  options.look_ups = 100;
  StrangerLimit limit(options);
  limit.Succeeded(PeerOf(1, 1));
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limit.AllowLookUp(PeerOf(2 + i, 1), kNow) ? 1 : 0;
  EXPECT_EQ(allowed, 100);
  EXPECT_TRUE(limit.AllowLookUp(PeerOf(1, 1), kNow));
  limit.Failed(PeerOf(1, 1), Refuse(Reason::kSignatureInvalid));
  EXPECT_FALSE(limit.AllowLookUp(PeerOf(1, 1), kNow));
}

TEST(StrangerLimitTest, AHostThatIsAskedAboutSeveralTimesIsWorkedOutOnce) {
  StrangerLimitOptions options;
  options.burst = 1;
  options.per_second = 1;
  StrangerLimit limit(options);
  const StrangerLimit::Host host = limit.HostOf(PeerOf(1, 1)), other = limit.HostOf(PeerOf(2, 1)),
                            unknown = limit.HostOf("");
  EXPECT_TRUE(limit.AllowSignature(host, kNow)) << "the one of all strangers";
  EXPECT_FALSE(limit.AllowSignature(host, kNow));
  EXPECT_TRUE(limit.AllowSignature(unknown, kNow)) << "has paid at its look-up";
  limit.Succeeded(PeerOf(1, 1));
  EXPECT_TRUE(limit.AllowSignature(host, kNow));
  EXPECT_FALSE(limit.AllowSignature(other, kNow));
  limit.Failed(host, Refuse(Reason::kSignatureInvalid));
  EXPECT_FALSE(limit.AllowSignature(host, kNow));
  limit.Succeeded(unknown);
  EXPECT_TRUE(limit.AllowLookUp(unknown, kNow));
  EXPECT_FALSE(limit.AllowLookUp("", kNow)) << "they have a bucket of their own together";
}

TEST(StrangerLimitTest, WhatTheGateCouldNotDoIsHeldAgainstNobody) {
  StrangerLimitOptions options;
  options.look_ups = 1;
  StrangerLimit limit(options);
  limit.Succeeded(PeerOf(1, 1));
  EXPECT_TRUE(limit.AllowLookUp(PeerOf(2, 1), kNow)) << "the one of all strangers";
  for (const Reason reason :
       {Reason::kStoreUnavailable, Reason::kSessionTableFull, Reason::kReplayStoreFull,
        Reason::kLeaseEnded, Reason::kTicketClock}) {
    limit.Failed(PeerOf(1, 1), Refuse(reason));
    EXPECT_TRUE(limit.AllowLookUp(PeerOf(1, 1), kNow)) << ReasonName(reason);
  }
  limit.Failed(PeerOf(1, 1), absl::InternalError("no refusal at all"));
  EXPECT_TRUE(limit.AllowLookUp(PeerOf(1, 1), kNow));
  limit.Failed(PeerOf(1, 1), Refuse(Reason::kTicketReplayed));
  EXPECT_FALSE(limit.AllowLookUp(PeerOf(1, 1), kNow));
}

TEST(HostPlacesTest, OneAddressHasItsShareAndGetsItBack) {
  HostPlaces places(4, 2);
  EXPECT_TRUE(places.Enter("a"));
  EXPECT_TRUE(places.Enter("a"));
  EXPECT_FALSE(places.Enter("a"));
  EXPECT_TRUE(places.Enter("b"));
  EXPECT_TRUE(places.Enter("c"));
  EXPECT_FALSE(places.Enter("d")) << "all are taken";
  places.Leave("a");
  EXPECT_TRUE(places.Enter("d"));
  EXPECT_FALSE(places.Enter("a"));
  places.Leave("b");
  EXPECT_TRUE(places.Enter("a"));
}

TEST(HostPlacesTest, ASiteOfManyAddressesHasTwiceTheShareOfOne) {
  HostPlaces places(64, 16);
  int taken = 0;
  for (int i = 0; i < 64; ++i) taken += places.Enter(AddressOf(1, i)) ? 1 : 0;
  EXPECT_EQ(taken, 32);
  EXPECT_TRUE(places.Enter(AddressOf(2, 1))) << "another site";
  EXPECT_FALSE(places.Enter(AddressOf(1, 99)));
  places.Leave(AddressOf(1, 0));
  EXPECT_TRUE(places.Enter(AddressOf(1, 99)));
}

}  // namespace
}  // namespace forekey
