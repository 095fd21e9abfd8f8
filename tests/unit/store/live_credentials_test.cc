// SPDX-License-Identifier: Apache-2.0
// Revocation reaches every holder, and no look-up brings back the state before it.
#include "src/store/live_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "src/base/status.h"
#include "tests/support/forwarding_registry.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::ElementsAre;

// A registry that lets a test act between the registry's answer and its arrival, fail, and count.
class HookedRegistry final : public Registry {
 public:
  explicit HookedRegistry(std::shared_ptr<Registry> real) : real_(std::move(real)) {}

  std::function<void()> after_find_credential;
  std::function<void()> after_find_subject, after_set_roles, after_set_disabled;  // once
  std::atomic<bool> failing{false};
  std::atomic<int> finds{0};
  std::atomic<int> changing{0}, most_changing{0};

  absl::StatusOr<CredentialRecord> FindCredential(absl::string_view id) override {
    ++finds;
    if (failing) return Refuse(Reason::kStoreUnavailable);
    auto found = real_->FindCredential(id);
    if (after_find_credential) after_find_credential();
    return found;
  }
  absl::StatusOr<std::vector<std::string>> ListLiveCredentialIds(absl::string_view after,
                                                                 size_t most) override {
    return real_->ListLiveCredentialIds(after, most);
  }
  using Registry::RevokeCredential;
  absl::StatusOr<bool> RevokeCredential(absl::string_view id, absl::string_view note,
                                        absl::Time now, ChangePosition* made) override {
    Change change(this);
    if (failing) return Refuse(Reason::kStoreUnavailable);
    return real_->RevokeCredential(id, note, now, made);
  }
  absl::StatusOr<RevokedSubject> RevokeSubject(absl::string_view subject, absl::string_view note,
                                               absl::Time now) override {
    Change change(this);
    if (failing) return Refuse(Reason::kStoreUnavailable);
    return real_->RevokeSubject(subject, note, now);
  }
  using Registry::SetRoles;
  absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles,
                        ChangePosition* made) override {
    Change change(this);
    if (failing) return Refuse(Reason::kStoreUnavailable);
    absl::Status set = real_->SetRoles(subject, roles, made);
    if (auto then = std::exchange(after_set_roles, nullptr)) then();
    return set;
  }
  using Registry::SetDisabled;
  absl::Status SetDisabled(absl::string_view subject, bool disabled,
                           ChangePosition* made) override {
    Change change(this);
    if (failing) return Refuse(Reason::kStoreUnavailable);
    absl::Status set = real_->SetDisabled(subject, disabled, made);
    if (auto then = std::exchange(after_set_disabled, nullptr)) then();
    return set;
  }
  using Registry::Enroll;
  absl::Status Enroll(const Enrollment& enrollment, Enrolled* enrolled) override {
    Change change(this);
    return real_->Enroll(enrollment, enrolled);
  }
  absl::StatusOr<InviteRecord> FindInvite(absl::string_view key) override {
    return real_->FindInvite(key);
  }
  absl::Status AddInvite(const InviteRecord& invite) override { return real_->AddInvite(invite); }
  absl::Status CancelInvite(absl::string_view id) override { return real_->CancelInvite(id); }
  absl::StatusOr<std::vector<InviteRecord>> ListInvites() override { return real_->ListInvites(); }
  absl::StatusOr<SubjectRecord> FindSubject(absl::string_view name) override {
    if (failing) return Refuse(Reason::kStoreUnavailable);
    auto found = real_->FindSubject(name);
    if (auto then = std::exchange(after_find_subject, nullptr)) then();
    return found;
  }
  absl::StatusOr<std::string> FindPasswordHash(absl::string_view name) override {
    return real_->FindPasswordHash(name);
  }
  absl::Status SetPasswordHash(absl::string_view name, absl::string_view hash,
                               absl::Time now) override {
    return real_->SetPasswordHash(name, hash, now);
  }
  absl::StatusOr<std::vector<OidcIdentity>> FindOidcIdentities(absl::string_view name) override {
    return real_->FindOidcIdentities(name);
  }
  absl::Status SetOidcIdentity(absl::string_view name, const OidcIdentity& identity,
                               absl::Time now) override {
    return real_->SetOidcIdentity(name, identity, now);
  }
  absl::Status ClearOidcIdentities(absl::string_view name, absl::string_view issuer) override {
    return real_->ClearOidcIdentities(name, issuer);
  }
  absl::Status UseIdToken(const IdTokenUse& use) override { return real_->UseIdToken(use); }
  absl::StatusOr<std::vector<SubjectRecord>> ListSubjects() override {
    return real_->ListSubjects();
  }
  absl::StatusOr<std::vector<CredentialRecord>> ListCredentials(
      absl::string_view subject) override {
    return real_->ListCredentials(subject);
  }
  absl::StatusOr<bool> TakeFactorTry(const FactorTry& attempt) override {
    return real_->TakeFactorTry(attempt);
  }
  absl::Status GiveFactorTriesBack(absl::Span<const std::string> credential_ids,
                                   absl::string_view factor) override {
    return real_->GiveFactorTriesBack(credential_ids, factor);
  }
  absl::Status AdvanceSignCount(absl::string_view id, uint32_t count) override {
    return real_->AdvanceSignCount(id, count);
  }
  absl::StatusOr<Counts> Count() override { return real_->Count(); }

 private:
  // Counts how many changes are under way together.
  struct Change {
    explicit Change(HookedRegistry* registry) : registry(registry) {
      int now = ++registry->changing, most = registry->most_changing;
      while (now > most && !registry->most_changing.compare_exchange_weak(most, now)) {
      }
    }
    ~Change() { --registry->changing; }
    HookedRegistry* registry;
  };
  std::shared_ptr<Registry> real_;
};

