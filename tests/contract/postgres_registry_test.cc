// SPDX-License-Identifier: Apache-2.0
// What is PostgreSQL's alone: opening, the schema, roles, retries, two programs at once, and a
// server that goes away.
#include "src/store/postgres/postgres_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "src/store/postgres/postgres_schema.h"
#include "tests/contract/registry_stores.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::HasSubstr;
using ::testing::Not;

class PostgresRegistryTest : public ::testing::Test {
 protected:
  PostgresRegistryTest() { server().Reset(); }
  static PostgresServer& server() { return TestPostgres(); }
  static std::unique_ptr<PostgresRegistry> Open(const PostgresRegistryOptions& options = {
                                                    .callers_time = true}) {
    auto opened = PostgresRegistry::Open(server().Url(), options);
    EXPECT_THAT(opened, IsOk());
    return opened.ok() ? *std::move(opened) : nullptr;
  }
};

TEST_F(PostgresRegistryTest, AReplicaWhoseClockIsWrongForgetsNothingForTheOthers) {
  auto registry = Open(PostgresRegistryOptions());
  const CredentialRecord x = MakeKeyedCredential("x", "alice");
  ASSERT_THAT(EnrollNew(*registry, x), IsOk());
  const absl::Time now = registry->FindTicketState()->store_time.value();
  const auto has_try = [&](absl::Duration off) {
    return registry->TakeFactorTry({{x.id}, "password", 2, absl::Minutes(15), now + off}).value();
  };
  EXPECT_TRUE(has_try(-absl::Hours(1)));
  EXPECT_TRUE(has_try(absl::ZeroDuration()));
  for (const absl::Duration off : {absl::Hours(1), -absl::Hours(1), absl::ZeroDuration()}) {
    EXPECT_FALSE(has_try(off));
  }
  const auto use = [&](const std::string& name, absl::Duration off) {
    return registry->UseIdToken({Bytes32(name), now + absl::Minutes(5), now + off, 1000});
  };
  EXPECT_THAT(use("a", absl::ZeroDuration()), IsOk());
  EXPECT_THAT(use("b", absl::Hours(24)), IsOk());
  EXPECT_THAT(use("a", absl::ZeroDuration()), RefusedWith(Reason::kIdTokenReplayed));
  // By a clock that is two hours behind it is good; it may have been used, and forgotten.
  const auto use_old = [&](absl::Duration age) {
    return registry->UseIdToken(
        {Bytes32(absl::FormatDuration(age)), now - age, now - absl::Hours(2), 1000});
  };
  EXPECT_THAT(use_old(absl::Minutes(59)), IsOk());
  EXPECT_THAT(use_old(absl::Minutes(61)), RefusedWith(Reason::kIdTokenExpired));
}

