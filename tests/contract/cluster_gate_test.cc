// SPDX-License-Identifier: Apache-2.0
// Two gates of one audience and one identity over one PostgreSQL, on a clock that moves when told:
// the path of a call asks no database, and the lease bounds what one may still believe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/base/deadline.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/gate/support/gate_fixture.h"

namespace forekey {
namespace {

using testing::IsOk;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

// The fixture's clock, with something that happens before a look at it: a process that is stopped
// there and goes on.
class InterruptedClock final : public Clock {
 public:
  explicit InterruptedClock(const Clock& clock) : clock_(clock) {}
  absl::Time WallNow() const override { return clock_.WallNow(); }
  BootTime BootNow() const override {
    if (looks_ > 0 && --looks_ == 0) happens_();
    return clock_.BootNow();
  }
  // Before the n-th look of this thread from now on.
  static void Before(int n, std::function<void()> happens) {
    looks_ = n;
    happens_ = std::move(happens);
  }
  static bool Happened() { return looks_ == 0; }

 private:
  const Clock& clock_;
  inline static thread_local int looks_ = 0;
  inline static thread_local std::function<void()> happens_;
};

class ClusterGateTest : public GateFixture {
 protected:
  ~ClusterGateTest() override {
    gate_.reset();
    other_.reset();
  }
  // Before the gates: the server is there as long as the program.
  ClusterGateTest() {
    server().Reset();
    auto opened = PostgresRegistry::Open(server().Url());
    EXPECT_THAT(opened, IsOk());
    if (opened.ok()) registry_ = *std::move(opened);
  }
  static PostgresServer& server() {
    static PostgresServer postgres;
    return postgres;
  }

  absl::StatusOr<std::unique_ptr<GateCore>> Start(const std::string& name, bool with_rule = false) {
    GateConfig config = Config();
    config.state.directory = folder_.File(name);
    config.cluster.name = name;
    if (with_rule) config.rules.exempt.push_back("/grpc.health.v1.Health/Check");
    GateCore::StandIns parts;
    parts.clock = &interrupted_;
    auto registry = PostgresRegistry::Open(server().Url());
    if (!registry.ok()) return registry.status();
    parts.shared_registry = *std::move(registry);
    parts.audit = std::make_unique<MemoryAuditSink>();
    auto* const audit = static_cast<MemoryAuditSink*>(parts.audit.get());
    parts.maintenance_thread = false;
    auto gate = GateCore::New(std::move(config), std::move(parts));
    if (gate.ok()) audits_[gate->get()] = audit;
    return gate;
  }
  void StartBoth() {
    auto first = Start("a");
    ASSERT_THAT(first, IsOk());
    std::filesystem::create_directories(folder_.File("b"));
    std::filesystem::permissions(folder_.File("b"), std::filesystem::perms::owner_all);
    std::filesystem::copy(folder_.File("a/identity"), folder_.File("b/identity"),
                          std::filesystem::copy_options::recursive);
    auto second = Start("b");
    ASSERT_THAT(second, IsOk());
    gate_ = *std::move(first);
    other_ = *std::move(second);
    audit_ = audits_[gate_.get()];
  }
  // What follows is asked of the other gate.
  void Turn() {
    std::swap(gate_, other_);
    audit_ = audits_[gate_.get()];
  }
  static void Until(const std::function<bool()>& condition) {
    Bell never;
    for (int i = 0; i < 3000; ++i) {
      if (condition()) return;
      never.Await(absl::Milliseconds(10));
    }
    FAIL() << "it never came";
  }

