// SPDX-License-Identifier: Apache-2.0
// Replicas over one PostgreSQL: whatever fails, none admits by what it believed before a change
// that was told to be held everywhere.
#include "src/store/postgres/postgres_replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "src/base/deadline.h"
#include "tests/contract/registry_stores.h"
#include "tests/support/fake_clock.h"
#include "tests/support/forwarding_registry.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Looks again and again; ends the test program where it never comes.
void Until(const std::function<bool()>& condition) {
  Bell never;
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return;
    never.Await(absl::Milliseconds(10));
  }
  FAIL() << "it never came";
}

struct Replica {
  std::shared_ptr<PostgresRegistry> registry;
  std::unique_ptr<LiveCredentials> credentials;
  AdmissionLease lease;
  std::unique_ptr<PostgresReplica> replica;
  bool Holds() const { return lease.Holds(Clock::System().BootNow()); }
};

class PostgresReplicaTest : public ::testing::Test {
 protected:
  PostgresReplicaTest() { server().Reset(); }
  static PostgresServer& server() { return TestPostgres(); }
  static std::unique_ptr<Replica> Join(const std::string& name,
                                       absl::Duration lease = absl::Seconds(1),
                                       const Clock& clock = Clock::System(),
                                       const std::string& url = server().Url()) {
    auto joined = std::make_unique<Replica>();
    auto registry = PostgresRegistry::Open(url);
    EXPECT_THAT(registry, IsOk());
    joined->registry = *std::move(registry);
    joined->credentials = std::make_unique<LiveCredentials>(joined->registry);
    PostgresReplicaOptions options;
    options.name = name;
    options.lease = lease;
    auto replica = PostgresReplica::Join(std::move(options), *joined->registry,
                                         *joined->credentials, joined->lease, clock);
    EXPECT_THAT(replica, IsOk());
    if (replica.ok()) joined->replica = *std::move(replica);
    return joined;
  }
  static std::string Enrol(Replica& at, const std::string& name, const std::string& subject) {
    const CredentialRecord record = MakeKeyedCredential(name, subject);
    EXPECT_THAT(EnrollNew(*at.registry, record, {"old"}), IsOk());
    return record.id;
  }
  static std::shared_ptr<const LiveCredential> Find(Replica& at, const std::string& id) {
    auto found = at.credentials->Find(id);
    EXPECT_THAT(found, IsOk());
    return *found;
  }
  static std::vector<std::string> Names(
      const std::vector<PostgresRegistry::Confirmation>& confirmations, bool confirmed) {
    std::vector<std::string> names;
    for (const auto& one : confirmations) {
      if (one.confirmed == confirmed) names.push_back(one.name);
    }
    return names;
  }
};

TEST_F(PostgresReplicaTest, ARevocationIsHeldByAllOnceItIsConfirmed) {
  auto a = Join("a"), b = Join("b");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id), at_b = Find(*b, id);
  EXPECT_TRUE(a->Holds() && b->Holds());
  for (int round = 0; round < 20; ++round) {
    const std::string other = Enrol(*a, absl::StrCat("y", round), "alice");
    const auto there = Find(*b, other);
    ASSERT_THAT(a->credentials->Revoke(other, "", TestNow()), IsOk());
    auto confirmed = a->registry->AwaitConfirmed();
    ASSERT_THAT(confirmed, IsOk());
    EXPECT_THAT(Names(*confirmed, true), ElementsAre("a", "b"));
    ASSERT_TRUE(there->revoked());
  }
  EXPECT_FALSE(at_a->revoked() || at_b->revoked());
}

TEST_F(PostgresReplicaTest, WhoIsNoReplicaAlsoTellsThem) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id);
  auto tool = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(tool, IsOk());
  ASSERT_THAT((*tool)->RevokeSubject("alice", "left", TestNow()), IsOk());
  ASSERT_THAT((*tool)->AwaitConfirmed(), IsOk());
  EXPECT_TRUE(at_a->revoked());
}

TEST_F(PostgresReplicaTest, RolesDisablingAndFactorsReachTheOthersAndAreNotToldTwice) {
  auto a = Join("a"), b = Join("b");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id), at_b = Find(*b, id);
  ASSERT_THAT(a->credentials->SetRoles("alice", {"new"}), IsOk());
  ASSERT_THAT(a->credentials->SetDisabled("alice", true), IsOk());
  const uint64_t before = at_b->subject().factors_version();
  ASSERT_THAT(a->credentials->SetPasswordHash("alice", "$hash", TestNow()), IsOk());
  const uint64_t told = at_a->subject().factors_version();
  ASSERT_THAT(a->registry->AwaitConfirmed(), IsOk());
  EXPECT_THAT(*at_b->subject().roles(), ElementsAre("new"));
  EXPECT_TRUE(at_b->subject().disabled());
  EXPECT_GT(at_b->subject().factors_version(), before);
  EXPECT_EQ(at_a->subject().factors_version(), told) << "its own change, once";
}

TEST_F(PostgresReplicaTest, WhoWasDisabledAndEnabledAgainIsNotWhoItWasForTheOthers) {
  auto a = Join("a"), b = Join("b");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id), at_b = Find(*b, id);
  const uint64_t before = at_b->subject().sessions_epoch();
  ASSERT_THAT(a->credentials->SetDisabled("alice", true), IsOk());
  ASSERT_THAT(a->credentials->SetDisabled("alice", false), IsOk());
  ASSERT_THAT(a->registry->AwaitConfirmed(), IsOk());
  EXPECT_FALSE(at_b->subject().disabled());
  EXPECT_EQ(at_b->subject().sessions_epoch(), before + 1)
      << "sessions that were opened before are over";
  EXPECT_EQ(at_a->subject().sessions_epoch(), before + 1) << "its own change counts once";
  ASSERT_THAT(a->credentials->SetRoles("alice", {"new"}), IsOk());
  ASSERT_THAT(a->registry->AwaitConfirmed(), IsOk());
  EXPECT_EQ(at_b->subject().sessions_epoch(), before + 1) << "a role ends no session";
}

