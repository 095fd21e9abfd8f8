// SPDX-License-Identifier: Apache-2.0
// What resumption rests on: one session comes of a session, an end holds, and epochs count.
#include <atomic>
#include <thread>

#include "tests/contract/registry_stores.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures

class RegistrySessionsTest : public RegistryContract {
 protected:
  RegistrySessionsTest() {
    const InviteRecord invite = MakeInvite("i", "ada");
    EXPECT_THAT(registry_->AddInvite(invite), IsOk());
    EXPECT_THAT(registry_->Enroll(MakeEnrollment(invite, MakeCredential("c", "ada"))), IsOk());
    const InviteRecord other = MakeInvite("j", "bob");
    EXPECT_THAT(registry_->AddInvite(other), IsOk());
    EXPECT_THAT(registry_->Enroll(MakeEnrollment(other, MakeCredential("d", "bob"))), IsOk());
  }
  // By its own clock, where it has one.
  absl::Time StoreNow() { return registry_->FindTicketState()->store_time.value_or(TestNow()); }
  // A family of ada's, of the first epochs.
  Registry::FamilyStep Step(char name, uint64_t serial, absl::Duration later = absl::ZeroDuration(),
                            uint64_t most = 1000) {
    Registry::FamilyStep step;
    step.family = std::string(16, name);
    step.serial = serial;
    step.ends_at = begun_ + absl::Hours(12);
    step.now = begun_ + later;
    step.subject = "ada";
    step.most = most;
    step.ticket_made = step.ended_at = begun_;
    step.ticket_life = absl::Minutes(30);
    return step;
  }
  // The same, of a subject that is full with two.
  Registry::FamilyStep OfTwo(char name, uint64_t serial = 0) {
    return Step(name, serial, absl::ZeroDuration(), 2);
  }
  const absl::Time begun_ = StoreNow();
  SubjectRecord Ada() { return registry_->FindSubject("ada").value(); }
};
FOREKEY_OVER_EVERY_STORE(RegistrySessionsTest);

TEST_P(RegistrySessionsTest, EachSerialIsTakenOnceAlsoAfterAReopening) {
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 1)), RefusedWith(Reason::kTicketReplayed));
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), RefusedWith(Reason::kTicketReplayed));
  Reopen();
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), RefusedWith(Reason::kTicketReplayed));
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 1)), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(Step('b', 0)), IsOk()) << "another family";
  EXPECT_TRUE(absl::IsInvalidArgument(registry_->AdvanceFamily({"short"})));
}

TEST_P(RegistrySessionsTest, OfManyAtTheSameMomentOneGetsIt) {
  std::atomic<int> good{0}, replayed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const absl::Status advanced = registry_->AdvanceFamily(Step('a', 0));
      good += advanced.ok();
      replayed += ReasonOf(advanced) == Reason::kTicketReplayed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 1);
  EXPECT_EQ(replayed, 7);
}

TEST_P(RegistrySessionsTest, AnEndHoldsUntilNothingOfTheFamilyCanBeGood) {
  EXPECT_THAT(registry_->EndFamily(Step('a', 0)), IsOk());
  EXPECT_THAT(registry_->EndFamily(Step('a', 5)), IsOk()) << "ended is ended";
  Reopen();
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(registry_->AdvanceFamily(Step('b', 0, absl::Minutes(90))), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(registry_->AdvanceFamily(Step('c', 0, absl::Hours(3))), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), IsOk())
      << "forgotten an hour after its last ticket was good";
}

// Other replicas may let sessions idle for longer: a ticket of before may be good until the end.
TEST_P(RegistrySessionsTest, TheEndOfAFamilyThatWasResumedHoldsUntilItsAbsoluteEnd) {
  ASSERT_THAT(registry_->AdvanceFamily(Step('a', 0)), IsOk());
  ASSERT_THAT(registry_->EndFamily(Step('a', 0)), IsOk()) << "by who has not heard of that";
  ASSERT_THAT(registry_->EndFamily(Step('b', 2)), IsOk()) << "resumed, though nobody remembers it";
  EXPECT_THAT(registry_->AdvanceFamily(Step('x', 0, absl::Hours(13))), IsOk());
  for (const char name : {'a', 'b'}) {
    EXPECT_THAT(registry_->AdvanceFamily(Step(name, 0)), RefusedWith(Reason::kSessionEnded));
  }
  EXPECT_THAT(registry_->AdvanceFamily(Step('y', 0, absl::Hours(13) + absl::Seconds(1))), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(Step('a', 0)), IsOk());
}

