// SPDX-License-Identifier: Apache-2.0
// What sessions may and may not outlive, and who gives way when the table is full.
#include "src/store/session_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using SessionPtr = std::shared_ptr<const Session>;

class SessionTableTest : public ::testing::Test {
 protected:
  SessionPtr Open(SessionTable& table, Session::Parts parts, BootTime now = kBoot) {
    parts.opened_at = now;
    auto session = table.Insert(std::move(parts), now);
    EXPECT_THAT(session, IsOk());
    return session.ok() ? *session : nullptr;
  }
  SessionPtr OpenFor(SessionTable& table, const std::string& name, BootTime now = kBoot) {
    return Open(table, MakeParts(name, {alice_}), now);
  }
  SessionPtr OpenChild(SessionTable& table, const std::string& name, SessionPtr parent,
                       BootTime now = kBoot) {
    return Open(table, ChildParts(name, std::move(parent)), now);
  }
  Session::Parts ChildParts(const std::string& name, SessionPtr parent) {
    Session::Parts parts = MakeParts(name, {alice_});
    parts.parent = std::move(parent);
    return parts;
  }
  SessionPtr InFamily(const std::string& name, char family, uint64_t serial) {
    Session::Parts parts = MakeParts(name, {alice_});
    auto lineage = std::make_shared<SessionLineage>();
    lineage->family = std::string(16, family);
    lineage->serial = serial;
    parts.lineage = std::move(lineage);
    return Open(table_, std::move(parts));
  }
  bool InTable(const SessionTable& table, const SessionPtr& session) {
    return table.Find(session->id()) == session;
  }

  LiveWorld world_;
  std::shared_ptr<const LiveCredential> alice_ = world_.Credential("a", "alice");
  std::shared_ptr<const LiveCredential> bob_ = world_.Credential("b", "bob");
  SessionTable table_{SessionLimits()};
};

// 560 bytes a session with what the table keeps of it: bench/run_all.
TEST_F(SessionTableTest, ASessionTakesNoMoreMemoryThanItsGoalAllows) {
  EXPECT_LE(sizeof(Session), 440u);
}