TEST_F(PostgresReplicaTest, AServerThatLacksTheLastKnownChangeIsNotBelieved) {
  auto opened = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(opened, IsOk());
  PostgresRegistry& registry = **opened;
  const CredentialRecord record = MakeKeyedCredential("x", "alice");
  ASSERT_THAT(EnrollNew(registry, record, {"old"}), IsOk());
  const auto all = [&]() -> std::vector<absl::Status> {
    return {registry.FindCredential(record.id).status(),     registry.FindSubject("alice").status(),
            registry.FindPasswordHash("alice").status(),     registry.FindTicketState().status(),
            registry.ListLiveCredentialIds("", 10).status(), registry.SetRoles("alice", {"new"}),
            registry.AdvanceSignCount(record.id, 0)};
  };
  for (const absl::Status& good : all()) EXPECT_THAT(good, IsOk());
  // As an old primary looks after a failover: alive, and without what happened since.
  registry.Know({7, "token"});
  for (const absl::Status& refused : all()) {
    EXPECT_THAT(refused, RefusedWith(Reason::kStoreUnavailable));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("does not have the last change"));
  }
  server().Sql("INSERT INTO forekey.changes VALUES (7, 'another', 'subject', 'alice')");
  for (const absl::Status& refused : all()) {
    EXPECT_THAT(refused, RefusedWith(Reason::kStoreUnavailable)) << "another history";
  }
  server().Sql("UPDATE forekey.changes SET token = 'token' WHERE number = 7");
  for (const absl::Status& good : all()) EXPECT_THAT(good, IsOk());
}

TEST_F(PostgresReplicaTest, NobodyIsToldThatAChangeIsHeldByAServerThatLacksIt) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice");
  auto tool = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(tool, IsOk());
  ChangePosition revoked;
  EXPECT_THAT((*tool)->AwaitConfirmed({revoked}), IsOk()) << "nothing was told yet";
  ASSERT_THAT((*tool)->RevokeCredential(id, "", TestNow(), &revoked), IsOk());
  ASSERT_THAT((*tool)->AwaitConfirmed({revoked}), IsOk());
  // As at an old primary that takes writes again: all its replicas have seen all that it has.
  const std::string last = "(SELECT max(number) FROM forekey.changes)";
  a.reset();
  server().Sql("DELETE FROM forekey.changes WHERE number = " + last);
  EXPECT_THAT((*tool)->AwaitConfirmed({revoked}), RefusedWith(Reason::kStoreUnavailable));
  // Another call changes something where the revocation was lost, before this one asks.
  ChangePosition roles;
  std::thread([&] { ASSERT_THAT((*tool)->SetRoles("alice", {"new"}, &roles), IsOk()); }).join();
  EXPECT_EQ(roles.number, revoked.number) << "the number of what was lost";
  EXPECT_THAT((*tool)->AwaitConfirmed({revoked}), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT((*tool)->AwaitConfirmed({revoked, roles}), RefusedWith(Reason::kStoreUnavailable))
      << "each of what one call changed";
  EXPECT_THAT((*tool)->AwaitConfirmed({roles}), IsOk());
  // Of a subject that has invites alone.
  ASSERT_THAT((*tool)->AddInvite(MakeInvite("i", "bob")), IsOk());
  const auto cancelled = (*tool)->RevokeSubject("bob", "", TestNow());
  ASSERT_THAT(cancelled, IsOk());
  EXPECT_GT(cancelled->made.number, roles.number);
  EXPECT_THAT((*tool)->AwaitConfirmed({cancelled->made}), IsOk());
  (*tool)->Know({7, "what this process follows"});
  EXPECT_THAT((*tool)->AwaitConfirmed({roles}), RefusedWith(Reason::kStoreUnavailable));
}

TEST_F(PostgresReplicaTest, WhatIsRepeatedIsWrittenAndToldAgain) {
  auto opened = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(opened, IsOk());
  PostgresRegistry& registry = **opened;
  const CredentialRecord x = MakeKeyedCredential("x", "alice"), y = MakeKeyedCredential("y", "bob");
  for (const CredentialRecord& one : {x, y}) ASSERT_THAT(EnrollNew(registry, one), IsOk());
  Registry::FamilyStep step;
  step.family = std::string(16, 'f');
  step.subject = "alice";
  step.now = step.ticket_made = step.ended_at = TestNow();
  step.ends_at = TestNow() + absl::Hours(12);
  step.ticket_life = absl::Minutes(30);
  step.most = 1000;
  for (int round = 1; round <= 2; ++round) {
    const auto told = [](absl::string_view kind) {
      return server().Sql(
          absl::StrCat("SELECT count(*) FROM forekey.changes WHERE kind = '", kind, "'"));
    };
    EXPECT_EQ(registry.RevokeCredential(x.id, "", TestNow()).value(), round == 1);
    EXPECT_EQ(told("credential"), absl::StrCat(2 * round - 1));
    ASSERT_THAT(registry.RevokeSubject("bob", "", TestNow()), IsOk());
    EXPECT_EQ(told("credential"), absl::StrCat(2 * round));
    ASSERT_THAT(registry.EndFamily(step), IsOk());
    EXPECT_EQ(told("family"), absl::StrCat(round));
  }
  EXPECT_THAT(registry.RevokeCredential("nobody", "", TestNow()),
              RefusedWith(Reason::kCredentialUnknown));
}