class LiveCredentialsTest : public ::testing::Test {
 protected:
  CredentialRecord Enrolled(const std::string& name, const std::string& subject) {
    CredentialRecord record = MakeKeyedCredential(name, subject);
    EXPECT_THAT(EnrollNew(*hooked_, record, {"user"}), IsOk());
    return record;
  }

  TempFolder folder_;
  std::shared_ptr<HookedRegistry> hooked_ = std::make_shared<HookedRegistry>(
      std::shared_ptr<Registry>(*OpenSqliteRegistry(folder_.File("registry.db"))));
  LiveCredentials live_{hooked_};
};

TEST_F(LiveCredentialsTest, GivesOneObjectForOneCredentialAndOneForOneSubject) {
  CredentialRecord a = Enrolled("a", "alice"), a2 = Enrolled("a2", "alice");
  auto found = live_.Find(a.id), again = live_.Find(a.id), second = live_.Find(a2.id);
  ASSERT_THAT(found, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(*found, *again);
  EXPECT_EQ(hooked_->finds, 2) << "the registry was asked once a credential";
  EXPECT_NE(*found, *second);
  EXPECT_EQ((*found)->shared_subject(), (*second)->shared_subject());
  EXPECT_EQ((*found)->record().id, a.id);
  EXPECT_EQ((*found)->key().spki(), a.spki);
  EXPECT_FALSE((*found)->revoked());
  EXPECT_THAT(*(*found)->subject().roles(), ElementsAre("user"));
}

TEST_F(LiveCredentialsTest, DoesNotRememberStrangersIds) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(live_.Find(Bytes32("nobody")), RefusedWith(Reason::kCredentialUnknown));
  }
  EXPECT_EQ(hooked_->finds, 3);
  CredentialRecord a = MakeKeyedCredential("a", "alice");
  EXPECT_THAT(live_.Find(a.id), RefusedWith(Reason::kCredentialUnknown));
  InviteRecord invite = MakeInvite("a", "alice");
  ASSERT_THAT(hooked_->AddInvite(invite), IsOk());
  ASSERT_THAT(live_.Enroll(MakeEnrollment(invite, a)), IsOk());
  EXPECT_THAT(live_.Find(a.id), IsOk()) << "good at once after enrolment";
}