TEST_P(RegistrySessionsTest, AFullMemoryOfResumedFamiliesRefusesRatherThanForgets) {
  EXPECT_THAT(registry_->AdvanceFamily(OfTwo('a')), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(OfTwo('b')), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(OfTwo('c')), RefusedWith(Reason::kReplayStoreFull));
  EXPECT_THAT(registry_->AdvanceFamily(OfTwo('a', 1)), IsOk()) << "known already";
  Registry::FamilyStep others = OfTwo('d');
  others.subject = "bob";
  EXPECT_THAT(registry_->AdvanceFamily(others), IsOk()) << "nobody fills what others need";
}

TEST_P(RegistrySessionsTest, EndingIsNeverRefusedForWantOfRoom) {
  const auto resume = [this](char name, absl::Time made) {
    Registry::FamilyStep step = OfTwo(name);
    step.ticket_made = made;
    return registry_->AdvanceFamily(step);
  };
  const absl::Time later = begun_ + absl::Hours(1);
  EXPECT_THAT(resume('r', begun_), IsOk());
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) {
    EXPECT_THAT(registry_->EndFamily(OfTwo(name)), IsOk()) << name;
  }
  for (const char name : {'a', 'b', 'c', 'd', 'e', 'f'}) {
    EXPECT_THAT(resume(name, begun_), RefusedWith(Reason::kTicketExpired))
        << name << ": all that were made until then are void";
  }
  Registry::FamilyStep next = Step('r', 1);
  EXPECT_THAT(registry_->AdvanceFamily(next), RefusedWith(Reason::kTicketExpired));
  next.ticket_made = later;
  EXPECT_THAT(registry_->AdvanceFamily(next), IsOk()) << "a newer ticket of a session that goes on";
  EXPECT_THAT(resume('g', later), IsOk());
  Reopen();
  EXPECT_THAT(resume('a', begun_), RefusedWith(Reason::kTicketExpired));
  Registry::FamilyStep others = Step('h', 0);
  others.subject = "bob";
  EXPECT_THAT(registry_->AdvanceFamily(others), IsOk()) << "another subject's tickets stay good";
}

TEST_P(RegistrySessionsTest, AGateWithAWrongClockMovesNothingWhereTheStoreHasItsOwn) {
  if (GetParam() == std::string("Sqlite")) return;  // one gate, and no clock but its own
  const absl::Duration wrong = absl::Hours(6);
  Registry::FamilyStep behind = OfTwo('a');
  behind.ended_at = begun_ - wrong;
  EXPECT_THAT(registry_->EndFamily(behind), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(Step('x', 0, absl::Minutes(1))), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(OfTwo('a')), RefusedWith(Reason::kSessionEnded))
      << "forgotten by nobody";
  for (const char name : {'b', 'c'}) {
    behind.family = std::string(16, name);
    EXPECT_THAT(registry_->EndFamily(behind), IsOk());
  }
  EXPECT_THAT(registry_->AdvanceFamily(OfTwo('b')), RefusedWith(Reason::kTicketExpired))
      << "what can't be remembered one by one is void until now";
  Registry::FamilyStep ahead = OfTwo('d');
  ahead.ended_at = begun_ + wrong;
  for (const char name : {'d', 'e', 'f'}) {
    ahead.family = std::string(16, name);
    EXPECT_THAT(registry_->EndFamily(ahead), IsOk());
  }
  Registry::FamilyStep later = Step('y', 0);
  later.ticket_made = begun_ + absl::Hours(1);
  EXPECT_THAT(registry_->AdvanceFamily(later), IsOk()) << "and no longer";
}

TEST_P(RegistrySessionsTest, AnEpochThatIsKnownElsewhereIsTakenAndNeverLowered) {
  ASSERT_THAT(registry_->RaiseSessionsEpoch("ada", 5), IsOk());
  EXPECT_EQ(Ada().sessions_epoch, 5u);
  ASSERT_THAT(registry_->RaiseSessionsEpoch("ada", 3), IsOk());
  EXPECT_EQ(Ada().sessions_epoch, 5u);
  EXPECT_EQ(registry_->FindSubject("bob")->sessions_epoch, 0u);
  EXPECT_TRUE(absl::IsNotFound(registry_->RaiseSessionsEpoch("nobody", 1)));
}

