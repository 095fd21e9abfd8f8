// SPDX-License-Identifier: Apache-2.0
// Sessions under many threads (most telling under ThreadSanitizer): each sequence once, no session
// beside a revocation, and a table that stays consistent.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/barrier.h"
#include "src/store/session_table.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey {
namespace {

using testing::IsOk;
using namespace forekey::testing;  // NOLINT: the fixtures

TEST(SessionRaceTest, EachSequenceIsAcceptedOnceByManyThreads) {
  LiveWorld world;
  SessionTable table{SessionLimits()};
  Session::Parts parts = MakeParts("s", {world.Credential("a", "alice")});
  parts.window = 65536;  // a thread that is held up must not come too late
  auto session = table.Insert(std::move(parts), kBoot);
  ASSERT_THAT(session, IsOk());
  constexpr int kThreads = 4, kSequences = 3000;
  std::vector<std::atomic<int>> accepted(kSequences + 1);
  std::atomic<uint64_t> next{1};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        // Every sequence is tried by this thread, and again by whoever comes next.
        uint64_t sequence = next++;
        if (sequence > kSequences) return;
        accepted[sequence] += (*session)->AcceptSequence(sequence, kBoot).ok();
        if (sequence > 1)
          accepted[sequence - 1] += (*session)->AcceptSequence(sequence - 1, kBoot).ok();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 1; i <= kSequences; ++i) EXPECT_EQ(accepted[i], 1) << i;
}

TEST(SessionRaceTest, NoSessionIsOpenedBesideARevocation) {
  LiveWorld world;
  SessionTable table{SessionLimits()};
  for (int round = 0; round < 40; ++round) {
    auto credential = world.Credential(absl::StrCat(round), "alice");
    absl::Barrier start(3);
    std::atomic<bool> revoked{false};
    std::shared_ptr<const Session> opened[2];
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        start.Block();
        for (int i = 0; i < 200; ++i) {
          const bool too_late = revoked;
          auto session =
              table.Insert(MakeParts(absl::StrCat(round, ".", t, ".", i), {credential}), kBoot);
          ASSERT_FALSE(too_late && session.ok());
          if (!session.ok()) {
            ASSERT_EQ(ReasonOf(session.status()), Reason::kCredentialRevoked);
            return;
          }
          opened[t] = *session;
        }
      });
    }
    start.Block();
    ASSERT_THAT(world.live().Revoke(credential->record().id, "", TestNow()), IsOk());
    table.EndByCredential(credential->record().id);
    revoked = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(table.size(), 0u) << "what was opened before was ended";
    for (const auto& session : opened) {
      EXPECT_TRUE(session == nullptr || !session->CheckAlive(kBoot).ok());
    }
  }
}

TEST(SessionRaceTest, NoChildIsOpenedBesideItsParentsEnd) {
  LiveWorld world;
  auto credential = world.Credential("a", "alice");
  SessionTable table{SessionLimits()};
  for (int round = 0; round < 40; ++round) {
    auto parent = table.Insert(MakeParts(absl::StrCat("p", round), {credential}), kBoot);
    ASSERT_THAT(parent, IsOk());
    std::thread opener([&] {
      for (int i = 0; i < 200; ++i) {
        Session::Parts parts = MakeParts(absl::StrCat("c", round, ".", i), {credential});
        parts.parent = *parent;
        auto child = table.Insert(std::move(parts), kBoot);
        if (child.ok()) continue;
        ASSERT_EQ(ReasonOf(child.status()), Reason::kSessionEnded);
        return;
      }
    });
    table.End((*parent)->id());
    opener.join();
    EXPECT_EQ(table.size(), 0u);
  }
}

TEST(SessionRaceTest, StaysConsistentUnderEverythingAtOnce) {
  LiveWorld world;
  std::vector<std::shared_ptr<const LiveCredential>> credentials;
  for (int i = 0; i < 4; ++i)
    credentials.push_back(world.Credential(absl::StrCat(i), absl::StrCat("subject", i / 2)));
  SessionTable table({.total = 60, .per_subject = 20, .children_per_parent = 4});
  constexpr int kThreads = 4, kSteps = 1500, kIds = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kSteps; ++i) {
        const BootTime now = kBoot + i * kSecond / 10;
        const std::string name = absl::StrCat((i * 7 + t * 13) % kIds);
        const std::string id = MakeParts(name, {}).id;
        auto session = table.Find(id);
        if (session != nullptr) {
          if (session->CheckAlive(now).ok()) (void)session->AcceptSequence(i + 1, now).ok();
          if (i % 5 == 0) table.End(id);
        } else {
          Session::Parts parts = MakeParts(name, {credentials[i % 4]});
          parts.opened_at = now;
          parts.idle = 20 * kSecond;
          if (i % 3 == 0) {
            auto parent = table.Find(MakeParts(absl::StrCat(i % kIds), {}).id);
            if (parent != nullptr && parent->parent() == nullptr) parts.parent = parent;
          }
          (void)table.Insert(std::move(parts), now).ok();
        }
        if (i % 100 == 17) table.EndByCredential(credentials[t]->record().id);
        if (i % 200 == 33) table.EndBySubject(absl::StrCat("subject", t % 2));
        if (i % 150 == 71) table.Sweep(now);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  size_t found = 0;
  for (int i = 0; i < kIds; ++i) found += table.Find(MakeParts(absl::StrCat(i), {}).id) != nullptr;
  EXPECT_EQ(found, table.size());
  EXPECT_LE(table.size(), 60u);
  table.EndBySubject("subject0");
  table.EndBySubject("subject1");
  EXPECT_EQ(table.size(), 0u) << "every session is known by its subject";
}

}  // namespace
}  // namespace forekey