TEST_F(LiveCredentialsTest, ChangesReachWhoHoldsTheObjects) {
  CredentialRecord a = Enrolled("a", "alice");
  auto held = *live_.Find(a.id);
  auto old_roles = held->subject().roles();
  ASSERT_THAT(live_.SetRoles("alice", {"ops", "admin", "ops"}), IsOk());
  EXPECT_THAT(*held->subject().roles(), ElementsAre("admin", "ops"));
  EXPECT_THAT(*old_roles, ElementsAre("user")) << "a snapshot stays as it was";
  ASSERT_THAT(live_.SetDisabled("alice", true), IsOk());
  EXPECT_TRUE(held->subject().disabled());
  ASSERT_THAT(live_.SetDisabled("alice", false), IsOk());
  EXPECT_FALSE(held->subject().disabled());
  EXPECT_EQ(live_.Revoke(a.id, "lost", TestNow()).value(), true);
  EXPECT_TRUE(held->revoked());
  EXPECT_EQ(live_.Revoke(a.id, "lost", TestNow()).value(), false);
  EXPECT_TRUE((*live_.Find(a.id))->revoked());
  EXPECT_THAT(live_.Revoke(Bytes32("nobody"), "", TestNow()),
              RefusedWith(Reason::kCredentialUnknown));
  EXPECT_THAT(live_.SetRoles("nobody", {}), HasCode(absl::StatusCode::kNotFound));
}

TEST_F(LiveCredentialsTest, WhatWasRevokedBeforeTheStartIsRevoked) {
  CredentialRecord a = Enrolled("a", "alice");
  ASSERT_THAT(hooked_->RevokeCredential(a.id, "", TestNow()), IsOk());
  ASSERT_THAT(hooked_->SetDisabled("alice", true), IsOk());
  auto found = live_.Find(a.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->revoked());
  EXPECT_TRUE((*found)->subject().disabled());
}

TEST_F(LiveCredentialsTest, OfAChangeAndWhatIsFollowedTheLaterOneStays) {
  CredentialRecord a = Enrolled("a", "alice");
  auto held = *live_.Find(a.id);
  // What was read of another gate's change is older than this gate's own.
  ASSERT_THAT(hooked_->SetRoles("alice", {"elsewhere"}), IsOk());
  hooked_->after_find_subject = [&] {
    ASSERT_THAT(live_.SetRoles("alice", {"own"}), IsOk());
    ASSERT_THAT(live_.SetDisabled("alice", true), IsOk());
  };
  ASSERT_THAT(live_.FollowSubject("alice"), IsOk());
  EXPECT_THAT(*held->subject().roles(), ElementsAre("own"));
  EXPECT_TRUE(held->subject().disabled());
  EXPECT_EQ(held->subject().sessions_epoch(), 1u) << "nor is it taken for another history";
  hooked_->after_find_subject = [&] {
    ASSERT_THAT(live_.SetRoles("alice", {"own-again"}), IsOk());
  };
  ASSERT_THAT(live_.FollowAll(), IsOk());
  EXPECT_THAT(*held->subject().roles(), ElementsAre("own-again"));
  // This gate's own is older than another one's, which was followed before it came here.
  hooked_->after_set_roles = [&] {
    ASSERT_THAT(hooked_->SetRoles("alice", {"elsewhere"}), IsOk());
    ASSERT_THAT(live_.FollowSubject("alice"), IsOk());
  };
  ASSERT_THAT(live_.SetRoles("alice", {"late"}), IsOk());
  EXPECT_THAT(*held->subject().roles(), ElementsAre("elsewhere"));
}

TEST_F(LiveCredentialsTest, AnOwnChangeIsNotTakenOverWhatWasLoadedAfterIt) {
  CredentialRecord b = Enrolled("b", "bob");
  std::shared_ptr<const LiveCredential> held;
  // Nothing of bob is held when another gate's change, a later one, is followed.
  hooked_->after_set_roles = [&] {
    ASSERT_THAT(hooked_->SetRoles("bob", {"elsewhere"}), IsOk());
    ASSERT_THAT(live_.FollowSubject("bob"), IsOk());
    held = *live_.Find(b.id);
  };
  ASSERT_THAT(live_.SetRoles("bob", {"own"}), IsOk());
  ASSERT_NE(held, nullptr);
  EXPECT_THAT(*held->subject().roles(), ElementsAre("elsewhere"));
}