TEST_F(SessionTableTest, EndsAFamilyUpToASerialAndNobodyElse) {
  const SessionPtr first = InFamily("1", 'f', 0), second = InFamily("2", 'f', 1),
                   other = InFamily("3", 'g', 0), without = OpenFor(table_, "4");
  const SessionPtr child = OpenChild(table_, "c", first);
  EXPECT_EQ(table_.EndFamily("bob", std::string(16, 'f'), 2), 0u);
  EXPECT_EQ(table_.EndFamily("alice", std::string(16, 'f'), 1), 2u) << "with its child";
  EXPECT_THAT(child->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(table_.WhyNotFound(first->id()), RefusedWith(Reason::kSessionEnded));
  EXPECT_TRUE(InTable(table_, second));
  EXPECT_EQ(table_.EndFamily("alice", std::string(16, 'f'), UINT64_MAX), 1u);
  EXPECT_TRUE(InTable(table_, other));
  EXPECT_EQ(table_.EndFamilies(), 1u);
  EXPECT_FALSE(InTable(table_, other));
  EXPECT_TRUE(InTable(table_, without));
}

TEST_F(SessionTableTest, OneThatIsHeldIsFoundByRevocationsAndDrivesOutNobodyBeforeItIsSettled) {
  SessionLimits limits;
  limits.per_subject = 2;
  limits.total = 3;
  SessionTable table(limits);
  const SessionPtr one = OpenFor(table, "1"), two = OpenFor(table, "2", kBoot + absl::Seconds(1));
  const auto hold = [&](const std::string& name) {
    Session::Parts parts = MakeParts(name, {alice_});
    parts.opened_at = kBoot;  // the longest idle, but for what it is to be
    auto held = table.Hold(std::move(parts), kBoot);
    EXPECT_THAT(held, IsOk());
    return *held;
  };
  const BootTime now = kBoot + absl::Seconds(2);
  const SessionPtr held = hold("3");
  EXPECT_EQ(table.size(), 3u);
  EXPECT_TRUE(InTable(table, one) && InTable(table, two));
  EXPECT_THAT(table.Settle(*held, now), IsOk());
  EXPECT_FALSE(InTable(table, one));
  EXPECT_TRUE(InTable(table, two) && InTable(table, held));

  const SessionPtr ended = hold("4");
  EXPECT_TRUE(table.End(ended->id()));
  EXPECT_THAT(table.Settle(*ended, now), RefusedWith(Reason::kSessionEnded));
  EXPECT_TRUE(InTable(table, two) && InTable(table, held)) << "nothing was given up for it";

  const SessionPtr bobs = Open(table, MakeParts("5", {bob_}));
  const SessionPtr last = hold("6");
  EXPECT_EQ(table.size(), 4u);
  EXPECT_THAT(table.Settle(*last, now), IsOk());
  EXPECT_EQ(table.size(), 3u);
  EXPECT_TRUE(InTable(table, bobs) && InTable(table, last));
}

// The registry is asked between the two, and what it says must not be for nothing.
TEST_F(SessionTableTest, OneThatFindsNoRoomIsRefusedBeforeItIsHeldAndNeverAfterwards) {
  SessionLimits limits;
  limits.total = 2;
  SessionTable table(limits);
  const auto hold = [&](const std::string& name, const auto& of) {
    return table.Hold(MakeParts(name, {of}), kBoot);
  };
  const SessionPtr one = Open(table, MakeParts("1", {bob_}));
  const auto held = hold("2", alice_);
  ASSERT_THAT(held, IsOk());
  EXPECT_THAT(table.Insert(MakeParts("3", {world_.Credential("c", "carol")}), kBoot),
              RefusedWith(Reason::kSessionTableFull))
      << "its place is taken";
  EXPECT_THAT(table.Settle(**held, kBoot), IsOk());
  const auto carol = world_.Credential("d", "dora");
  EXPECT_THAT(hold("4", carol), RefusedWith(Reason::kSessionTableFull));
  EXPECT_EQ(table.size(), 2u);

  // Both have one to give up, and give it up by themselves before they are settled.
  const auto alices = hold("5", alice_), bobs = hold("6", bob_);
  ASSERT_THAT(alices, IsOk());
  ASSERT_THAT(bobs, IsOk());
  EXPECT_TRUE(table.End((*held)->id()) && table.End(one->id()));
  EXPECT_THAT(hold("7", carol), RefusedWith(Reason::kSessionTableFull));
  EXPECT_THAT(table.Settle(**alices, kBoot), IsOk());
  EXPECT_THAT(table.Settle(**bobs, kBoot), IsOk());
  EXPECT_EQ(table.size(), 2u);

  const auto refused = hold("8", bob_);
  ASSERT_THAT(refused, IsOk());
  table.LetGo(**refused);
  EXPECT_TRUE(InTable(table, *bobs) && InTable(table, *alices));
  EXPECT_THAT((*refused)->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_EQ(table.size(), 2u);
}

TEST_F(SessionTableTest, OnTheWayOutLiveCallsFinishWhereTheSessionGoesOnAndNotWhereItEnds) {
  const std::string family(16, 'f');
  const auto session = [&](const std::string& name, char of) { return InFamily(name, of, 0); };
  const SessionPtr before = session("0", 'a');
  EXPECT_EQ(table_.EndFamily("alice", std::string(16, 'a'), 1), 1u);
  EXPECT_THAT(before->CheckLiveCall(kBoot), RefusedWith(Reason::kSessionEnded))
      << "while it is there to stay, what is resumed elsewhere ends here";

  table_.LetLiveCallsFinish();
  const SessionPtr moved = session("1", 'f'), child = OpenChild(table_, "c", moved),
                   other = session("2", 'g'), third = session("3", 'h');
  EXPECT_EQ(table_.EndFamily("alice", family, 1), 2u);
  for (const SessionPtr& one : {moved, child}) {
    EXPECT_FALSE(InTable(table_, one));
    EXPECT_THAT(one->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded)) << "no new calls";
    EXPECT_THAT(one->AcceptSequence(1, kBoot), RefusedWith(Reason::kSessionEnded));
    EXPECT_THAT(one->CheckLiveCall(kBoot), IsOk());
    EXPECT_THAT(one->CheckLiveCall(kBoot + 3600 * kSecond), RefusedWith(Reason::kSessionExpired));
  }
  // A logout, or a thief who was found out, at the replica where it goes on.
  EXPECT_EQ(table_.EndFamily("alice", family, UINT64_MAX), 2u)
      << "so that live calls are looked at";
  EXPECT_THAT(moved->CheckLiveCall(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(child->CheckLiveCall(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_EQ(table_.EndFamily("alice", family, UINT64_MAX), 0u);

  EXPECT_EQ(table_.EndFamily("alice", std::string(16, 'g'), 1), 1u);
  EXPECT_THAT(other->CheckLiveCall(kBoot), IsOk());
  EXPECT_EQ(table_.EndFamilies(), 2u) << "nobody knows what was missed";
  EXPECT_THAT(other->CheckLiveCall(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(third->CheckLiveCall(kBoot), RefusedWith(Reason::kSessionEnded));

  const SessionPtr last = session("4", 'i');
  EXPECT_EQ(table_.EndFamily("alice", std::string(16, 'i'), 1), 1u);
  ASSERT_THAT(world_.live().Revoke(alice_->record().id, "", TestNow()), IsOk());
  EXPECT_THAT(last->CheckLiveCall(kBoot), RefusedWith(Reason::kCredentialRevoked));
}

TEST_F(SessionTableTest, WhatWasOpenedBeforeADisablingIsOver) {
  const SessionPtr before = OpenFor(table_, "1");
  ASSERT_THAT(world_.live().SetDisabled("alice", true), IsOk());
  ASSERT_THAT(world_.live().SetDisabled("alice", false), IsOk());
  EXPECT_THAT(before->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(table_.Insert(MakeParts("2", {alice_}), kBoot), RefusedWith(Reason::kSessionEnded))
      << "what was proved before";
  Session::Parts parts = MakeParts("3", {alice_});
  parts.sessions_epoch = alice_->subject().sessions_epoch();
  EXPECT_THAT(table_.Insert(std::move(parts), kBoot), IsOk());
}

TEST_F(SessionTableTest, AChildIsOfNoFamily) {
  Session::Parts parts = ChildParts("c", OpenFor(table_, "p"));
  parts.lineage = std::make_shared<SessionLineage>();
  EXPECT_THAT(table_.Insert(std::move(parts), kBoot), RefusedWith(Reason::kChildNotAllowed));
}

TEST_F(SessionTableTest, FindsWhatWasInsertedAndNothingElse) {
  SessionPtr session = OpenFor(table_, "s");
  EXPECT_EQ(table_.Find(session->id()), session);
  EXPECT_EQ(session->key(), SessionKey());
  EXPECT_EQ(session->channel_binding(), Bytes32("certificate"));
  EXPECT_EQ(session->subject().name(), "alice");
  EXPECT_EQ(session->expires_at(), kBoot + 3600 * kSecond);
  std::string other(session->id());
  for (size_t i = 0; i < other.size(); ++i) {
    other[i] ^= 1;
    EXPECT_EQ(table_.Find(other), nullptr) << "bytes of the id that do not count: " << i;
    other[i] ^= 1;
  }
  EXPECT_EQ(table_.Find(""), nullptr);
  EXPECT_EQ(table_.Find(std::string(session->id()) + "x"), nullptr);
  EXPECT_EQ(table_.Find(session->id().substr(0, 15)), nullptr);
  EXPECT_TRUE(table_.End(session->id()));
  EXPECT_FALSE(table_.End(session->id()));
  EXPECT_FALSE(table_.End("short"));
  EXPECT_EQ(table_.Find(session->id()), nullptr);
  EXPECT_THAT(session->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded))
      << "held by a call, yet ended";
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(SessionTableTest, RefusesPartsOfOtherShapes) {
  for (auto break_it : std::vector<void (*)(Session::Parts&)>{
           [](Session::Parts& p) { p.id.pop_back(); },
           [](Session::Parts& p) { p.id.push_back('x'); },
           [](Session::Parts& p) { p.key.remove_suffix(1); }, [](Session::Parts& p) { p.key = ""; },
           [](Session::Parts& p) { p.channel_binding = ""; },
           [](Session::Parts& p) { p.credentials.clear(); },
           [](Session::Parts& p) { p.credentials.resize(4, p.credentials[0]); }}) {
    Session::Parts parts = MakeParts("s", {alice_});
    break_it(parts);
    EXPECT_THAT(table_.Insert(parts, kBoot), HasCode(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(table_.Insert(MakeParts("s", {alice_, bob_}), kBoot),
              RefusedWith(Reason::kSubjectMismatch));
  OpenFor(table_, "s");
  EXPECT_THAT(table_.Insert(MakeParts("s", {bob_}), kBoot),
              HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(SessionTableTest, EndsWhenIdleAndInAnyCaseAtItsAbsoluteEnd) {
  SessionPtr session = OpenFor(table_, "s");
  const absl::Duration idle = 300 * kSecond;
  EXPECT_THAT(session->CheckAlive(kBoot + idle - kNano), IsOk());
  EXPECT_THAT(session->CheckAlive(kBoot + idle), RefusedWith(Reason::kSessionExpired));
  EXPECT_THAT(session->AcceptSequence(1, kBoot + idle), RefusedWith(Reason::kSessionExpired))
      << "a late proof revives nothing";
  BootTime now = kBoot;
  uint64_t sequence = 0;
  while (now + idle - kNano < kBoot + 3600 * kSecond) {
    now += idle - kNano;
    ASSERT_THAT(session->AcceptSequence(++sequence, now), IsOk());
  }
  EXPECT_THAT(session->CheckAlive(kBoot + 3600 * kSecond - kNano), IsOk());
  EXPECT_THAT(session->CheckAlive(kBoot + 3600 * kSecond), RefusedWith(Reason::kSessionExpired));
}

TEST_F(SessionTableTest, ARefusedSequenceMovesNoDeadline) {
  SessionPtr session = OpenFor(table_, "s");
  ASSERT_THAT(session->AcceptSequence(5, kBoot), IsOk());
  EXPECT_THAT(session->AcceptSequence(5, kBoot + 200 * kSecond),
              RefusedWith(Reason::kSequenceReplayed));
  EXPECT_THAT(session->CheckAlive(kBoot + 300 * kSecond), RefusedWith(Reason::kSessionExpired));
}

TEST_F(SessionTableTest, ACallWithAnOldClockMovesNoDeadlineBack) {
  SessionPtr session = OpenFor(table_, "s");
  ASSERT_THAT(session->AcceptSequence(2, kBoot + 200 * kSecond), IsOk());
  ASSERT_THAT(session->AcceptSequence(1, kBoot + 100 * kSecond), IsOk());
  EXPECT_THAT(session->CheckAlive(kBoot + 450 * kSecond), IsOk());
}

TEST_F(SessionTableTest, LifetimesDoNotOverflow) {
  Session::Parts parts = MakeParts("s", {alice_});
  parts.idle = parts.absolute = absl::InfiniteDuration();
  SessionPtr session = Open(table_, parts);
  EXPECT_THAT(session->CheckAlive(kBoot + 1'000'000 * kSecond), IsOk());
  for (absl::Duration bad : {absl::ZeroDuration(), -kNano, -absl::InfiniteDuration()}) {
    parts = MakeParts(absl::StrCat("idle", absl::FormatDuration(bad)), {alice_});
    parts.idle = bad;
    EXPECT_THAT(Open(table_, parts)->CheckAlive(kBoot), RefusedWith(Reason::kSessionExpired))
        << bad;
    parts = MakeParts(absl::StrCat("absolute", absl::FormatDuration(bad)), {alice_});
    parts.absolute = bad;
    EXPECT_THAT(Open(table_, parts)->CheckAlive(kBoot), RefusedWith(Reason::kSessionExpired))
        << bad;
  }
}

TEST_F(SessionTableTest, UsesTheWindowAskedFor) {
  Session::Parts parts = MakeParts("s", {alice_});
  parts.window = 128;
  SessionPtr session = Open(table_, parts);
  ASSERT_THAT(session->AcceptSequence(1000, kBoot), IsOk());
  EXPECT_THAT(session->AcceptSequence(1000 - 127, kBoot), IsOk());
  EXPECT_THAT(session->AcceptSequence(1000 - 128, kBoot), RefusedWith(Reason::kSequenceTooOld));
}

TEST_F(SessionTableTest, ARevocationStopsTheNextCallBeforeAnybodyEndsTheSession) {
  auto second = world_.Credential("a2", "alice");
  SessionPtr session = Open(table_, MakeParts("s", {alice_, second}));
  ASSERT_THAT(world_.live().Revoke(second->record().id, "", TestNow()), IsOk());
  EXPECT_THAT(session->CheckAlive(kBoot), RefusedWith(Reason::kCredentialRevoked));
  EXPECT_THAT(session->AcceptSequence(1, kBoot), RefusedWith(Reason::kCredentialRevoked));
  EXPECT_THAT(table_.Insert(MakeParts("t", {second}), kBoot),
              RefusedWith(Reason::kCredentialRevoked));
  EXPECT_EQ(table_.EndByCredential(second->record().id), 1u);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(SessionTableTest, ADisabledSubjectIsStoppedAndItsSessionsStayOverWhenItIsEnabled) {
  SessionPtr session = OpenFor(table_, "s");
  ASSERT_THAT(world_.live().SetDisabled("alice", true), IsOk());
  EXPECT_THAT(session->CheckAlive(kBoot), RefusedWith(Reason::kSubjectDisabled));
  EXPECT_THAT(session->AcceptSequence(1, kBoot), RefusedWith(Reason::kSubjectDisabled));
  EXPECT_THAT(table_.Insert(MakeParts("t", {alice_}), kBoot),
              RefusedWith(Reason::kSubjectDisabled));
  ASSERT_THAT(world_.live().SetDisabled("alice", false), IsOk());
  EXPECT_THAT(session->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
}

TEST_F(SessionTableTest, EndsTheSessionsOfOneCredentialOrSubjectAndNoOthers) {
  auto second = world_.Credential("a2", "alice");
  SessionPtr with_first = OpenFor(table_, "1"),
             with_both = Open(table_, MakeParts("2", {alice_, second})),
             with_second = Open(table_, MakeParts("3", {second})),
             bobs = Open(table_, MakeParts("4", {bob_}));
  SessionPtr child = OpenChild(table_, "5", with_first);
  EXPECT_EQ(table_.EndByCredential(alice_->record().id), 3u) << "the child is counted";
  for (const SessionPtr& session : {with_first, with_both, child}) {
    EXPECT_FALSE(InTable(table_, session));
    EXPECT_THAT(session->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
  }
  EXPECT_TRUE(InTable(table_, with_second));
  EXPECT_EQ(table_.EndByCredential(alice_->record().id), 0u);
  EXPECT_EQ(table_.EndBySubject("carol"), 0u);
  EXPECT_EQ(table_.EndBySubject("alice"), 1u);
  EXPECT_TRUE(InTable(table_, bobs));
  EXPECT_THAT(bobs->CheckAlive(kBoot), IsOk());
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(SessionTableTest, KnowsWhyTheLastThatWereEndedAreGone) {
  SessionPtr first = OpenFor(table_, "1"), child = OpenChild(table_, "2", first),
             bobs = Open(table_, MakeParts("3", {bob_}));
  table_.EndByCredential(alice_->record().id);
  table_.EndBySubject("bob");
  EXPECT_THAT(table_.WhyNotFound(first->id()), RefusedWith(Reason::kCredentialRevoked));
  EXPECT_THAT(table_.WhyNotFound(child->id()), RefusedWith(Reason::kCredentialRevoked));
  EXPECT_THAT(table_.WhyNotFound(bobs->id()), RefusedWith(Reason::kSubjectDisabled));
  EXPECT_THAT(table_.WhyNotFound(std::string(16, 'x')), RefusedWith(Reason::kSessionUnknown));
  EXPECT_THAT(table_.WhyNotFound("short"), RefusedWith(Reason::kSessionUnknown));
  // Only so many: the oldest are forgotten.
  for (int i = 0; i < 16384; ++i) {
    SessionPtr session = OpenFor(table_, absl::StrCat("more ", i));
    EXPECT_TRUE(table_.End(session->id()));
    if (i > 0) continue;
    EXPECT_THAT(table_.WhyNotFound(session->id()), RefusedWith(Reason::kSessionEnded));
  }
  EXPECT_THAT(table_.WhyNotFound(first->id()), RefusedWith(Reason::kSessionUnknown));
}

TEST_F(SessionTableTest, AChildNeverOutlivesItsParent) {
  SessionPtr parent = OpenFor(table_, "p");
  Session::Parts parts = ChildParts("c", parent);
  parts.absolute = 7200 * kSecond;
  SessionPtr child = Open(table_, parts, kBoot + 100 * kSecond);
  EXPECT_EQ(child->expires_at(), parent->expires_at());
  SessionPtr brief = Open(table_, [&] {
    auto p = ChildParts("b", parent);
    p.absolute = kSecond;
    return p;
  }());
  EXPECT_EQ(brief->expires_at(), kBoot + kSecond) << "it may be shorter";
  EXPECT_TRUE(table_.End(parent->id()));
  EXPECT_THAT(child->CheckAlive(kBoot + 100 * kSecond), RefusedWith(Reason::kSessionEnded));
  EXPECT_FALSE(InTable(table_, child));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_THAT(table_.Insert(ChildParts("d", parent), kBoot), RefusedWith(Reason::kSessionEnded));
}

TEST_F(SessionTableTest, AParentEndedOnTheObjectAloneEndsItsChildToo) {
  SessionPtr parent = OpenFor(table_, "p"), child = OpenChild(table_, "c", parent);
  parent->End();
  EXPECT_THAT(child->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(child->AcceptSequence(1, kBoot), RefusedWith(Reason::kSessionEnded));
  EXPECT_THAT(table_.Insert(ChildParts("d", parent), kBoot), RefusedWith(Reason::kSessionEnded));
}

TEST_F(SessionTableTest, AParentOfAnotherTableIsNoParent) {
  SessionTable other{SessionLimits()};
  SessionPtr foreign = OpenFor(other, "p");
  EXPECT_THAT(table_.Insert(ChildParts("c", foreign), kBoot), RefusedWith(Reason::kSessionEnded));
}

TEST_F(SessionTableTest, AChildNeverRefreshesItsParent) {
  SessionPtr parent = OpenFor(table_, "p"), child = OpenChild(table_, "c", parent);
  ASSERT_THAT(child->AcceptSequence(1, kBoot + 299 * kSecond), IsOk());
  EXPECT_THAT(parent->CheckAlive(kBoot + 300 * kSecond), RefusedWith(Reason::kSessionExpired));
  EXPECT_THAT(child->CheckAlive(kBoot + 300 * kSecond), RefusedWith(Reason::kSessionExpired))
      << "and ends with it";
  EXPECT_THAT(child->AcceptSequence(2, kBoot + 300 * kSecond),
              RefusedWith(Reason::kSessionExpired));
  EXPECT_THAT(table_.Insert(ChildParts("d", parent), kBoot + 300 * kSecond),
              RefusedWith(Reason::kSessionExpired));
}

TEST_F(SessionTableTest, OpeningAChildDoesNotRefreshItsParent) {
  SessionPtr parent = OpenFor(table_, "p");
  OpenChild(table_, "c", parent, kBoot + 200 * kSecond);
  EXPECT_THAT(parent->CheckAlive(kBoot + 300 * kSecond), RefusedWith(Reason::kSessionExpired));
}

TEST_F(SessionTableTest, AParentKeptBusyKeepsNoIdleChildAlive) {
  SessionPtr parent = OpenFor(table_, "p"), child = OpenChild(table_, "c", parent);
  ASSERT_THAT(parent->AcceptSequence(1, kBoot + 200 * kSecond), IsOk());
  EXPECT_THAT(child->CheckAlive(kBoot + 300 * kSecond), RefusedWith(Reason::kSessionExpired));
  EXPECT_THAT(parent->CheckAlive(kBoot + 300 * kSecond), IsOk());
}

TEST_F(SessionTableTest, AChildOpensNoChild) {
  SessionPtr child = OpenChild(table_, "c", OpenFor(table_, "p"));
  EXPECT_THAT(table_.Insert(ChildParts("g", child), kBoot), RefusedWith(Reason::kChildNotAllowed));
}

TEST_F(SessionTableTest, AChildIsNeitherStrongerNorFresherNorSomebodyElses) {
  auto second = world_.Credential("a2", "alice");
  SessionPtr parent = OpenFor(table_, "p");
  Session::Parts parts = ChildParts("c", parent);
  parts.factors.push_back({"fido2", TestNow()});
  EXPECT_THAT(table_.Insert(parts, kBoot), RefusedWith(Reason::kChildNotAllowed))
      << "a factor more";
  parts = ChildParts("c", parent);
  parts.factors[0].proved_at += absl::Nanoseconds(1);
  EXPECT_THAT(table_.Insert(parts, kBoot), RefusedWith(Reason::kChildNotAllowed))
      << "a fresher factor";
  parts = ChildParts("c", parent);
  parts.credentials.assign({alice_, second});
  EXPECT_THAT(table_.Insert(parts, kBoot), RefusedWith(Reason::kChildNotAllowed))
      << "a credential more";
  parts = ChildParts("c", parent);
  parts.credentials.assign({bob_});
  EXPECT_THAT(table_.Insert(parts, kBoot), RefusedWith(Reason::kChildNotAllowed))
      << "another subject";
  parts = ChildParts("c", parent);
  parts.factors.clear();
  EXPECT_THAT(table_.Insert(parts, kBoot), IsOk()) << "weaker is fine";
}

TEST_F(SessionTableTest, AChildWithFewerCredentialsFallsWithAnyOfItsParents) {
  auto second = world_.Credential("a2", "alice");
  SessionPtr parent = Open(table_, MakeParts("p", {alice_, second})),
             child = OpenChild(table_, "c", parent);
  ASSERT_THAT(world_.live().Revoke(second->record().id, "", TestNow()), IsOk());
  EXPECT_THAT(child->CheckAlive(kBoot), RefusedWith(Reason::kCredentialRevoked));
  EXPECT_EQ(table_.EndByCredential(second->record().id), 2u);
}

TEST_F(SessionTableTest, AtTheCapASubjectGivesUpItsOwnLongestIdle) {
  SessionTable table({.total = 100, .per_subject = 3, .children_per_parent = 2});
  SessionPtr bobs = Open(table, MakeParts("bob", {bob_}));
  SessionPtr a = OpenFor(table, "a"), b = OpenFor(table, "b"), c = OpenFor(table, "c");
  ASSERT_THAT(a->AcceptSequence(1, kBoot + 3 * kSecond), IsOk());
  ASSERT_THAT(c->AcceptSequence(1, kBoot + 1 * kSecond), IsOk());
  ASSERT_THAT(b->AcceptSequence(1, kBoot + 2 * kSecond), IsOk());
  SessionPtr d = OpenFor(table, "d", kBoot + 4 * kSecond);
  EXPECT_FALSE(InTable(table, c));
  EXPECT_THAT(c->CheckAlive(kBoot), RefusedWith(Reason::kSessionEnded));
  for (const SessionPtr& kept : {a, b, d, bobs}) EXPECT_TRUE(InTable(table, kept));
  EXPECT_EQ(table.size(), 4u);
}

TEST_F(SessionTableTest, AtTheCapTheExpiredGoFirst) {
  SessionTable table({.total = 100, .per_subject = 2, .children_per_parent = 2});
  SessionPtr idle = OpenFor(table, "idle");
  Session::Parts parts = MakeParts("brief", {alice_});
  parts.absolute = 10 * kSecond;
  SessionPtr brief = Open(table, parts);
  ASSERT_THAT(brief->AcceptSequence(1, kBoot + 9 * kSecond), IsOk());
  OpenFor(table, "new", kBoot + 20 * kSecond);
  EXPECT_FALSE(InTable(table, brief)) << "used last, but over";
  EXPECT_TRUE(InTable(table, idle));
}

TEST_F(SessionTableTest, AFullTableTakesFromTheSameSubjectNeverFromAnother) {
  SessionTable table({.total = 3, .per_subject = 3, .children_per_parent = 2});
  SessionPtr a = OpenFor(table, "a"), b = OpenFor(table, "b", kBoot + kSecond),
             c = OpenFor(table, "c", kBoot + kSecond);
  EXPECT_THAT(table.Insert(MakeParts("bob", {bob_}), kBoot + 2 * kSecond),
              RefusedWith(Reason::kSessionTableFull));
  for (const SessionPtr& kept : {a, b, c}) EXPECT_TRUE(InTable(table, kept));
  SessionPtr d = OpenFor(table, "d", kBoot + 3 * kSecond);
  EXPECT_FALSE(InTable(table, a));
  EXPECT_EQ(table.size(), 3u);
  EXPECT_TRUE(table.End(d->id()));
  SessionPtr bobs = Open(table, MakeParts("bob", {bob_}), kBoot + 4 * kSecond);
  OpenFor(table, "e", kBoot + 5 * kSecond);
  EXPECT_TRUE(InTable(table, bobs)) << "the longer idle one was hers";
}

TEST_F(SessionTableTest, AFullTableFirstDropsWhatHasExpiredWhosever) {
  SessionTable table({.total = 2, .per_subject = 2, .children_per_parent = 2});
  SessionPtr a = OpenFor(table, "a"), b = OpenFor(table, "b", kBoot + 100 * kSecond);
  SessionPtr bobs = Open(table, MakeParts("bob", {bob_}), kBoot + 301 * kSecond);
  EXPECT_NE(bobs, nullptr);
  EXPECT_FALSE(InTable(table, a));
  EXPECT_TRUE(InTable(table, b));
}

TEST_F(SessionTableTest, TheChildrenOfAllOfASubjectsSessionsHaveACapTogether) {
  SessionTable table(
      {.total = 100, .per_subject = 9, .children_per_parent = 2, .children_per_subject = 3});
  SessionPtr p = OpenFor(table, "p"), q = OpenFor(table, "q");
  SessionPtr a = OpenChild(table, "a", p, kBoot + 2 * kSecond),
             b = OpenChild(table, "b", p, kBoot + kSecond),
             c = OpenChild(table, "c", q, kBoot + 3 * kSecond);
  SessionPtr bobs = Open(table, MakeParts("bob", {bob_}));
  SessionPtr d = OpenChild(table, "d", q, kBoot + 4 * kSecond);
  EXPECT_FALSE(InTable(table, b)) << "the longest idle child, whosever";
  for (const SessionPtr& kept : {p, q, a, c, d, bobs}) EXPECT_TRUE(InTable(table, kept));
}

TEST_F(SessionTableTest, ChildrenHaveACapOfTheirOwnAndGiveWayToTheirSiblings) {
  SessionTable table({.total = 100, .per_subject = 2, .children_per_parent = 2});
  SessionPtr p = OpenFor(table, "p"), q = OpenFor(table, "q");
  SessionPtr a = OpenChild(table, "a", p, kBoot + kSecond),
             b = OpenChild(table, "b", p, kBoot + 2 * kSecond);
  SessionPtr other = OpenChild(table, "other", q);
  EXPECT_EQ(table.size(), 5u) << "children do not count for the subject";
  SessionPtr c = OpenChild(table, "c", p, kBoot + 3 * kSecond);
  EXPECT_FALSE(InTable(table, a));
  for (const SessionPtr& kept : {p, q, b, c, other}) EXPECT_TRUE(InTable(table, kept));
}

TEST_F(SessionTableTest, AChildNeverDrivesOutItsOwnParent) {
  SessionTable table({.total = 2, .per_subject = 2, .children_per_parent = 5});
  SessionPtr p = OpenFor(table, "p"), q = OpenFor(table, "q", kBoot + kSecond);
  SessionPtr a = OpenChild(table, "a", p, kBoot + 2 * kSecond);
  EXPECT_TRUE(InTable(table, p)) << "though it is the longest idle";
  EXPECT_FALSE(InTable(table, q));
  SessionPtr b = OpenChild(table, "b", p, kBoot + 3 * kSecond);
  EXPECT_FALSE(InTable(table, a));
  SessionTable tiny({.total = 1, .per_subject = 2, .children_per_parent = 5});
  SessionPtr alone = OpenFor(tiny, "p");
  EXPECT_THAT(tiny.Insert(ChildParts("c", alone), kBoot), RefusedWith(Reason::kSessionTableFull));
}

TEST_F(SessionTableTest, AParentWithABusyChildIsNotTheIdleOne) {
  SessionTable table({.total = 100, .per_subject = 2, .children_per_parent = 5});
  SessionPtr p = OpenFor(table, "p"), child = OpenChild(table, "c", p);
  SessionPtr q = OpenFor(table, "q", kBoot + kSecond);
  ASSERT_THAT(child->AcceptSequence(1, kBoot + 2 * kSecond), IsOk());
  OpenFor(table, "r", kBoot + 3 * kSecond);
  EXPECT_TRUE(InTable(table, p));
  EXPECT_FALSE(InTable(table, q));
}

TEST_F(SessionTableTest, NoCapIsACapOfNone) {
  SessionTable none({.total = 0, .per_subject = 1, .children_per_parent = 1});
  EXPECT_THAT(none.Insert(MakeParts("s", {alice_}), kBoot), RefusedWith(Reason::kSessionTableFull));
  SessionTable no_subject({.total = 5, .per_subject = 0, .children_per_parent = 0});
  EXPECT_THAT(no_subject.Insert(MakeParts("s", {alice_}), kBoot),
              RefusedWith(Reason::kSessionTableFull));
  SessionTable no_children({.total = 5, .per_subject = 1, .children_per_parent = 0});
  SessionPtr parent = OpenFor(no_children, "p");
  EXPECT_THAT(no_children.Insert(ChildParts("c", parent), kBoot),
              RefusedWith(Reason::kSessionTableFull));
}

TEST_F(SessionTableTest, SweepDropsTheDeadAndOnlyThem) {
  SessionPtr old = OpenFor(table_, "old"),
             child = OpenChild(table_, "child", old, kBoot + 100 * kSecond);
  SessionPtr ended = OpenFor(table_, "ended", kBoot + 100 * kSecond);
  SessionPtr young = OpenFor(table_, "young", kBoot + 100 * kSecond);
  EXPECT_EQ(table_.Sweep(kBoot + 100 * kSecond), 0u);
  ended->End();
  EXPECT_EQ(table_.Sweep(kBoot + 300 * kSecond), 3u) << "the child falls with its parent";
  EXPECT_TRUE(InTable(table_, young));
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(table_.Sweep(kBoot + 300 * kSecond), 0u);
}

}  // namespace
}  // namespace forekey