  const InterruptedClock interrupted_{clock_};
  std::unique_ptr<GateCore> other_;
  std::map<const GateCore*, MemoryAuditSink*> audits_;
};

TEST_F(ClusterGateTest, WhatIsRevokedAtOneIsRefusedByAllOnceItIsToldToBeHeldEverywhere) {
  StartBoth();
  for (int round = 0; round < 5; ++round) {
    const Token token = Enroll(absl::StrCat("alice", round));
    ClientSession here = Open(token);
    Turn();
    ClientSession there = Open(token);
    EXPECT_EQ(WhyRefused(there.NextProof(kMethod)), std::nullopt);
    Turn();
    v1::RevokeCredentialRequest request;
    request.set_credential_id(token.id);
    const auto revoked = gate().admin().RevokeCredential(request, "test");
    ASSERT_THAT(revoked, IsOk());
    EXPECT_EQ(revoked->spread().unknown(), "");
    EXPECT_THAT(revoked->spread().confirmed(), IsSupersetOf({"a", "b"}));
    EXPECT_NE(WhyRefused(here.NextProof(kMethod)), std::nullopt);
    Turn();
    EXPECT_NE(WhyRefused(there.NextProof(kMethod)), std::nullopt);
    Turn();
  }
}

TEST_F(ClusterGateTest, AnIdentityThatIsRotatedWhileAGateStartsKeepsItFromStarting) {
  ASSERT_THAT(Start("a"), IsOk());
  // Between its claim and its row.
  server().Sql(
      "CREATE FUNCTION forekey.rotate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE "
      "forekey.gate SET identity = sha256(identity); RETURN NEW; END'; CREATE TRIGGER rotate "
      "BEFORE "
      "INSERT ON forekey.replicas FOR EACH ROW EXECUTE FUNCTION forekey.rotate()");
  const auto late = Start("a");
  ASSERT_EQ(late.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("identity"));
  EXPECT_EQ(server().Sql("SELECT count(*) FROM forekey.replicas"), "0");
}

TEST_F(ClusterGateTest, DisabledAndEnabledAgainAtOneEndsTheSessionsAtAll) {
  StartBoth();
  const Token token = Enroll("alice"), bystander = Enroll("bob");
  Turn();
  ClientSession there = Open(token), bobs = Open(bystander);
  auto child = OpenChild(there, OpenOptions());
  ASSERT_THAT(child, IsOk());
  EXPECT_EQ(WhyRefused(there.NextProof(kMethod)), std::nullopt);
  Turn();
  for (const bool disabled : {true, false}) {
    v1::SetSubjectRequest request;
    request.set_subject("alice");
    request.set_set_disabled(true);
    request.set_disabled(disabled);
    ASSERT_THAT(gate().admin().SetSubject(request, "test"), IsOk());
  }
  Turn();
  EXPECT_EQ(WhyRefused(there.NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyRefused(child->NextProof(kMethod)), Reason::kSessionEnded);
  EXPECT_EQ(WhyRefused(bobs.NextProof(kMethod)), std::nullopt);
  ClientSession again = Open(token);
  EXPECT_EQ(WhyRefused(again.NextProof(kMethod)), std::nullopt) << "who is enabled opens anew";
}

TEST_F(ClusterGateTest, AProcessThatIsStoppedWithinACallAdmitsNothingByWhatItKnewBefore) {
  StartBoth();
  const Token token = Enroll("alice");
  ClientSession session = Open(token);
  const auto stop = [this] { clock_.Advance(absl::Seconds(4)); };
  // The first look is at the beginning of the call; a device's proof takes one more for its
  // challenge. The next is the last thing that is asked.
  InterruptedClock::Before(2, stop);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), Reason::kLeaseEnded);
  EXPECT_TRUE(InterruptedClock::Happened());