TEST_F(LiveCredentialsTest, ADisablingThatIsFollowedBeforeItCameHereCountsOnce) {
  CredentialRecord a = Enrolled("a", "alice");
  auto held = *live_.Find(a.id);
  hooked_->after_set_disabled = [&] {
    ASSERT_THAT(live_.FollowSubject("alice"), IsOk());
    hooked_->failing = true;
  };
  ASSERT_THAT(live_.SetDisabled("alice", true), IsOk());
  EXPECT_TRUE(held->subject().disabled());
  EXPECT_EQ(held->subject().sessions_epoch(), 1u);
  hooked_->failing = false;
  ASSERT_THAT(live_.SetDisabled("alice", false), IsOk());
  EXPECT_FALSE(held->subject().disabled());
  EXPECT_EQ(held->subject().sessions_epoch(), 1u) << "who comes now is not driven out again";
  // Where it was not followed, it counts all the same.
  hooked_->after_set_disabled = [&] { hooked_->failing = true; };
  ASSERT_THAT(live_.SetDisabled("alice", true), IsOk());
  EXPECT_TRUE(held->subject().disabled());
  EXPECT_EQ(held->subject().sessions_epoch(), 2u);
}

// As when another gate makes many changes at once.
TEST_F(LiveCredentialsTest, WhatIsFollowedOfOthersOvertakesNoLoad) {
  CredentialRecord a = Enrolled("a", "alice"), b = Enrolled("b", "bob");
  auto others = *live_.Find(b.id);
  hooked_->finds = 0;
  hooked_->after_find_credential = [&] {
    ASSERT_THAT(live_.FollowCredential(Bytes32("another")), IsOk());
    ASSERT_THAT(live_.FollowSubject("bob"), IsOk());
    ASSERT_THAT(live_.FollowFactors("bob", [] { return false; }), IsOk());
    hooked_->after_find_subject = [&] { ASSERT_THAT(live_.FollowSubject("bob"), IsOk()); };
  };
  auto found = live_.Find(a.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(hooked_->finds, 1);
}

TEST_F(LiveCredentialsTest, WhatIsFollowedOfACredentialOvertakesItsLoad) {
  CredentialRecord a = Enrolled("a", "alice");
  hooked_->after_find_credential = [&] {
    hooked_->after_find_credential = nullptr;
    ASSERT_THAT(hooked_->RevokeCredential(a.id, "", TestNow()), IsOk());
    ASSERT_THAT(live_.FollowCredential(a.id), IsOk());
  };
  auto found = live_.Find(a.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->revoked());
}

TEST_F(LiveCredentialsTest, WhatIsFollowedOfASubjectOvertakesTheLoadsOfItsCredentials) {
  CredentialRecord a = Enrolled("a", "alice");
  const auto disabled_elsewhere = [&] {
    hooked_->after_find_credential = nullptr;
    ASSERT_THAT(hooked_->SetDisabled("alice", true), IsOk());
    ASSERT_THAT(hooked_->SetRoles("alice", {"elsewhere"}), IsOk());
    ASSERT_THAT(live_.FollowSubject("alice"), IsOk());
  };
  // Before its subject is read, and after it.
  hooked_->after_find_credential = disabled_elsewhere;
  auto found = live_.Find(a.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->subject().disabled());
  CredentialRecord b = Enrolled("b", "bob");
  hooked_->after_find_subject = [&] {
    ASSERT_THAT(hooked_->SetDisabled("bob", true), IsOk());
    ASSERT_THAT(live_.FollowSubject("bob"), IsOk());
  };
  found = live_.Find(b.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->subject().disabled());
}

// The look-up read the registry before the change and comes to the cache after it.
TEST_F(LiveCredentialsTest, ALoadThatBeganBeforeARevocationDoesNotBringTheOldStateBack) {
  CredentialRecord a = Enrolled("a", "alice");
  hooked_->after_find_credential = [&] {
    hooked_->after_find_credential = nullptr;
    ASSERT_THAT(live_.Revoke(a.id, "", TestNow()), IsOk());
  };
  auto found = live_.Find(a.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->revoked());
  EXPECT_EQ(hooked_->finds, 2) << "it was read again";
}

TEST_F(LiveCredentialsTest, ALoadThatBeganBeforeARecoveryDoesNotBringTheOldStateBack) {
  CredentialRecord lost = Enrolled("lost", "alice");
  InviteRecord invite = MakeInvite("r", "alice");
  invite.replaces_credential = lost.id;
  ASSERT_THAT(hooked_->AddInvite(invite), IsOk());
  hooked_->after_find_credential = [&] {
    hooked_->after_find_credential = nullptr;
    ASSERT_THAT(live_.Enroll(MakeEnrollment(invite, MakeKeyedCredential("new", "alice"))), IsOk());
  };
  auto found = live_.Find(lost.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->revoked());
}

TEST_F(LiveCredentialsTest, ALoadThatBeganBeforeADisablingDoesNotBringTheOldStateBack) {
  CredentialRecord a = Enrolled("a", "alice");
  hooked_->after_find_credential = [&] {
    hooked_->after_find_credential = nullptr;
    ASSERT_THAT(live_.SetDisabled("alice", true), IsOk());
    ASSERT_THAT(live_.SetRoles("alice", {}), IsOk());
  };
  auto found = live_.Find(a.id);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE((*found)->subject().disabled());
  EXPECT_TRUE((*found)->subject().roles()->empty());
}

TEST_F(LiveCredentialsTest, ARecoveryReachesWhoHoldsTheLostCredential) {
  CredentialRecord lost = Enrolled("lost", "alice");
  auto held = *live_.Find(lost.id);
  InviteRecord invite = MakeInvite("r", "alice");
  invite.replaces_credential = lost.id;
  ASSERT_THAT(hooked_->AddInvite(invite), IsOk());
  ASSERT_THAT(live_.Enroll(MakeEnrollment(invite, MakeKeyedCredential("new", "alice"))), IsOk());
  EXPECT_TRUE(held->revoked());
}

TEST_F(LiveCredentialsTest, AStoreThatCannotAnswerRefusesAndClaimsNothing) {
  CredentialRecord a = Enrolled("a", "alice"), b = Enrolled("b", "bob");
  auto held = *live_.Find(a.id);
  hooked_->failing = true;
  EXPECT_THAT(live_.Find(b.id), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(live_.Revoke(a.id, "", TestNow()), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(live_.SetDisabled("alice", true), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(live_.SetRoles("alice", {"admin"}), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_FALSE(held->revoked());
  EXPECT_FALSE(held->subject().disabled());
  EXPECT_THAT(*held->subject().roles(), ElementsAre("user"));
}

TEST_F(LiveCredentialsTest, AStoredKeyThatIsNoneRefuses) {
  CredentialRecord garbage = MakeCredential("garbage", "alice");
  ASSERT_THAT(EnrollNew(*hooked_, garbage), IsOk());
  EXPECT_THAT(live_.Find(garbage.id), RefusedWith(Reason::kStoreUnavailable));
  CredentialRecord confused = MakeKeyedCredential("confused", "alice");
  confused.algorithm = static_cast<int>(Algorithm::kEs256);
  ASSERT_THAT(EnrollNew(*hooked_, confused), IsOk());
  EXPECT_THAT(live_.Find(confused.id), RefusedWith(Reason::kStoreUnavailable));
}

TEST_F(LiveCredentialsTest, KeepsNoEvidenceInMemory) {
  CredentialRecord a = MakeKeyedCredential("a", "alice");
  a.evidence = std::string(5000, 'e');
  ASSERT_THAT(EnrollNew(*hooked_, a), IsOk());
  EXPECT_EQ((*live_.Find(a.id))->record().evidence, "");
}

TEST_F(LiveCredentialsTest, LetsGoOfWhatNobodyHoldsButNeverOfWhatSomebodyHolds) {
  constexpr int kCapacity = 4, kCount = 40;
  LiveCredentials small(hooked_, kCapacity);
  std::vector<CredentialRecord> records;
  for (int i = 0; i < kCount; ++i)
    records.push_back(Enrolled(absl::StrCat(i), absl::StrCat("subject", i)));
  auto held = *small.Find(records[0].id);
  for (int i = 1; i < kCount; ++i) ASSERT_THAT(small.Find(records[i].id), IsOk());
  hooked_->finds = 0;
  int reloaded = 0;
  for (int i = kCount - 1; i > 0; --i) {
    int before = hooked_->finds;
    ASSERT_THAT(small.Find(records[i].id), IsOk());
    reloaded += hooked_->finds - before;
  }
  EXPECT_GE(reloaded, kCount - 1 - 2 * kCapacity) << "most were let go";
  EXPECT_EQ(*small.Find(records[0].id), held);
  ASSERT_THAT(small.Revoke(records[0].id, "", TestNow()), IsOk());
  EXPECT_TRUE(held->revoked());
}

TEST_F(LiveCredentialsTest, ChangesReachTheRegistryOneAfterTheOther) {
  Enrolled("a", "alice");
  auto held = *live_.Find(MakeKeyedCredential("a", "alice").id);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_THAT(live_.SetRoles("alice", {absl::StrCat("role", t)}), IsOk());
        EXPECT_THAT(live_.SetDisabled("alice", t % 2 == 0), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(hooked_->most_changing, 1);
  auto stored = hooked_->FindSubject("alice");
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(*held->subject().roles(), stored->roles) << "memory and file end alike";
  EXPECT_EQ(held->subject().disabled(), stored->disabled);
}

TEST_F(LiveCredentialsTest, OfManyFindersAllGetTheSameObjectAndSeeItsRevocation) {
  constexpr int kCount = 20;
  LiveCredentials small(hooked_, 2);
  std::vector<CredentialRecord> records;
  for (int i = 0; i < kCount; ++i) records.push_back(Enrolled(absl::StrCat(i), "alice"));
  std::atomic<int> revoked_until{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        int which = i % kCount;
        bool must_be_revoked = which < revoked_until;
        auto found = small.Find(records[which].id);
        ASSERT_THAT(found, IsOk());
        ASSERT_TRUE(!must_be_revoked || (*found)->revoked()) << which;
        auto again = small.Find(records[which].id);
        ASSERT_EQ(*found, *again) << "held, so the same";
      }
    });
  }
  for (int i = 0; i < kCount; ++i) {
    ASSERT_THAT(small.Revoke(records[i].id, "", TestNow()), IsOk());
    revoked_until = i + 1;
  }
  for (std::thread& thread : threads) thread.join();
}

// As one whose history goes back again and again, or that answers from two servers.
class ForgetfulRegistry final : public ForwardingRegistry {
 public:
  using ForwardingRegistry::ForwardingRegistry;
  absl::StatusOr<std::vector<SubjectRecord>> FindSubjects(
      absl::Span<const std::string> names) override {
    FOREKEY_ASSIGN_OR_RETURN(std::vector<SubjectRecord> found,
                             ForwardingRegistry::FindSubjects(names));
    if (names.size() > forgets_of) {
      for (SubjectRecord& record : found) record.sessions_epoch = 0;
    }
    return found;
  }
  absl::Status RaiseSessionsEpoch(absl::string_view, uint64_t) override { return absl::OkStatus(); }
  size_t forgets_of = SIZE_MAX;  // where more are asked for
};

TEST_F(LiveCredentialsTest, FollowingARegistryThatGoesBackAgainAndAgainEnds) {
  const auto forgetful = std::make_shared<ForgetfulRegistry>(hooked_);
  LiveCredentials live(forgetful);
  std::vector<std::shared_ptr<const LiveCredential>> held;
  for (const std::string name : {"alice", "bob", "carol"}) {
    held.push_back(*live.Find(Enrolled(name, name).id));
    ASSERT_THAT(live.SetDisabled(name, true), IsOk());
    ASSERT_THAT(live.SetDisabled(name, false), IsOk());
  }
  forgetful->forgets_of = 1;
  int between = 0;
  EXPECT_THAT(live.FollowAll([&] {
    ++between;
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(between, 2 + 3) << "a page of each, and each subject that was read once more";
  forgetful->forgets_of = 0;
  EXPECT_THAT(live.FollowSubject("alice"), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(live.FollowAll(), RefusedWith(Reason::kStoreUnavailable));
  forgetful->forgets_of = SIZE_MAX;
  EXPECT_THAT(live.FollowAll(), IsOk());
}

}  // namespace
}  // namespace forekey