TEST_P(RegistrySessionsTest, WhatATicketRestsOnIsAskedWhereItIsUsed) {
  Registry::FamilyStep step = Step('a', 0);
  step.credential_ids = {MakeCredential("c", "ada").id};
  step.factors_epoch = 0;
  const auto refused = [this](Registry::FamilyStep changed, auto change) {
    change(changed);
    return registry_->AdvanceFamily(changed);
  };
  EXPECT_THAT(refused(step, [](auto& s) { s.subject = "nobody"; }),
              RefusedWith(Reason::kCredentialUnknown));
  EXPECT_THAT(refused(step, [](auto& s) { s.sessions_epoch = 1; }),
              RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(refused(step, [](auto& s) { s.factors_epoch = 1; }),
              RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(refused(step, [](auto& s) { s.credential_ids.push_back(std::string(32, 'x')); }),
              RefusedWith(Reason::kCredentialUnknown));
  EXPECT_THAT(refused(step, [](auto& s) { s.subject = "bob"; }),
              RefusedWith(Reason::kCredentialUnknown))
      << "another subject's credential";
  EXPECT_THAT(registry_->AdvanceFamily(step), IsOk()) << "none of them took the serial";

  ++step.serial;
  ASSERT_THAT(registry_->SetPasswordHash("ada", "hash", TestNow()), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(step), RefusedWith(Reason::kSessionEnded));
  step.factors_epoch = std::nullopt;
  ASSERT_THAT(registry_->SetDisabled("ada", true), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(step), RefusedWith(Reason::kSubjectDisabled));
  ASSERT_THAT(registry_->SetDisabled("ada", false), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(step), RefusedWith(Reason::kSessionEnded));
  step.sessions_epoch = 1;
  ASSERT_THAT(registry_->RevokeCredential(step.credential_ids[0], "lost", TestNow()), IsOk());
  EXPECT_THAT(registry_->AdvanceFamily(step), RefusedWith(Reason::kCredentialRevoked));
  step.subject = "nobody";
  EXPECT_TRUE(absl::IsNotFound(registry_->EndFamily(step)));
}

TEST_P(RegistrySessionsTest, OfTwoWhoChangeTheKeysOneWins) {
  EXPECT_EQ(registry_->FindTicketState().value().version, 0u);
  EXPECT_EQ(registry_->FindTicketState().value().sealed, "");
  const std::string first("a\0b\xff", 4);
  EXPECT_EQ(registry_->SwapTicketState(1, "x").value(), false);
  EXPECT_EQ(registry_->SwapTicketState(0, first).value(), true);
  EXPECT_EQ(registry_->SwapTicketState(0, "y").value(), false);
  Reopen();
  EXPECT_EQ(registry_->FindTicketState().value().version, 1u);
  EXPECT_EQ(registry_->FindTicketState().value().sealed, first);
  EXPECT_EQ(registry_->SwapTicketState(1, "").value(), true);
  EXPECT_EQ(registry_->SwapTicketState(1, "z").value(), false);
  EXPECT_EQ(registry_->FindTicketState().value().version, 2u);
  EXPECT_EQ(registry_->FindTicketState().value().sealed, "");
}

TEST_P(RegistrySessionsTest, AStoreThatIsElsewhereTellsItsTime) {
  for (const char* state : {"", "keys"}) {
    if (*state != 0) {
      ASSERT_TRUE(registry_->SwapTicketState(0, state).value());
    }
    const auto found = registry_->FindTicketState();
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ(found->sealed, state);
    ASSERT_EQ(found->store_time.has_value(), GetParam() == std::string("Postgres"));
    if (!found->store_time) continue;
    EXPECT_LT(absl::AbsDuration(*found->store_time - absl::Now()), absl::Hours(1))
        << "of this machine, however busy";
  }
}

TEST_P(RegistrySessionsTest, EpochsCountDisablingsAndChangesOfFactors) {
  EXPECT_EQ(Ada().sessions_epoch, 0u);
  ASSERT_THAT(registry_->SetDisabled("ada", false), IsOk());
  EXPECT_EQ(Ada().sessions_epoch, 0u);
  ASSERT_THAT(registry_->SetDisabled("ada", true), IsOk());
  ASSERT_THAT(registry_->SetDisabled("ada", false), IsOk());
  EXPECT_EQ(Ada().sessions_epoch, 1u);
  EXPECT_EQ(Ada().factors_epoch, 0u);
  ASSERT_THAT(registry_->SetPasswordHash("ada", "hash", TestNow()), IsOk());
  ASSERT_THAT(registry_->SetPasswordHash("ada", "", TestNow()), IsOk());
  ASSERT_THAT(registry_->SetOidcIdentity("ada", {"https://idp.test", "sub", "1"}, TestNow()),
              IsOk());
  ASSERT_THAT(registry_->ClearOidcIdentities("ada", ""), IsOk());
  Reopen();
  EXPECT_EQ(Ada().factors_epoch, 4u);
  EXPECT_EQ(Ada().sessions_epoch, 1u);
}

}  // namespace
}  // namespace forekey