// The COMMIT of the first one may not have been acknowledged: one that writes waits for the
// standby.
TEST_F(PostgresReplicaTest, ACancelledInviteIsToldAgainThoughItIsGone) {
  auto opened = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(opened, IsOk());
  PostgresRegistry& registry = **opened;
  const auto told = [] {
    return std::stoi(server().Sql("SELECT count(*) FROM forekey.changes WHERE kind = 'invites'"));
  };
  const InviteRecord invite = MakeInvite("i", "carol");
  ASSERT_THAT(registry.AddInvite(invite), IsOk());
  ASSERT_THAT(registry.CancelInvite(invite.id), IsOk());
  const int before = told();
  EXPECT_THAT(registry.CancelInvite(invite.id), RefusedWith(Reason::kInviteUnknown));
  EXPECT_EQ(told(), before + 1);
  ASSERT_THAT(registry.AddInvite(MakeInvite("j", "carol")), IsOk());
  ASSERT_THAT(registry.RevokeSubject("carol", "", TestNow()), IsOk());
  EXPECT_EQ(told(), before + 2);
  EXPECT_EQ(registry.RevokeSubject("carol", "", TestNow()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(told(), before + 3);
  // Nobody has to read anything again for it.
  auto a = Join("a");
  ASSERT_THAT(registry.AddInvite(MakeInvite("k", "carol")), IsOk());
  const auto done = registry.RevokeSubject("carol", "", TestNow());
  ASSERT_THAT(done, IsOk());
  auto confirmed = registry.AwaitConfirmed({done->made});
  ASSERT_THAT(confirmed, IsOk());
  EXPECT_THAT(Names(*confirmed, true), ElementsAre("a"));
}

TEST_F(PostgresReplicaTest, WhenTheOneThatRenewsIsMadeAnewSoAreTheOtherConnections) {
  auto a = Join("a");
  ASSERT_THAT(Enrol(*a, "x", "alice"), SizeIs(32));
  const auto connections = [](absl::string_view condition) {
    return absl::StrCat("SELECT coalesce(string_agg(pid::text, ','), '') FROM pg_stat_activity ",
                        "WHERE application_name = 'forekey' AND ", condition);
  };
  const std::string renewing = "query LIKE '%FROM replicas WHERE id <>%'";
  std::string others;
  Until([&] {
    others = server().Sql(connections(absl::StrCat("NOT ", renewing)));
    return !others.empty() && !server().Sql(connections(renewing)).empty();
  });
  server().Sql(absl::StrCat("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ",
                            "application_name = 'forekey' AND ", renewing));
  Until([&] {
    return server()
        .Sql(connections(absl::StrCat("pid IN (", others, ") AND NOT ", renewing)))
        .empty();
  });
  EXPECT_THAT(a->registry->FindSubject("alice"), IsOk());
}

// As a machine without power, or a server that was stopped.
class SilentHost {
 public:
  SilentHost() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd_, 100) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      abort();
    }
    port_ = ntohs(address.sin_port);
  }
  ~SilentHost() { close(fd_); }
  int port() const { return port_; }

 private:
  int fd_, port_;
};

TEST_F(PostgresReplicaTest, AHostThatIsSilentHidesNoOther) {
  SilentHost silent;
  const std::string hosts = absl::StrCat("127.0.0.1,", server().folder()),
                    ports = absl::StrCat(silent.port(), ",5432");
  const std::string url =
      absl::StrCat("postgresql:///postgres?user=forekey&host=", hosts, "&port=", ports);
  auto a = Join("a", absl::Seconds(1), Clock::System(), url);
  ASSERT_THAT(Enrol(*a, "x", "alice"), SizeIs(32));
  EXPECT_THAT(a->registry->AwaitConfirmed(), IsOk());
  a.reset();
  setenv("PGHOST", hosts.c_str(), 1);
  setenv("PGPORT", ports.c_str(), 1);
  const auto by_environment = PostgresRegistry::Open("postgresql:///postgres?user=forekey");
  unsetenv("PGHOST");
  unsetenv("PGPORT");
  EXPECT_THAT(by_environment, IsOk());
}

TEST_F(PostgresReplicaTest, AnEmptyEntryOfAListMakesNoHostUnusable) {
  const std::string port = absl::StrCat(SilentHost().port());  // nobody's any more
  for (const std::string& lists :
       {absl::StrCat("host=gone,", server().folder(), "&hostaddr=127.0.0.1,&port=", port, ",5432"),
        absl::StrCat("host=,", server().folder(), "&hostaddr=127.0.0.1,&port=", port, ",5432")}) {
    EXPECT_THAT(PostgresRegistry::Open("postgresql:///postgres?user=forekey&" + lists), IsOk())
        << lists;
  }
}

// As an old primary after a failover that nothing fenced: it takes connections, and its COMMITs
// wait for a standby that has left.
TEST_F(PostgresReplicaTest, AServerThatCanNotCommitIsLeftForTheOtherOne) {
  PostgresServer old, promoted;
  ASSERT_THAT(PostgresRegistry::Open(promoted.Url()), IsOk());
  const std::string url = absl::StrCat("postgresql:///postgres?user=forekey&host=", old.folder(),
                                       ",", promoted.folder());
  auto a = Join("a", absl::Seconds(1), Clock::System(), url);
  const std::string rows = "SELECT count(*) FROM forekey.replicas WHERE seen >= 0";
  EXPECT_EQ(old.Sql(rows), "1");
  old.Sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  old.Sql("SELECT pg_reload_conf()");
  Until([&] { return promoted.Sql(rows) == "1"; });
  Until([&] { return a->Holds(); });
  a.reset();
  EXPECT_EQ(promoted.Sql("SELECT count(*) FROM forekey.replicas"), "0");
}

// One that starts has no last good host: the URL's first one is asked first.
TEST_F(PostgresReplicaTest, WhoStartsComesUpByTheOtherHostWhateverIsWrongWithTheFirst) {
  SilentHost silent;
  const std::string refusing = absl::StrCat(SilentHost().port());  // nobody's any more
  PostgresServer standby;
  standby.Stop(SIGINT);
  standby.StartAsStandby();
  const std::string good = server().folder();
  for (const auto& [hosts, ports] : std::vector<std::pair<std::string, std::string>>{
           {absl::StrCat("127.0.0.1,", good), absl::StrCat(refusing, ",5432")},
           {absl::StrCat("127.0.0.1,", good), absl::StrCat(silent.port(), ",5432")},
           {absl::StrCat(standby.folder(), ",", good), "5432"}}) {
    const std::string url =
        absl::StrCat("postgresql:///postgres?user=forekey&host=", hosts, "&port=", ports);
    const BootTime began = Clock::System().BootNow();
    auto a = Join("a", absl::Seconds(3), Clock::System(), url);
    EXPECT_TRUE(a->Holds()) << url;
    EXPECT_LT(Clock::System().BootNow() - began, absl::Seconds(5)) << url;
  }
  const std::string none = absl::StrCat("postgresql:///postgres?user=forekey&host=127.0.0.1,",
                                        standby.folder(), "&port=", refusing, ",5432");
  const std::string told = PostgresRegistry::Open(none).status().ToString();
  EXPECT_THAT(told, HasSubstr("127.0.0.1: "));
  EXPECT_THAT(told, HasSubstr("refused"));
  EXPECT_THAT(told, HasSubstr(absl::StrCat(standby.folder(), ": ")));
  EXPECT_THAT(told, HasSubstr("session is read-only"));
}

