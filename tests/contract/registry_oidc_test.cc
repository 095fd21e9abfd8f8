// SPDX-License-Identifier: Apache-2.0
// Who somebody is at the identity provider, and tokens that are good once.
#include <atomic>
#include <thread>

#include "tests/contract/registry_stores.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures

class RegistryOidcTest : public RegistryContract {
 protected:
  RegistryOidcTest() {
    const InviteRecord invite = MakeInvite("i", "ada");
    EXPECT_THAT(registry_->AddInvite(invite), IsOk());
    EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, MakeCredential("c", "ada"))), IsOk());
  }
  absl::Status Use(const std::string& name, absl::Duration from_now, uint64_t capacity = 1000,
                   absl::Time now = TestNow()) {
    return registry_->UseIdToken({Bytes32(name), TestNow() + from_now, now, capacity});
  }
};
FOREKEY_OVER_EVERY_STORE(RegistryOidcTest);

TEST_P(RegistryOidcTest, KeepsOneIdentityAnIssuerOverAReopeningReplacesAndTakesThemAway) {
  const OidcIdentity here{"https://idp.test", "sub", "4711"},
      there{"https://new.test", "sub", "4711"}, renamed{"https://idp.test", "email", "a@b"};
  using Identities = std::vector<OidcIdentity>;
  EXPECT_EQ(registry_->FindOidcIdentities("ada").value(), Identities());
  ASSERT_THAT(registry_->SetOidcIdentity("ada", there, TestNow()), IsOk());
  ASSERT_THAT(registry_->SetOidcIdentity("ada", here, TestNow()), IsOk());
  Reopen();
  EXPECT_EQ(registry_->FindOidcIdentities("ada").value(), (Identities{here, there}));
  ASSERT_THAT(registry_->SetOidcIdentity("ada", renamed, TestNow()), IsOk());
  EXPECT_EQ(registry_->FindOidcIdentities("ada").value(), (Identities{renamed, there}));
  ASSERT_THAT(registry_->ClearOidcIdentities("ada", "https://idp.test"), IsOk());
  EXPECT_EQ(registry_->FindOidcIdentities("ada").value(), Identities{there});
  ASSERT_THAT(registry_->SetOidcIdentity("ada", here, TestNow()), IsOk());
  ASSERT_THAT(registry_->ClearOidcIdentities("ada", ""), IsOk());
  EXPECT_EQ(registry_->FindOidcIdentities("ada").value(), Identities());
  EXPECT_EQ(registry_->FindOidcIdentities("nobody").value(), Identities());
  EXPECT_TRUE(absl::IsNotFound(registry_->SetOidcIdentity("nobody", here, TestNow())));
  EXPECT_TRUE(absl::IsNotFound(registry_->ClearOidcIdentities("nobody", "")));
}

TEST_P(RegistryOidcTest, ATokenIsGoodOnceAlsoAfterAReopening) {
  EXPECT_THAT(Use("one", absl::Minutes(5)), IsOk());
  EXPECT_THAT(Use("one", absl::Minutes(5)), RefusedWith(Reason::kIdTokenReplayed));
  Reopen();
  EXPECT_THAT(Use("one", absl::Minutes(5)), RefusedWith(Reason::kIdTokenReplayed));
  EXPECT_THAT(Use("two", absl::Minutes(5)), IsOk());
  EXPECT_TRUE(absl::IsInvalidArgument(registry_->UseIdToken({"short", TestNow(), TestNow()})));
}

TEST_P(RegistryOidcTest, OfManyAtTheSameMomentOneGetsIt) {
  std::atomic<int> good{0}, replayed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const absl::Status used = Use("one", absl::Minutes(5));
      good += used.ok();
      replayed += ReasonOf(used) == Reason::kIdTokenReplayed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 1);
  EXPECT_EQ(replayed, 7);
}

TEST_P(RegistryOidcTest, FullItRefusesRatherThanForgetOneThatMayBeGood) {
  EXPECT_THAT(Use("one", absl::Minutes(5), 2), IsOk());
  EXPECT_THAT(Use("two", absl::Minutes(6), 2), IsOk());
  EXPECT_THAT(Use("three", absl::Minutes(5), 2), RefusedWith(Reason::kReplayStoreFull));
  EXPECT_THAT(Use("one", absl::Minutes(5), 2), RefusedWith(Reason::kIdTokenReplayed))
      << "is still known";
  // An hour after the first expired there is room again, for one.
  const absl::Time later = TestNow() + absl::Minutes(65) + absl::Seconds(1);
  EXPECT_THAT(Use("three", absl::Hours(2), 2, later - absl::Seconds(2)),
              RefusedWith(Reason::kReplayStoreFull));
  EXPECT_THAT(Use("three", absl::Hours(2), 2, later), IsOk());
  EXPECT_THAT(Use("four", absl::Hours(2), 2, later), RefusedWith(Reason::kReplayStoreFull));
}

}  // namespace
}  // namespace forekey
