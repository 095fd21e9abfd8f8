// SPDX-License-Identifier: Apache-2.0
// A challenge is used once, whatever the threads, the clock and the load do.
#include "src/store/replay.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures

std::string Nonce(int i) { return Bytes32(absl::StrCat("nonce ", i)).substr(0, 16); }
constexpr absl::Duration kLife = absl::Seconds(120);

TEST(ReplayStoreTest, ANonceIsConsumedOnce) {
  auto store = NewMemoryReplayStore(100);
  EXPECT_THAT(store->Consume(Nonce(1), kBoot, kBoot + kLife), IsOk());
  EXPECT_THAT(store->Consume(Nonce(1), kBoot, kBoot + kLife),
              RefusedWith(Reason::kChallengeReplayed));
  EXPECT_THAT(store->Consume(Nonce(1), kBoot + kLife - kNano, kBoot + kLife),
              RefusedWith(Reason::kChallengeReplayed))
      << "to its last nanosecond";
  EXPECT_THAT(store->Consume(Nonce(2), kBoot, kBoot + kLife), IsOk());
}

TEST(ReplayStoreTest, LongNoncesAreToldApartByAllTheirBytes) {
  auto store = NewMemoryReplayStore(100);
  std::string one(64, 'c'), other = one;
  other.back() = 'd';
  EXPECT_THAT(store->Consume(one, kBoot, kBoot + kLife), IsOk());
  EXPECT_THAT(store->Consume(other, kBoot, kBoot + kLife), IsOk());
  EXPECT_THAT(store->Consume(one, kBoot, kBoot + kLife), RefusedWith(Reason::kChallengeReplayed));
  EXPECT_THAT(store->Consume(one.substr(0, 63), kBoot, kBoot + kLife), IsOk());
}

TEST(ReplayStoreTest, RefusesOtherSizes) {
  auto store = NewMemoryReplayStore(100);
  for (size_t size : {0, 15, 65}) {
    EXPECT_THAT(store->Consume(std::string(size, 'x'), kBoot, kBoot + kLife),
                HasCode(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST(ReplayStoreTest, AnExpiredNonceIsNotEvenFresh) {
  auto store = NewMemoryReplayStore(100);
  EXPECT_THAT(store->Consume(Nonce(1), kBoot, kBoot), RefusedWith(Reason::kChallengeExpired));
  EXPECT_THAT(store->Consume(Nonce(1), kBoot, kBoot - kSecond),
              RefusedWith(Reason::kChallengeExpired));
  EXPECT_THAT(store->Consume(Nonce(1), kBoot, kBoot + kNano), IsOk());
}

TEST(ReplayStoreTest, AFullStoreRefusesAndForgetsNothing) {
  constexpr int kCapacity = 500;
  auto store = NewMemoryReplayStore(kCapacity);
  for (int i = 0; i < kCapacity; ++i) {
    ASSERT_THAT(store->Consume(Nonce(i), kBoot + i * kNano, kBoot + i * kNano + kLife), IsOk())
        << i;
  }
  EXPECT_THAT(store->Consume(Nonce(kCapacity), kBoot + kSecond, kBoot + kLife + kSecond),
              RefusedWith(Reason::kReplayStoreFull));
  for (int i = 0; i < kCapacity; ++i) {
    EXPECT_THAT(store->Consume(Nonce(i), kBoot + kSecond, kBoot + i * kNano + kLife),
                RefusedWith(Reason::kChallengeReplayed))
        << i;
  }
}

TEST(ReplayStoreTest, AFullStoreTakesOthersOnceSomeHaveExpiredInWhateverShard) {
  constexpr int kCapacity = 200;
  auto store = NewMemoryReplayStore(kCapacity);
  ASSERT_THAT(store->Consume(Nonce(0), kBoot, kBoot + kSecond), IsOk());
  for (int i = 1; i < kCapacity; ++i)
    ASSERT_THAT(store->Consume(Nonce(i), kBoot, kBoot + kLife), IsOk());
  EXPECT_THAT(store->Consume(Nonce(1000), kBoot + kSecond / 2, kBoot + kLife),
              RefusedWith(Reason::kReplayStoreFull));
  EXPECT_THAT(store->Consume(Nonce(1000), kBoot + 2 * kSecond, kBoot + kLife), IsOk());
  EXPECT_THAT(store->Consume(Nonce(1001), kBoot + 2 * kSecond, kBoot + kLife),
              RefusedWith(Reason::kReplayStoreFull));
  for (int i = 0; i < kCapacity; ++i) {
    EXPECT_THAT(store->Consume(Nonce(2000 + i), kBoot + kLife + kSecond, kBoot + 3 * kLife), IsOk())
        << i;
  }
}

TEST(ReplayStoreTest, AStragglerWithAnOldClockCannotReplayWhatWasForgotten) {
  auto store = NewMemoryReplayStore(1);
  ASSERT_THAT(store->Consume(Nonce(1), kBoot, kBoot + kLife), IsOk());
  // Another thread's later clock drops it, whatever shard its own nonce is in.
  ASSERT_THAT(store->Consume(Nonce(2), kBoot + 2 * kLife, kBoot + 4 * kLife), IsOk());
  // This one read the clock before the expiry and was held up since.
  EXPECT_THAT(store->Consume(Nonce(1), kBoot + kLife - kNano, kBoot + kLife),
              RefusedWith(Reason::kChallengeExpired));
}

TEST(ReplayStoreTest, ExpiriesAtTheEndsOfTheirRange) {
  auto store = NewMemoryReplayStore(2);
  constexpr BootTime kNever = BootTime::InfiniteFuture();
  EXPECT_THAT(store->Consume(Nonce(1), BootTime(), kNever), IsOk());
  EXPECT_THAT(store->Consume(Nonce(2), BootTime() - 5 * kNano, BootTime() + kNano), IsOk());
  EXPECT_THAT(store->Consume(Nonce(3), kNever - kNano, kNever), IsOk()) << "nonce 2 is gone";
  EXPECT_THAT(store->Consume(Nonce(1), kNever - kNano, kNever),
              RefusedWith(Reason::kChallengeReplayed));
}

TEST(ReplayStoreTest, OfManyThreadsExactlyOneConsumes) {
  constexpr int kThreads = 4, kNonces = 2000;
  auto store = NewMemoryReplayStore(kNonces);
  std::vector<std::atomic<int>> accepted(kNonces);
  std::atomic<int> other{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kNonces; ++i) {
        absl::Status status = store->Consume(Nonce(i), kBoot, kBoot + kLife);
        accepted[i] += status.ok();
        other += !status.ok() && ReasonOf(status) != Reason::kChallengeReplayed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kNonces; ++i) EXPECT_EQ(accepted[i], 1) << i;
  EXPECT_EQ(other, 0);
}

}  // namespace
}  // namespace forekey