TEST_F(PostgresReplicaTest, WhoStartsLeavesAServerThatCanNotCommit) {
  PostgresServer old, promoted;
  for (PostgresServer* one : {&old, &promoted}) {
    ASSERT_THAT(PostgresRegistry::Open(one->Url()), IsOk());
  }
  const auto stop_committing = [](PostgresServer& one) {
    one.Sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    one.Sql("SELECT pg_reload_conf()");
    Until([&one] { return one.Sql("SHOW synchronous_standby_names") == "nobody"; });
  };
  stop_committing(old);
  const std::string url = absl::StrCat("postgresql:///postgres?user=forekey&host=", old.folder(),
                                       ",", promoted.folder());
  auto registry = PostgresRegistry::Open(url);
  ASSERT_THAT(registry, IsOk());
  std::shared_ptr<PostgresRegistry> shared = *std::move(registry);
  LiveCredentials credentials(shared);
  AdmissionLease lease;
  std::vector<std::string> told;
  const auto join = [&] {
    PostgresReplicaOptions options;
    options.lease = absl::Seconds(2);
    options.trouble = [&told](const std::string& error) { told.push_back(error); };
    return PostgresReplica::Join(std::move(options), *shared, credentials, lease, Clock::System());
  };
  {
    const auto joined = join();
    ASSERT_THAT(joined, IsOk());
    EXPECT_EQ(promoted.Sql("SELECT count(*) FROM forekey.replicas WHERE seen >= 0"), "1");
  }
  ASSERT_THAT(told, SizeIs(2));
  EXPECT_THAT(told[0], HasSubstr(absl::StrCat("so the server ", old.folder(), ":5432")));
  EXPECT_EQ(told[1], "");
  stop_committing(promoted);
  const absl::Status refused = join().status();
  EXPECT_THAT(refused, RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(refused.ToString(), HasSubstr(old.folder()));
  EXPECT_THAT(refused.ToString(), HasSubstr(promoted.folder()));
}

TEST_F(PostgresReplicaTest, NumbersOfAnotherHistoryAreNotTakenForItsOwnChanges) {
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  a.credentials = std::make_unique<LiveCredentials>(a.registry);
  const std::string id = Enrol(a, "x", "alice");
  const auto alice = Find(a, id);
  // Its own change, which it never follows: it joins behind it.
  ASSERT_THAT(a.registry->SetPasswordHash("alice", "$hash", TestNow()), IsOk());
  const std::string number = server().Sql("SELECT max(number) FROM forekey.changes");
  PostgresReplicaOptions options;
  options.name = "a";
  options.lease = absl::Seconds(1);
  auto replica = PostgresReplica::Join(std::move(options), *a.registry, *a.credentials, a.lease,
                                       Clock::System());
  ASSERT_THAT(replica, IsOk());
  a.replica = *std::move(replica);
  server().Sql(absl::StrCat("BEGIN; DELETE FROM forekey.changes; INSERT INTO forekey.changes ",
                            "VALUES (", number, " - 1, 'another', 'begin', ''); COMMIT"));
  Until([&] {
    return server().Sql(
               absl::StrCat("SELECT max(seen) = ", number, " - 1 FROM forekey.replicas")) == "t";
  });
  const uint64_t before = alice->subject().factors_version();
  auto other = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(other, IsOk());
  ASSERT_THAT((*other)->SetPasswordHash("alice", "$another", TestNow()), IsOk());
  ASSERT_EQ(server().Sql("SELECT max(number) FROM forekey.changes"), number);
  ASSERT_THAT((*other)->AwaitConfirmed(), IsOk());
  EXPECT_GT(alice->subject().factors_version(), before);
}

TEST_F(PostgresReplicaTest, AChangeIsItsOwnByItsTokenAndNotByItsNumberAlone) {
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  ASSERT_THAT(EnrollNew(*a.registry, MakeKeyedCredential("x", "alice")), IsOk());
  ASSERT_THAT(a.registry->SetPasswordHash("alice", "$hash", TestNow()), IsOk());
  const std::string last = server().Sql(
      "SELECT number || ' ' || encode(token, 'hex') FROM forekey.changes ORDER BY number DESC "
      "LIMIT 1");
  const std::vector<std::string> parts = absl::StrSplit(last, ' ');
  ASSERT_THAT(parts, SizeIs(2));
  PostgresRegistry::Position change{std::stoll(parts[0]), "another history's"};
  EXPECT_FALSE(a.registry->TakeMine(change));
  change.token = absl::HexStringToBytes(parts[1]);
  EXPECT_TRUE(a.registry->TakeMine(change));
  EXPECT_FALSE(a.registry->TakeMine(change)) << "once";
}

// As it is where a server that is no more was the last to tell of a change: what it told was lost
// with it, and the one in its place does not have it.
TEST_F(PostgresReplicaTest, WhatARenewalConfirmsIsWhatServersAreMeasuredBy) {
  auto a = Join("a");
  ASSERT_THAT(Enrol(*a, "x", "alice"), SizeIs(32));
  a->registry->Know({1'000'000, "lost with its server"});
  Until([&] { return a->registry->FindSubject("alice").ok(); });
  EXPECT_THAT(a->registry->SetRoles("alice", {"new"}), IsOk());
}

TEST_F(PostgresReplicaTest, AConnectionThatBreaksTakesNoOtherAlong) {
  const absl::Duration patience = absl::Minutes(1);
  auto opened = PostgresRegistry::Open(server().Url(), {3, patience});
  ASSERT_THAT(opened, IsOk());
  PostgresRegistry& registry = **opened;
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_THAT(EnrollNew(registry, MakeKeyedCredential(name, name)), IsOk());
  }
  {
    // Three connections, which wait for the lock of changes side by side.
    auto lock = PostgresConnection::Open(server().Url("&user=forekey&application_name=test"),
                                         PostgresConnection::Role::kGate, Deadline::In(patience));
    ASSERT_THAT(lock, IsOk());
    ASSERT_THAT(
        (*lock)->Execute(absl::StrCat("BEGIN; SELECT pg_advisory_xact_lock(", kPostgresLockClass,
                                      ", ", static_cast<int>(PostgresLock::kChanges), ")"),
                         Deadline::In(patience)),
        IsOk());
    std::vector<std::thread> threads;
    for (const char* name : {"a", "b", "c"}) {
      threads.emplace_back(
          [&registry, name] { EXPECT_THAT(registry.SetRoles(name, {"new"}), IsOk()); });
    }
    Until([] {
      return server().Sql(
                 "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT "
                 "granted") == "3";
    });
    EXPECT_THAT((*lock)->Execute("COMMIT", Deadline::In(patience)), IsOk());
    for (std::thread& thread : threads) thread.join();
  }
  const std::string ours = " FROM pg_stat_activity WHERE application_name = 'forekey'";
  const auto pids = [&](const std::string& condition) {
    return server().Sql("SELECT coalesce(string_agg(pid::text, ',' ORDER BY pid), '')" + ours +
                        condition);
  };
  EXPECT_THAT(registry.FindSubject("a"), IsOk());
  // The one that was used last is the next to be taken.
  const std::string last =
      server().Sql("SELECT pid" + ours + " ORDER BY state_change DESC LIMIT 1");
  const std::string others = pids(" AND pid <> " + last);
  ASSERT_EQ(std::count(others.begin(), others.end(), ','), 1);
  server().Sql("SELECT pg_terminate_backend(" + last + ")");
  Until([&] { return pids(" AND pid = " + last).empty(); });
  EXPECT_THAT(registry.FindSubject("a"), IsOk()) << "begun anew on a new one";
  EXPECT_EQ(pids(" AND pid IN (" + others + ")"), others);
  const std::string all = pids("");
  EXPECT_EQ(std::count(all.begin(), all.end(), ','), 2) << "and not more than before";

  // After a restart none of them is any good, and each is found so in its turn.
  server().Stop(SIGKILL);
  server().Start();
  for (int i = 0; i < 5; ++i) EXPECT_THAT(registry.FindSubject("a"), IsOk());
}