TEST_F(PostgresRegistryTest, AUrlHoldsNoPasswordAndNamesNoStandby) {
  for (const char* url : {"postgresql://gate:hunter2@db/forekey", "postgres:///f?password=hunter2",
                          "postgresql:///f?sslpassword=hunter2"}) {
    const absl::Status checked = CheckPostgresUrl(url);
    EXPECT_THAT(checked, HasCode(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(checked.message()), HasSubstr("passfile"));
    EXPECT_THAT(std::string(checked.message()), Not(HasSubstr("hunter2")));
    const absl::Status opened = PostgresRegistry::Open(url).status();
    EXPECT_THAT(opened, RefusedWith(Reason::kStoreUnavailable));
    EXPECT_THAT(opened.ToString(), Not(HasSubstr("hunter2")));
  }
  for (const char* url : {"mysql://db", "postgresql://%zz:hunter2@db", "postgresql:///f?nonsense=1",
                          "postgresql:///f?target_session_attrs=any"}) {
    const absl::Status checked = CheckPostgresUrl(url);
    EXPECT_THAT(checked, HasCode(absl::StatusCode::kInvalidArgument)) << url;
    EXPECT_THAT(std::string(checked.message()), Not(HasSubstr("hunter2")));
  }
  EXPECT_THAT(CheckPostgresUrl("postgresql://gate@a,b/forekey?sslmode=verify-full"), IsOk());
}

TEST_F(PostgresRegistryTest, APasswordFromAFileIsInNoErrorAndNoLog) {
  server().Sql("DROP ROLE IF EXISTS guarded; CREATE ROLE guarded LOGIN PASSWORD 'right-one'");
  TempFolder folder;
  const std::string file = folder.File("pgpass");
  FILE* pgpass = fopen(file.c_str(), "w");
  fputs("*:*:*:guarded:wrong-hunter2\n", pgpass);
  fclose(pgpass);
  chmod(file.c_str(), 0600);
  server().Sql("ALTER SYSTEM SET hba_file = '" + server().folder() + "/scram.conf'");
  FILE* hba = fopen((server().folder() + "/scram.conf").c_str(), "w");
  fputs("local all guarded scram-sha-256\nlocal all all trust\n", hba);
  fclose(hba);
  chmod((server().folder() + "/scram.conf").c_str(), 0644);
  server().Stop(SIGINT);
  server().Start();
  const absl::Status refused =
      PostgresRegistry::Open(server().Url("&user=guarded&passfile=" + file)).status();
  EXPECT_THAT(refused, RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(refused.ToString(), HasSubstr("password authentication failed"));
  EXPECT_THAT(refused.ToString(), Not(HasSubstr("hunter2")));
  EXPECT_THAT(server().Log(), Not(HasSubstr("hunter2")));
}

TEST_F(PostgresRegistryTest, OfManyThatStartAtOnceOneMakesTheSchema) {
  std::atomic<int> opened{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] { opened += PostgresRegistry::Open(server().Url()).ok(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(opened, 6);
}

TEST_F(PostgresRegistryTest, ANewerOrForeignSchemaIsRefusedAndLeftAlone) {
  Open();
  server().Sql("UPDATE forekey.registry_schema SET version = 999");
  const absl::Status newer = PostgresRegistry::Open(server().Url()).status();
  EXPECT_THAT(newer, RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(newer.ToString(), HasSubstr("version 999"));
  server().Reset();
  server().Sql("CREATE SCHEMA forekey; CREATE TABLE forekey.theirs (x int)");
  const absl::Status foreign = PostgresRegistry::Open(server().Url()).status();
  EXPECT_THAT(foreign, RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(foreign.ToString(), HasSubstr("not a registry's"));
}

TEST_F(PostgresRegistryTest, AMigrationThatFailsLeavesTheVersionBefore) {
  std::vector<const char*> steps(PostgresSchemaSteps().begin(), PostgresSchemaSteps().end());
  auto connection = PostgresConnection::Open(server().Url(), PostgresConnection::Role::kOwner,
                                             Deadline::In(absl::Seconds(10)));
  ASSERT_THAT(connection, IsOk());
  const Deadline deadline = Deadline::In(absl::Seconds(30));
  ASSERT_THAT(MigratePostgresSchema(**connection, steps, deadline), IsOk());
  steps.push_back("CREATE TABLE half (x bigint)");
  steps.push_back("CREATE TABLE half (x bigint)");
  EXPECT_THAT(MigratePostgresSchema(**connection, steps, deadline),
              RefusedWith(Reason::kStoreUnavailable));
  EXPECT_EQ(server().Sql("SELECT to_regclass('forekey.half') IS NULL"), "t");
  steps.pop_back();
  EXPECT_THAT(MigratePostgresSchema(**connection, steps, deadline), IsOk());
  EXPECT_EQ(server().Sql("SELECT version FROM forekey.registry_schema"),
            std::to_string(steps.size()));
  EXPECT_THAT(PostgresRegistry::Open(server().Url()), RefusedWith(Reason::kStoreUnavailable))
      << "this program does not know the step";
}

TEST_F(PostgresRegistryTest, TheGatesRoleNeedsToChangeRowsAndNoMore) {
  server().Sql("DROP ROLE IF EXISTS gate; CREATE ROLE gate LOGIN");
  const std::string as_gate = server().Url("&user=gate");
  const absl::Status unprepared = PostgresRegistry::Open(as_gate).status();
  EXPECT_THAT(unprepared, RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(unprepared.ToString(), HasSubstr("registry prepare"));
  Open();
  auto owner = PostgresConnection::Open(server().Url(), PostgresConnection::Role::kOwner,
                                        Deadline::In(absl::Seconds(10)));
  ASSERT_THAT(owner, IsOk());
  ASSERT_THAT(GrantPostgresRights(**owner, "gate", Deadline::In(absl::Seconds(10))), IsOk());
  auto registry = PostgresRegistry::Open(as_gate);
  ASSERT_THAT(registry, IsOk());
  EXPECT_THAT(EnrollNew(**registry, MakeCredential("a", "alice"), {"r"}), IsOk());
  const std::string id = MakeCredential("a", "alice").id;
  EXPECT_THAT((*registry)->SetPasswordHash("alice", "$hash", TestNow()), IsOk());
  EXPECT_THAT((*registry)->TakeFactorTry({{id}, "password", 3, absl::Hours(1), TestNow()}), IsOk());
  EXPECT_THAT((*registry)->RevokeSubject("alice", "", TestNow()), IsOk());
  auto connection = PostgresConnection::Open(as_gate, PostgresConnection::Role::kGate,
                                             Deadline::In(absl::Seconds(10)));
  ASSERT_THAT(connection, IsOk());
  for (const char* sql : {"DROP TABLE credentials", "CREATE TABLE mine (x int)",
                          "TRUNCATE credentials", "UPDATE registry_schema SET version = 0"}) {
    EXPECT_THAT((*connection)->Execute(sql, Deadline::In(absl::Seconds(10))),
                RefusedWith(Reason::kStoreUnavailable));
    EXPECT_EQ((*connection)->failure(), PostgresConnection::Failure::kForbidden) << sql;
  }
  server().Reset();
  server().Sql("DROP ROLE gate");
}

TEST_F(PostgresRegistryTest, ASerializationFailureIsTriedAgainAndOthersAreNot) {
  auto registry = Open();
  ASSERT_THAT(EnrollNew(*registry, MakeCredential("a", "alice")), IsOk());
  // A sequence is not rolled back: the first two tries fail.
  server().Sql(
      "CREATE SEQUENCE forekey.tries; CREATE FUNCTION forekey.fails() RETURNS trigger LANGUAGE "
      "plpgsql AS $$ BEGIN IF nextval('forekey.tries') <= 2 THEN RAISE EXCEPTION 'no' USING "
      "ERRCODE = '40001'; END IF; RETURN NEW; END $$; CREATE TRIGGER fails BEFORE UPDATE ON "
      "forekey.credentials FOR EACH ROW EXECUTE FUNCTION forekey.fails()");
  EXPECT_EQ(registry->RevokeCredential(MakeCredential("a", "alice").id, "", TestNow()).value(),
            true);
  EXPECT_EQ(server().Sql("SELECT last_value FROM forekey.tries"), "3");
  EXPECT_EQ(server().Sql("SELECT count(*) FROM forekey.changes"), "2") << "told once";
  server().Sql(
      "CREATE OR REPLACE FUNCTION forekey.fails() RETURNS trigger LANGUAGE plpgsql AS $$ "
      "BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'P0001'; END $$");
  EXPECT_THAT(registry->AdvanceSignCount(MakeCredential("a", "alice").id, 7),
              RefusedWith(Reason::kStoreUnavailable));
}

// Each of these is one winner over two programs, not only over two threads of one.
TEST_F(PostgresRegistryTest, TwoReplicasUseAnInviteATokenAndACounterOnce) {
  std::unique_ptr<PostgresRegistry> replicas[] = {Open(), Open()};
  ASSERT_THAT(EnrollNew(*replicas[0], MakeCredential("a", "alice")), IsOk());
  for (int round = 0; round < 20; ++round) {
    const InviteRecord invite = MakeInvite(absl::StrCat("i", round), "bob");
    ASSERT_THAT(replicas[0]->AddInvite(invite), IsOk());
    std::atomic<int> enrolled{0}, used{0}, tokens{0}, replayed{0}, counters{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] {
        const std::string name = absl::StrCat(round, " ", i);
        const absl::Status status =
            replicas[i]->Enroll(MakeEnrollment(invite, MakeCredential(name, "bob")));
        enrolled += status.ok();
        used += ReasonOf(status) == Reason::kInviteUsed;
        const absl::Status token = replicas[i]->UseIdToken(
            {Bytes32(absl::StrCat("token", round)), TestNow() + absl::Minutes(5), TestNow()});
        tokens += token.ok();
        replayed += ReasonOf(token) == Reason::kIdTokenReplayed;
        counters += replicas[i]->AdvanceSignCount(MakeCredential("a", "alice").id, 1 + round).ok();
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(enrolled, 1);
    ASSERT_EQ(used, 1);
    ASSERT_EQ(tokens, 1);
    ASSERT_EQ(replayed, 1);
    ASSERT_EQ(counters, 1);
  }
}

TEST_F(PostgresRegistryTest, KeysAndDevicesAreUniqueOverTwoReplicas) {
  std::unique_ptr<PostgresRegistry> replicas[] = {Open(), Open()};
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> enrolled{0}, exists{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] {
        const std::string subject = absl::StrCat("s", i);
        CredentialRecord credential = MakeCredential(absl::StrCat(round, " ", i), subject);
        // By turns the same key and the same device.
        if (round % 2 == 0) credential.spki = absl::StrCat("key ", round);
        credential.device_id = Bytes32(absl::StrCat("device ", round));
        const absl::Status status = EnrollNew(*replicas[i], credential);
        enrolled += status.ok();
        exists += ReasonOf(status) == Reason::kCredentialExists ||
                  ReasonOf(status) == Reason::kDeviceExists;
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(enrolled, 1);
    ASSERT_EQ(exists, 1);
  }
}

TEST_F(PostgresRegistryTest, TheNumbersOfChangesAreInTheOrderOfCommitsWithoutGaps) {
  std::unique_ptr<PostgresRegistry> replicas[] = {Open(), Open(), Open()};
  ASSERT_THAT(EnrollNew(*replicas[0], MakeCredential("a", "alice")), IsOk());
  std::atomic<bool> over{false};
  // Whoever sees a number sees all that are smaller.
  std::thread looker([&] {
    while (!over) {
      ASSERT_EQ(server().Sql("SELECT count(*) - 1 - max(number) FROM forekey.changes"), "0");
    }
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 30; ++round) {
        ASSERT_THAT(replicas[i]->SetRoles("alice", {absl::StrCat("r", i, "-", round)}), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  over = true;
  looker.join();
  EXPECT_EQ(server().Sql("SELECT max(number) FROM forekey.changes"), "90");
}

TEST_F(PostgresRegistryTest, WhatWasAcknowledgedIsThereAfterAKillAndTheRegistryGoesOn) {
  auto registry = Open();
  std::vector<std::string> acknowledged;
  for (int i = 0; i < 5; ++i) {
    CredentialRecord credential = MakeCredential(absl::StrCat(i), "alice");
    ASSERT_THAT(EnrollNew(*registry, credential), IsOk());
    acknowledged.push_back(credential.id);
  }
  server().Stop(SIGKILL);
  EXPECT_THAT(registry->FindCredential(acknowledged[0]), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(registry->RevokeCredential(acknowledged[0], "", TestNow()),
              RefusedWith(Reason::kStoreUnavailable));
  server().Start();
  for (const std::string& id : acknowledged) EXPECT_THAT(registry->FindCredential(id), IsOk());
  // Connections that died while they were idle are no error of the transaction that finds out.
  server().Stop(SIGKILL);
  server().Start();
  EXPECT_THAT(registry->RevokeCredential(acknowledged[0], "", TestNow()), IsOk());
}

TEST_F(PostgresRegistryTest, AServerThatStandsStillIsAnErrorInTime) {
  auto registry = Open({.connections = 2, .patience = absl::Milliseconds(300)});
  ASSERT_THAT(EnrollNew(*registry, MakeCredential("a", "alice")), IsOk());
  server().Freeze();
  EXPECT_THAT(registry->FindSubject("alice"), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(registry->SetDisabled("alice", true), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_THAT(PostgresRegistry::Open(server().Url(), {.patience = absl::Milliseconds(300)}),
              RefusedWith(Reason::kStoreUnavailable));
  server().Continue();
  auto again = Open();
  EXPECT_FALSE(again->FindSubject("alice")->disabled) << "what was never committed is not done";
}

TEST_F(PostgresRegistryTest, AReplicaThatStandsStillInATransactionHoldsOthersUpForASecondAlone) {
  auto registry = Open();
  ASSERT_THAT(EnrollNew(*registry, MakeCredential("a", "alice")), IsOk());
  auto stuck = PostgresConnection::Open(server().Url(), PostgresConnection::Role::kGate,
                                        Deadline::In(absl::Seconds(10)));
  ASSERT_THAT(stuck, IsOk());
  const Deadline deadline = Deadline::In(absl::Seconds(10));
  ASSERT_THAT((*stuck)->Execute(
                  absl::StrCat("BEGIN; SELECT pg_advisory_xact_lock(", kPostgresLockClass, ", 2)"),
                  deadline),
              IsOk());
  EXPECT_THAT(registry->RevokeCredential(MakeCredential("a", "alice").id, "", TestNow()), IsOk());
  EXPECT_THAT((*stuck)->Execute("COMMIT", deadline), RefusedWith(Reason::kStoreUnavailable));
}

TEST_F(PostgresRegistryTest, TextThatPostgresCannotHoldIsRefusedAsSuch) {
  auto registry = Open();
  CredentialRecord credential = MakeCredential("a", "alice");
  credential.label = std::string("nul\0byte", 8);
  EXPECT_THAT(EnrollNew(*registry, credential), HasCode(absl::StatusCode::kInvalidArgument));
  credential.label = "not \xff UTF-8";
  InviteRecord invite = MakeInvite("of " + credential.id, "alice");
  EXPECT_THAT(registry->Enroll(MakeEnrollment(invite, credential)),
              HasCode(absl::StatusCode::kInvalidArgument));
  credential.label = "Größe ⚿";
  EXPECT_THAT(registry->Enroll(MakeEnrollment(invite, credential)), IsOk());
}

TEST_F(PostgresRegistryTest, AServerThatForgetsIsRefused) {
  server().Sql("ALTER SYSTEM SET fsync = off");
  server().Sql("SELECT pg_reload_conf()");
  absl::Status refused;
  do {  // the server reads its configuration when it comes to it
    refused = PostgresRegistry::Open(server().Url()).status();
  } while (refused.ok());
  EXPECT_THAT(refused.ToString(), HasSubstr("fsync"));
  server().Sql("ALTER SYSTEM RESET fsync");
  server().Stop(SIGINT);
  server().Start();
  server().Sql("ALTER ROLE forekey SET synchronous_commit = off");
  auto connection = PostgresConnection::Open(server().Url(), PostgresConnection::Role::kGate,
                                             Deadline::In(absl::Seconds(10)));
  ASSERT_THAT(connection, IsOk());
  auto rows = (*connection)
                  ->Query("SELECT current_setting('synchronous_commit')", PostgresValues(),
                          Deadline::In(absl::Seconds(10)));
  ASSERT_THAT(rows, IsOk());
  EXPECT_EQ(rows->Bytes(0, 0), "on");
  server().Sql("ALTER ROLE forekey RESET synchronous_commit");
}

}  // namespace
}  // namespace forekey