  Until([&] { return gate().LeaseHolds(); });
  const std::string proof = Draft({&token}).SignAndSerialize();
  InterruptedClock::Before(3, [this] {
    server().Freeze();  // nor does it hear anything when it goes on
    clock_.Advance(absl::Seconds(4));
  });
  EXPECT_EQ(WhyRefused(proof), Reason::kLeaseEnded);
  server().Continue();
  EXPECT_TRUE(InterruptedClock::Happened());
}

TEST_F(ClusterGateTest, AProcessThatIsStoppedBeforeAHandlerAsksGivesItNoCaller) {
  StartBoth();
  const Token token = Enroll("alice");
  ClientSession session = Open(token);
  for (const std::string& prefix :
       {session.NextProof(kMethod), Draft({&token}).SignAndSerialize()}) {
    Until([&] { return gate().LeaseHolds(); });
    ASSERT_EQ(WhyRefused(prefix), std::nullopt);
    const absl::string_view sent = prefix;
    EXPECT_THAT(gate().calls().Recall(absl::MakeConstSpan(&sent, 1), kMethod), IsOk());
    server().Freeze();
    clock_.Advance(absl::Seconds(4));
    const auto recalled = gate().calls().Recall(absl::MakeConstSpan(&sent, 1), kMethod);
    EXPECT_EQ(ReasonOf(recalled.status()), Reason::kLeaseEnded);
    server().Continue();
  }
}

TEST_F(ClusterGateTest, ASessionsProofIsNotGoodAtAnotherReplica) {
  StartBoth();
  ClientSession session = Open(Enroll("alice"));
  const std::string proof = session.NextProof(kMethod);
  Turn();
  EXPECT_EQ(WhyRefused(proof), Reason::kSessionUnknown);
}

TEST_F(ClusterGateTest, ASessionsCallsAskNoDatabase) {
  StartBoth();
  ClientSession session = Open(Enroll("alice"));
  server().Freeze();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  }
  server().Continue();
}

TEST_F(ClusterGateTest, WithoutTheDatabaseItAdmitsUntilTheLeaseEndsAndThenSaysSo) {
  StartBoth();
  const Token token = Enroll("alice");
  ClientSession session = Open(token);
  server().Stop(SIGKILL);
  EXPECT_EQ(WhyRefused(session.NextProof(kMethod)), std::nullopt);
  clock_.Advance(absl::Seconds(3));
  const std::string held = session.NextProof(kMethod, 3);
  const Judgement refused = Judge(held);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(WhyRefused(refused), Reason::kLeaseEnded);
  EXPECT_FALSE(gate().LeaseHolds());
  v1::GetChallengeRequest challenge;
  challenge.set_purpose(v1::GetChallengeRequest::PURPOSE_CALL);
  EXPECT_EQ(gate().peers().GetChallenge(challenge).status().code(), absl::StatusCode::kUnavailable)
      << "nobody is to touch a token in vain";
  EXPECT_THAT(gate().CheckHealth(), IsOk()) << "a restart would mend nothing";
  server().Start();
  Until([&] { return gate().LeaseHolds(); });
  EXPECT_EQ(WhyRefused(held), std::nullopt) << "a proof that was refused for this is not used up";
}

TEST_F(ClusterGateTest, AnotherIdentityOrAudienceDoesNotStart) {
  StartBoth();
  const absl::Status none = Start("c").status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(none.message()), HasSubstr("identity export"));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("c/identity/keys")));
  {
    std::filesystem::create_directories(folder_.File("d"));
    std::filesystem::permissions(folder_.File("d"), std::filesystem::perms::owner_all);
    ASSERT_THAT(GateIdentities::Open(folder_.File("d/identity"), clock_, absl::Hours(1)), IsOk());
  }
  const absl::Status other = Start("d").status();
  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.message()), HasSubstr("belongs to the gate"));
  EXPECT_EQ(gate().admin().RotateIdentity({}, "test").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ClusterGateTest, StatusTellsReplicasWithOtherRulesApart) {
  StartBoth();
  v1::GetGateStatusRequest request;
  request.set_all_replicas(true);
  auto status = gate().admin().GetGateStatus(request);
  ASSERT_THAT(status, IsOk());
  ASSERT_EQ(status->replicas_size(), 2);
  EXPECT_EQ(status->replicas(0).rules(), status->replicas(1).rules());
  EXPECT_FALSE(status->lease_ended());
  other_.reset();
  auto changed = Start("b", /*with_rule=*/true);
  ASSERT_THAT(changed, IsOk());
  status = gate().admin().GetGateStatus(request);
  ASSERT_THAT(status, IsOk());
  ASSERT_EQ(status->replicas_size(), 2);
  EXPECT_NE(status->replicas(0).rules(), status->replicas(1).rules());
}

}  // namespace
}  // namespace forekey