TEST_F(PostgresReplicaTest, ANoticeThatIsLostIsFoundByTheNextRenewal) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id);
  server().Sql(
      absl::StrCat("SET search_path = forekey; INSERT INTO changes SELECT max(number) + 1, "
                   "'t', 'credential', decode('",
                   absl::BytesToHexString(id), "', 'hex') FROM changes"));
  ASSERT_THAT(a->registry->AwaitConfirmed(), IsOk());
  EXPECT_TRUE(at_a->revoked());
}

TEST_F(PostgresReplicaTest, WithoutTheDatabaseTheLeaseEndsAndIsBackWithoutARestart) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id);
  EXPECT_TRUE(a->Holds());
  server().Stop(SIGKILL);
  Until([&] { return !a->Holds(); });
  EXPECT_THAT(a->credentials->Revoke(id, "", TestNow()), RefusedWith(Reason::kStoreUnavailable));
  server().Start();
  Until([&] { return a->Holds(); });
  EXPECT_FALSE(at_a->revoked()) << "what was not acknowledged";
  ASSERT_THAT(a->credentials->Revoke(id, "", TestNow()), IsOk());
  EXPECT_THAT(a->registry->AwaitConfirmed(), IsOk());
}

TEST_F(PostgresReplicaTest, ADatabaseThatStandsStillRenewsNothing) {
  auto a = Join("a");
  server().Freeze();
  Until([&] { return !a->Holds(); });
  server().Continue();
  Until([&] { return a->Holds(); });
}

TEST_F(PostgresReplicaTest, AnotherHistoryIsNoticedAndEverythingReadAgain) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice"), gone = Enrol(*a, "z", "zoe");
  const auto at_a = Find(*a, id), zoe = Find(*a, gone);
  // As after a failover that lost the last changes: numbers that were used begin anew, with other
  // changes behind them.
  server().Sql(absl::StrCat(
      "SET search_path = forekey; BEGIN; UPDATE changes SET token = 'other'; UPDATE credentials "
      "SET "
      "revoked_at = 1; DELETE FROM invites; DELETE FROM credentials WHERE id = decode('",
      absl::BytesToHexString(gone), "', 'hex'); COMMIT"));
  Until([&] { return at_a->revoked() && zoe->revoked(); });
  Until([&] { return a->Holds(); });
}

TEST_F(PostgresReplicaTest, AHistoryThatForgotADisablingEndsWhatTheSubjectHasOpen) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice"), other = Enrol(*a, "y", "bob");
  const auto at_a = Find(*a, id), bob = Find(*a, other);
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(a->credentials->SetDisabled("alice", true), IsOk());
    ASSERT_THAT(a->credentials->SetDisabled("alice", false), IsOk());
  }
  ASSERT_EQ(at_a->subject().sessions_epoch(), 2u);
  // The second of them is lost.
  server().Sql(
      "SET search_path = forekey; BEGIN; UPDATE changes SET token = 'other'; UPDATE subjects SET "
      "sessions_epoch = 1 WHERE name = 'alice'; COMMIT");
  Until([&] { return at_a->subject().sessions_epoch() == 3; });
  EXPECT_EQ(a->registry->FindSubject("alice")->sessions_epoch, 3u)
      << "nor is a ticket of either history good anywhere";
  EXPECT_EQ(bob->subject().sessions_epoch(), 0u);
  Until([&] { return a->Holds(); });
  ASSERT_THAT(a->credentials->SetDisabled("alice", true), IsOk());
  EXPECT_EQ(at_a->subject().sessions_epoch(), 4u) << "the next one does not go unnoticed";
}

