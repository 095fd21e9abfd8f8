// SPDX-License-Identifier: Apache-2.0
// A provider's keys through outages, rotations and garbage, on a clock that moves only when told
// to.
#include "src/gate/factor/jwks_cache.h"

#include <set>

#include "absl/synchronization/notification.h"
#include "src/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/id_provider.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JwksCacheTest : public ::testing::Test {
 protected:
  void Make() {
    cache_ = std::make_unique<JwksCache>(
        options_, clock_,
        [this](const std::atomic<bool>&) -> absl::StatusOr<JwksDocument> {
          absl::MutexLock lock(&mutex_);
          ++asked_;
          asked_changed_.SignalAll();
          while (held_) asked_changed_.Wait(&mutex_);
          if (!answer_.ok()) return answer_.status();
          return JwksDocument{*answer_, max_age_};
        },
        [this](bool good, const std::string& what) {
          absl::MutexLock lock(&mutex_);
          reports_.push_back(absl::StrCat(good ? "good: " : "bad: ", what));
        });
  }
  void Answer(absl::StatusOr<std::string> answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  void Hold(bool held) {
    absl::MutexLock lock(&mutex_);
    held_ = held;
    asked_changed_.SignalAll();
  }
  void WaitUntilAsked(int times) {
    absl::MutexLock lock(&mutex_);
    while (asked_ < times) asked_changed_.Wait(&mutex_);
  }
  int asked() {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }
  std::vector<std::string> reports() {
    absl::MutexLock lock(&mutex_);
    return reports_;
  }

  const std::string one_ = JwksOf({IdpKey::New("one", "ES256")});
  const std::string two_ = JwksOf({IdpKey::New("one", "ES256"), IdpKey::New("two", "ES256")});
  FakeClock clock_;
  JwksCacheOptions options_{.longest_wait = absl::Minutes(1)};
  absl::Mutex mutex_;
  absl::CondVar asked_changed_;
  absl::StatusOr<std::string> answer_ = absl::UnavailableError("down");
  std::optional<absl::Duration> max_age_;
  bool held_ = false;
  int asked_ = 0;
  std::vector<std::string> reports_;
  std::unique_ptr<JwksCache> cache_;  // goes first
};

TEST_F(JwksCacheTest, GoodKeysOutliveAnOutageAndGarbageUntilTheyAreStale) {
  Make();
  EXPECT_THAT(cache_->Keys(), RefusedWith(Reason::kIdentityProviderUnavailable)) << "none yet";
  Answer(one_);
  EXPECT_THAT(cache_->Refresh(), IsOk());
  const auto first = cache_->Keys();
  ASSERT_THAT(first, IsOk());
  for (const absl::StatusOr<std::string>& bad :
       {absl::StatusOr<std::string>(absl::UnavailableError("down")),
        absl::StatusOr<std::string>("<html>"), absl::StatusOr<std::string>(R"({"keys":[]})"),
        absl::StatusOr<std::string>("")}) {
    clock_.Advance(absl::Hours(5));
    Answer(bad);
    EXPECT_FALSE(cache_->Refresh().ok());
    const auto kept = cache_->Keys();
    ASSERT_THAT(kept, IsOk());
    EXPECT_EQ(*kept, *first);
  }
  clock_.Advance(absl::Hours(4));
  EXPECT_THAT(cache_->Keys(), IsOk()) << "24 hours to the second";
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(cache_->Keys(), RefusedWith(Reason::kIdentityProviderUnavailable));
  EXPECT_THAT(cache_->Newer(*first), RefusedWith(Reason::kIdentityProviderUnavailable));
  Answer(one_);
  EXPECT_THAT(cache_->Refresh(), IsOk());
  EXPECT_THAT(cache_->Keys(), IsOk()) << "and all is well again";
}

TEST_F(JwksCacheTest, ReportsChangesAndEachErrorOnce) {
  Make();
  Answer(one_);
  EXPECT_TRUE(cache_->Refresh().ok());
  EXPECT_TRUE(cache_->Refresh().ok());
  Answer(absl::UnavailableError("down"));
  EXPECT_FALSE(cache_->Refresh().ok());
  EXPECT_FALSE(cache_->Refresh().ok());
  Answer(one_);
  EXPECT_TRUE(cache_->Refresh().ok());
  Answer(two_);
  EXPECT_TRUE(cache_->Refresh().ok());
  EXPECT_THAT(
      reports(),
      ElementsAre(HasSubstr("good: 1 keys"), HasSubstr("bad: the identity provider's keys can't"),
                  HasSubstr("good: the identity provider's keys can be read again"),
                  HasSubstr("good: 2 keys")));
}

TEST_F(JwksCacheTest, AKeyThatWasTakenBackIsGoneWithTheNextAnswer) {
  Make();
  Answer(two_);
  EXPECT_TRUE(cache_->Refresh().ok());
  EXPECT_EQ((*cache_->Keys())->size(), 2u);
  Answer(one_);
  EXPECT_TRUE(cache_->Refresh().ok());
  EXPECT_EQ((*cache_->Keys())->size(), 1u);
}

TEST_F(JwksCacheTest, WhoComesFirstWaitsForTheFirstKeys) {
  Answer(one_);
  Hold(true);
  Make();
  cache_->Start();
  std::thread releaser([this] {
    WaitUntilAsked(1);
    Hold(false);
  });
  EXPECT_THAT(cache_->Keys(), IsOk());
  releaser.join();
}