// Notes at each page how often its replica was heard of.
class WatchedRegistry final : public ForwardingRegistry {
 public:
  using ForwardingRegistry::ForwardingRegistry;
  absl::StatusOr<std::vector<std::string>> FindUnrevoked(
      absl::Span<const std::string> ids) override {
    absl::MutexLock lock(&mutex_);
    renewals_.push_back(TestPostgres().Sql("SELECT max(renewals) FROM forekey.replicas"));
    return ForwardingRegistry::FindUnrevoked(ids);
  }
  absl::StatusOr<CredentialRecord> FindCredential(absl::string_view id) override {
    ++finds;
    return ForwardingRegistry::FindCredential(id);
  }
  std::vector<std::string> renewals() {
    absl::MutexLock lock(&mutex_);
    return renewals_;
  }
  std::atomic<int> finds{0};

 private:
  absl::Mutex mutex_;
  std::vector<std::string> renewals_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(PostgresReplicaTest, WhoHasManyCredentialsReadsThemInPagesAndIsHeardOfMeanwhile) {
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  Enrol(a, "x", "alice");
  server().Sql(
      "SET search_path = forekey; INSERT INTO credentials (id, subject_id, spki_sha256, kind, "
      "algorithm, sign_count, enrolled_at, revocation_note, spki, label, factors, rp_id, origin, "
      "proved_json, evidence) SELECT sha256(number::text::bytea), subject_id, "
      "sha256(('k' || number)::bytea), kind, algorithm, sign_count, enrolled_at, revocation_note, "
      "spki, label, factors, rp_id, origin, proved_json, evidence FROM credentials, "
      "generate_series(1, 1100) AS number");
  const auto watched = std::make_shared<WatchedRegistry>(a.registry);
  a.credentials = std::make_unique<LiveCredentials>(watched);
  std::string after;
  for (;;) {
    const auto ids = a.registry->ListLiveCredentialIds(after, 500).value();
    if (ids.empty()) break;
    for (const std::string& id : ids) Find(a, id);
    after = ids.back();
  }
  const int finds = watched->finds;
  server().Sql(
      "UPDATE forekey.credentials SET revoked_at = 1 WHERE id = sha256('1000'::text::bytea)");
  PostgresReplicaOptions options;
  options.name = "a";
  options.lease = absl::Seconds(1);
  auto replica = PostgresReplica::Join(std::move(options), *a.registry, *a.credentials, a.lease,
                                       Clock::System());
  ASSERT_THAT(replica, IsOk());
  a.replica = *std::move(replica);
  const std::vector<std::string> renewals = watched->renewals();
  EXPECT_EQ(renewals.size(), 1101 / LiveCredentials::kFollowPage + 1);
  for (size_t i = 1; i < renewals.size(); ++i) {
    EXPECT_GT(std::stoi(renewals[i]), std::stoi(renewals[i - 1]));
  }
  EXPECT_EQ(watched->finds, finds) << "not one by one";
  int revoked = 0;
  const std::vector<CredentialRecord> all = a.registry->ListCredentials("alice").value();
  for (const CredentialRecord& one : all) {
    const bool found_revoked = Find(a, one.id)->revoked();
    EXPECT_EQ(found_revoked, one.revoked_at.has_value());
    revoked += found_revoked;
  }
  EXPECT_EQ(revoked, 1);
}

class StuckRegistry final : public ForwardingRegistry {
 public:
  using ForwardingRegistry::ForwardingRegistry;
  absl::Status SetRoles(absl::string_view subject, const std::vector<std::string>& roles,
                        ChangePosition* made) override {
    asked.Notify();
    go_on.WaitForNotification();
    return ForwardingRegistry::SetRoles(subject, roles, made);
  }
  absl::Notification asked, go_on;
};

TEST_F(PostgresReplicaTest, AChangeThatWaitsHoldsUpNoFollowing) {
  auto registry = PostgresRegistry::Open(server().Url(), {1, absl::Minutes(1)});
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  const auto stuck = std::make_shared<StuckRegistry>(a.registry);
  a.credentials = std::make_unique<LiveCredentials>(stuck);
  const std::string alice = Enrol(a, "x", "alice"), bob = Enrol(a, "y", "bob");
  const auto at_a = Find(a, bob);
  PostgresReplicaOptions options;
  options.name = "a";
  options.lease = absl::Seconds(1);
  auto replica = PostgresReplica::Join(std::move(options), *a.registry, *a.credentials, a.lease,
                                       Clock::System());
  ASSERT_THAT(replica, IsOk());
  a.replica = *std::move(replica);
  // Another gate has the lock of changes, and tells of one.
  auto other =
      PostgresConnection::Open(server().Url("&user=forekey&application_name=test"),
                               PostgresConnection::Role::kOwner, Deadline::In(absl::Minutes(1)));
  ASSERT_THAT(other, IsOk());
  const auto run = [&](const std::string& sql) {
    EXPECT_THAT((*other)->Execute(sql, Deadline::In(absl::Minutes(1))), IsOk());
  };
  run(absl::StrCat("SELECT pg_advisory_lock(", kPostgresLockClass, ", ",
                   static_cast<int>(PostgresLock::kChanges), ")"));
  // Of this gate one change is under way, and another has the connection and waits for the lock.
  std::thread under_way([&] { EXPECT_THAT(a.credentials->SetRoles("alice", {"new"}), IsOk()); });
  std::atomic<bool> over{false};
  std::thread waiting([&] {
    while (!over) (void)a.registry->SetRoles("alice", {"newer"});
  });
  stuck->asked.WaitForNotification();
  Until([] {
    return server().Sql(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1";
  });
  run("UPDATE subjects SET disabled = 1, sessions_epoch = 1 WHERE name = 'bob'; INSERT INTO "
      "changes SELECT max(number) + 1, 't', 'subject', 'bob' FROM changes");
  Until([&] { return at_a->subject().disabled(); });
  Until([&] { return a.Holds(); });
  over = true;
  run(absl::StrCat("SELECT pg_advisory_unlock(", kPostgresLockClass, ", ",
                   static_cast<int>(PostgresLock::kChanges), ")"));
  waiting.join();
  stuck->go_on.Notify();
  under_way.join();
}

TEST_F(PostgresReplicaTest, ARenewalThatExtendsNothingIsAnErrorThatIsTold) {
  absl::Mutex mutex;
  std::string told;
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  a.credentials = std::make_unique<LiveCredentials>(a.registry);
  PostgresReplicaOptions options;
  options.name = "a";
  options.lease = absl::Seconds(1);
  options.trouble = [&](const std::string& error) {
    absl::MutexLock lock(&mutex);
    told = error;
  };
  auto replica = PostgresReplica::Join(std::move(options), *a.registry, *a.credentials, a.lease,
                                       Clock::System());
  ASSERT_THAT(replica, IsOk());
  a.replica = *std::move(replica);
  server().Sql(
      "CREATE FUNCTION forekey.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; "
      "END'; CREATE TRIGGER nothing BEFORE INSERT OR UPDATE ON forekey.replicas FOR EACH ROW "
      "EXECUTE FUNCTION forekey.nothing()");
  const auto has_told = [&](absl::string_view what) {
    absl::MutexLock lock(&mutex);
    return what.empty() ? told.empty() : absl::StrContains(told, what);
  };
  Until([&] { return has_told("row is gone"); });
  Until([&] { return !a.Holds(); });
  server().Sql("DROP TRIGGER nothing ON forekey.replicas");
  Until([&] { return has_told(""); });
  EXPECT_TRUE(a.Holds());
  a.replica.reset();
}

TEST_F(PostgresReplicaTest, OneWhoseRowWasTakenAwayComesBackByItself) {
  auto a = Join("a");
  const std::string id = Enrol(*a, "x", "alice");
  const auto at_a = Find(*a, id);
  server().Sql("DELETE FROM forekey.replicas");
  Until([&] { return server().Sql("SELECT max(seen) >= 0 FROM forekey.replicas") == "t"; });
  ASSERT_THAT(a->credentials->Revoke(id, "", TestNow()), IsOk());
  auto confirmed = a->registry->AwaitConfirmed();
  ASSERT_THAT(confirmed, IsOk());
  EXPECT_THAT(Names(*confirmed, true), ElementsAre("a"));
}

TEST_F(PostgresReplicaTest, AnOutageIsHeldAgainstNoOtherReplica) {
  FakeClock clock;
  auto a = Join("a", absl::Seconds(3), clock);
  server().Sql(
      "INSERT INTO forekey.replicas (id, name, lease, seen) VALUES "
      "(decode(repeat('07', 16), 'hex'), 'other', 3000000000, -1)");
  const auto await_looks = [&] {
    // It looks after the others at the end of each round, so a second one saw the row.
    const std::string renewals = "SELECT renewals FROM forekey.replicas WHERE name = 'a'";
    const int64_t now = std::stoll(server().Sql(renewals));
    Until([&] { return std::stoll(server().Sql(renewals)) >= now + 3; });
  };
  const std::string others = "SELECT count(*) FROM forekey.replicas WHERE name = 'other'";
  await_looks();
  server().Stop(SIGKILL);
  clock.Advance(absl::Seconds(10));
  server().Start();
  Until([&] { return a->lease.Holds(clock.BootNow()); });
  await_looks();
  EXPECT_EQ(server().Sql(others), "1") << "it may be on its way back, too";
  clock.Advance(absl::Seconds(10));
  Until([&] { return server().Sql(others) == "0"; });
}

TEST_F(PostgresReplicaTest, OneThatStoppedIsNotWaitedForAndOneThatWasKilledOnlyOnce) {
  auto a = Join("a");
  { auto b = Join("b", absl::Hours(1)); }
  EXPECT_THAT(a->registry->ListReplicas().value(), SizeIs(1));
  server().Sql(
      "INSERT INTO forekey.replicas (id, name, lease, seen) VALUES "
      "(decode(repeat('07', 16), 'hex'), 'killed', 300000000, -1)");
  auto confirmed = a->registry->AwaitConfirmed();
  ASSERT_THAT(confirmed, IsOk());
  Until([&] { return a->registry->ListReplicas().value().size() == 1; });
}

// A process that can be stopped.
class HelperReplica {
 public:
  HelperReplica(const std::string& name, int lease_ms, const std::string& credential) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) abort();
    const std::string program = std::string(FOREKEY_BIN) + "/forekey_replica_helper",
                      url = TestPostgres().Url(), lease = std::to_string(lease_ms),
                      id = absl::BytesToHexString(credential);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      execl(program.c_str(), program.c_str(), url.c_str(), lease.c_str(), name.c_str(), id.c_str(),
            nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = to[1];
    from_ = from[0];
  }
  ~HelperReplica() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(to_);
    close(from_);
  }
  void Signal(int number) { kill(pid_, number); }
  std::string Ask() {
    EXPECT_EQ(write(to_, "?", 1), 1);
    std::string line;
    for (char byte; read(from_, &byte, 1) == 1 && byte != '\n';) line.push_back(byte);
    return line;
  }

 private:
  pid_t pid_;
  int to_, from_;
};

TEST_F(PostgresReplicaTest, OneThatIsStoppedForLongerThanItsLeaseAdmitsNothingOldAfterwards) {
  auto a = Join("a");
  for (int round = 0; round < 2; ++round) {
    const std::string id = Enrol(*a, absl::StrCat("x", round), "alice");
    HelperReplica frozen("frozen", 1000, id);
    Until([&] { return frozen.Ask() == "holds good"; });  // a busy machine renews late
    frozen.Signal(SIGSTOP);
    ASSERT_THAT(a->credentials->Revoke(id, "", TestNow()), IsOk());
    auto held = a->registry->AwaitConfirmed();
    ASSERT_THAT(held, IsOk());
    EXPECT_THAT(Names(*held, true), ElementsAre("a"));
    EXPECT_THAT(Names(*held, false), Contains("frozen"));
    frozen.Signal(SIGCONT);
    for (std::string said; (said = frozen.Ask()) != "holds revoked";) {
      ASSERT_NE(said, "holds good") << "a call that was admitted after the revocation was told";
    }
  }
}

// It was stopped while the identity was rotated, and its maintenance wakes before its replica does.
TEST_F(PostgresReplicaTest, WhoseIdentityWasRotatedChangesNoKeysOfTickets) {
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  ASSERT_THAT((*registry)->Claim({"gate.test", Bytes32("one")}), IsOk());
  EXPECT_EQ((*registry)->SwapTicketState(0, "keys of one").value(), true);
  server().Sql("UPDATE forekey.gate SET identity = sha256(identity)");
  EXPECT_THAT((*registry)->SwapTicketState(1, "keys of one, anew"),
              RefusedWith(Reason::kStoreUnavailable));
  const auto state = (*registry)->FindTicketState();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->sealed, "keys of one");
}