TEST_F(JwksCacheTest, AnUnknownKeyAsksAtOnceButNotOnAndOn) {
  Answer(one_);
  Make();
  cache_->Start();
  const auto first = cache_->Keys();
  ASSERT_THAT(first, IsOk());
  Answer(two_);
  // The provider was asked a moment ago: a flood of made-up key ids asks it nothing.
  for (int i = 0; i < 1000; ++i) {
    const auto same = cache_->Newer(*first);
    ASSERT_THAT(same, IsOk());
    EXPECT_EQ(*same, *first);
  }
  EXPECT_EQ(asked(), 1);
  clock_.Advance(options_.retry);
  const auto second = cache_->Newer(*first);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ((*second)->size(), 2u);
  EXPECT_EQ(asked(), 2);
  EXPECT_EQ(*cache_->Newer(*first), *second) << "newer than the first they are already";
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(*cache_->Newer(*second), *second);
  EXPECT_EQ(asked(), 2);
  // An answer that says nothing new is the same keys: nobody verifies twice for it.
  clock_.Advance(options_.retry);
  EXPECT_EQ(*cache_->Newer(*second), *second);
  EXPECT_EQ(asked(), 3);
}

TEST_F(JwksCacheTest, ManyWaitForOneAnswer) {
  Answer(one_);
  Make();
  cache_->Start();
  const auto first = cache_->Keys();
  ASSERT_THAT(first, IsOk());
  clock_.Advance(options_.retry);
  Answer(two_);
  Hold(true);
  std::vector<std::thread> waiters;
  std::atomic<int> got{0};
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&] {
      const auto newer = cache_->Newer(*first);
      got += newer.ok() && (*newer)->size() == 2;
    });
  }
  WaitUntilAsked(2);
  Hold(false);
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(got, 8);
  EXPECT_EQ(asked(), 2);
}

TEST_F(JwksCacheTest, NobodyWaitsForASlowProviderLongerThanIsConfigured) {
  Answer(one_);
  options_.longest_wait = absl::Milliseconds(1);
  Make();
  EXPECT_TRUE(cache_->Refresh().ok());
  Hold(true);
  cache_->Start();
  WaitUntilAsked(2);
  const auto keys = cache_->Keys();
  ASSERT_THAT(keys, IsOk()) << "the good ones are at hand";
  EXPECT_EQ(*cache_->Newer(*keys), *keys);
  Hold(false);
}

TEST_F(JwksCacheTest, TheThreadAsksAgainWhenItIsTime) {
  Answer(one_);
  Make();
  cache_->Start();
  WaitUntilAsked(1);
  ASSERT_THAT(cache_->Keys(), IsOk());
  Answer(absl::UnavailableError("down"));
  clock_.Advance(options_.refresh);
  WaitUntilAsked(2);
  // A failure is tried again after `retry`, not after `refresh`. Keys() is through only when the
  // failed attempt has been taken in.
  while (cache_->attempts() < 2) (void)cache_->Newer(*cache_->Keys());
  clock_.Advance(options_.retry);
  WaitUntilAsked(3);
}

TEST_F(JwksCacheTest, TheProvidersMaxAgeCountsWithinLimits) {
  struct Case {
    std::optional<absl::Duration> max_age;
    absl::Duration due;
  };
  for (const Case& a_case :
       {Case{std::nullopt, options_.refresh}, Case{absl::Hours(6), options_.refresh},
        Case{absl::Minutes(2), absl::Minutes(2)}, Case{absl::ZeroDuration(), kLeastJwksRefresh}}) {
    Answer(one_);
    max_age_ = a_case.max_age;
    Make();
    ASSERT_THAT(cache_->Refresh(), IsOk());
    EXPECT_EQ(cache_->state().due_in, a_case.due);
    Answer(absl::UnavailableError("down"));
    EXPECT_FALSE(cache_->Refresh().ok());
    EXPECT_EQ(cache_->state().due_in, options_.retry);
  }
}

TEST_F(JwksCacheTest, AnAdministratorsAskingIsOfNowAndSaysHowItWent) {
  Answer(two_);
  Make();
  cache_->Start();
  ASSERT_THAT(cache_->Keys(), IsOk());
  EXPECT_EQ(cache_->state().keys, 2u);
  // A fetch is under way, whose answer may be older than the key's withdrawal.
  clock_.Advance(options_.retry);
  Hold(true);
  (void)cache_->RefreshSoon();
  WaitUntilAsked(2);
  const uint64_t attempt = cache_->RefreshSoon();
  EXPECT_EQ(attempt, 3u);
  EXPECT_EQ(cache_->Await(attempt, Deadline::In(absl::ZeroDuration())).code(),
            absl::StatusCode::kDeadlineExceeded);
  Answer(one_);
  Hold(false);
  EXPECT_THAT(cache_->Await(attempt, Deadline::In(absl::Minutes(1))), IsOk());
  EXPECT_EQ(asked(), 3);
  EXPECT_EQ(cache_->state().keys, 1u)
      << "the key that was taken back is gone, no time having passed";
  EXPECT_EQ(cache_->state().age, absl::ZeroDuration());
  Answer(absl::UnavailableError("down"));
  const absl::Status failed = cache_->Await(cache_->RefreshSoon(), Deadline::In(absl::Minutes(1)));
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(cache_->state().error, "down");
  EXPECT_EQ(cache_->state().keys, 1u) << "good keys are not forgotten";
}

TEST_F(JwksCacheTest, EndsWhileAFetchIsUnderWay) {
  absl::Notification begun;
  JwksCache cache(
      options_, clock_,
      [&](const std::atomic<bool>& stop) -> absl::StatusOr<JwksDocument> {
        begun.Notify();
        while (!stop) std::this_thread::yield();
        return absl::CancelledError("stopped");
      },
      nullptr);
  cache.Start();
  begun.WaitForNotification();
}

}  // namespace
}  // namespace forekey::testing