// The identity was rotated while it was cut off, and its row was taken away.
TEST_F(PostgresReplicaTest, OneThatComesBackAfterTheIdentityWasRotatedGivesUpForGood) {
  absl::Mutex mutex;
  std::vector<std::string> told;
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  a.credentials = std::make_unique<LiveCredentials>(a.registry);
  PostgresReplicaOptions options;
  options.name = "a";
  options.lease = absl::Seconds(1);
  options.owner = {"gate.test", Bytes32("one")};
  options.trouble = [&](const std::string& error) {
    absl::MutexLock lock(&mutex);
    told.push_back(error);
  };
  const auto join = [&] {
    return PostgresReplica::Join(options, *a.registry, *a.credentials, a.lease, Clock::System());
  };
  ASSERT_THAT(a.registry->Claim(*options.owner), IsOk());
  auto replica = join();
  ASSERT_THAT(replica, IsOk());
  a.replica = *std::move(replica);
  ASSERT_TRUE(a.Holds());
  ASSERT_THAT(a.registry->FindTicketState(), IsOk());
  server().Sql(
      "SET search_path = forekey; DELETE FROM replicas; UPDATE gate SET identity = "
      "sha256(identity)");
  const auto gave_up = [&] {
    absl::MutexLock lock(&mutex);
    return !told.empty();
  };
  Until(gave_up);
  EXPECT_FALSE(a.Holds());
  EXPECT_THAT(told.back(), HasSubstr("belongs to the gate gate.test with the identity"));
  EXPECT_THAT(a.registry->FindTicketState(), RefusedWith(Reason::kStoreUnavailable))
      << "or the keys of the others' tickets would be made anew";
  EXPECT_THAT(a.registry->SetRoles("alice", {}), RefusedWith(Reason::kStoreUnavailable));
  // Not even where it is put back: the thread is gone, and nothing wakes it.
  server().Sql(absl::StrCat("UPDATE forekey.gate SET identity = decode('",
                            absl::BytesToHexString(Bytes32("one")),
                            "', 'hex'); NOTIFY forekey_changes"));
  Bell never;
  never.Await(absl::Seconds(1));
  EXPECT_FALSE(a.Holds());
  EXPECT_EQ(server().Sql("SELECT count(*) FROM forekey.replicas"), "0");
  EXPECT_EQ(told.size(), 1u);
}

// What an old primary says of the identity is not believed for good.
TEST_F(PostgresReplicaTest, AServerThatLacksTheLastKnownChangeIsAskedAgainWhoseRegistryItIs) {
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  Replica a;
  a.registry = *std::move(registry);
  a.credentials = std::make_unique<LiveCredentials>(a.registry);
  PostgresReplicaOptions options;
  options.lease = absl::Seconds(1);
  options.owner = {"gate.test", Bytes32("one")};
  ASSERT_THAT(a.registry->Claim(*options.owner), IsOk());
  auto replica =
      PostgresReplica::Join(options, *a.registry, *a.credentials, a.lease, Clock::System());
  ASSERT_THAT(replica, IsOk());
  a.replica = *std::move(replica);
  const std::string token = server().Sql("SELECT encode(token, 'hex') FROM forekey.changes");
  server().Sql(
      "SET search_path = forekey; DELETE FROM replicas; UPDATE changes SET token = 'other'; UPDATE "
      "gate SET identity = sha256(identity)");
  Until([&] { return !a.Holds(); });
  EXPECT_EQ(server().Sql("SELECT count(*) FROM forekey.replicas"), "0");
  server().Sql(absl::StrCat("SET search_path = forekey; UPDATE changes SET token = decode('", token,
                            "', 'hex'); UPDATE gate SET identity = decode('",
                            absl::BytesToHexString(Bytes32("one")), "', 'hex')"));
  Until([&] { return a.Holds(); });
}

TEST_F(PostgresReplicaTest, OneRegistryIsOfOneGateWithOneIdentity) {
  auto registry = PostgresRegistry::Open(server().Url());
  ASSERT_THAT(registry, IsOk());
  EXPECT_EQ((*registry)->FindOwner().value(), std::nullopt);
  EXPECT_THAT((*registry)->Claim({"gate.test", Bytes32("one")}), IsOk());
  EXPECT_THAT((*registry)->Claim({"gate.test", Bytes32("one")}), IsOk());
  for (const PostgresRegistry::Owner& other :
       {PostgresRegistry::Owner{"gate.test", Bytes32("two")},
        PostgresRegistry::Owner{"other.test", Bytes32("one")}}) {
    EXPECT_EQ((*registry)->Claim(other).code(), absl::StatusCode::kFailedPrecondition);
  }
  {
    auto running = Join("a");
    EXPECT_EQ((*registry)->ReplaceIdentity({"gate.test", Bytes32("two")}).code(),
              absl::StatusCode::kFailedPrecondition);
  }
  server().Sql(
      "INSERT INTO forekey.replicas (id, name, lease, seen) VALUES "
      "(decode(repeat('07', 16), 'hex'), 'killed', 300000000, -1)");
  EXPECT_THAT((*registry)->ReplaceIdentity({"gate.test", Bytes32("two")}), IsOk());
  EXPECT_EQ((*registry)->FindOwner().value()->identity, Bytes32("two"));
}

}  // namespace
}  // namespace forekey
