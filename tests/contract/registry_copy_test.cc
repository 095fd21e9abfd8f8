// SPDX-License-Identifier: Apache-2.0
// A registry moves between stores whole or not at all.
#include "src/store/registry_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/store/postgres/postgres_copy.h"
#include "src/store/sqlite_copy.h"
#include "tests/contract/registry_stores.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::HasSubstr;

class RegistryCopyTest : public ::testing::Test {
 protected:
  RegistryCopyTest() { TestPostgres().Reset(); }
  std::string File(const std::string& name) const { return folder_.File(name); }
  static absl::Status Copy(absl::StatusOr<std::unique_ptr<SqliteCopyEnd>> from,
                           absl::StatusOr<std::unique_ptr<PostgresCopyEnd>> to) {
    if (!from.ok() || !to.ok()) return from.ok() ? to.status() : from.status();
    return CopyRegistry(**from, **to).status();
  }
  // Something in every table and column, the odd bytes included.
  static void Fill(Registry& registry) {
    CredentialRecord credential = MakeCredential("a", "alice");
    credential.device_id = Bytes32("device");
    credential.evidence = std::string("\0evidence\xff", 10);
    credential.label = "Größe '; --";
    ASSERT_THAT(EnrollNew(registry, credential, {"ops", "admin"}), IsOk());
    ASSERT_THAT(EnrollNew(registry, MakeCredential("b", "bob")), IsOk());
    InviteRecord recovery = MakeInvite("r", "alice");
    recovery.replaces_credential = credential.id;
    recovery.kinds = {v1::TOKEN_KIND_TPM};
    ASSERT_THAT(registry.AddInvite(recovery), IsOk());
    ASSERT_THAT(registry.SetPasswordHash("alice", "$argon2id$x", TestNow()), IsOk());
    ASSERT_THAT(registry.SetOidcIdentity("bob", {"https://idp", "sub", "7"}, TestNow()), IsOk());
    ASSERT_THAT(registry.UseIdToken({Bytes32("t"), TestNow() + absl::Minutes(5), TestNow()}),
                IsOk());
    ASSERT_THAT(registry.TakeFactorTry({{credential.id}, "password", 3, absl::Hours(1), TestNow()}),
                IsOk());
    ASSERT_THAT(registry.AdvanceSignCount(credential.id, 4294967295u), IsOk());
    ASSERT_THAT(registry.RevokeCredential(MakeCredential("b", "bob").id, "lost", TestNow()),
                IsOk());
    ASSERT_THAT(registry.SetDisabled("bob", true), IsOk());
    Registry::FamilyStep step;
    step.family = std::string("family\0\xff", 8) + "12345678";
    step.ends_at = TestNow() + absl::Hours(1);
    step.now = step.ticket_made = step.ended_at = TestNow();
    step.subject = "alice";
    ASSERT_THAT(registry.AdvanceFamily(step), IsOk());
    step.family[0] = 'F';
    step.most = 0;  // so that all tickets of before are void
    ASSERT_THAT(registry.EndFamily(step), IsOk());
    ASSERT_THAT(registry.SwapTicketState(0, std::string("keys\0\xff", 6)), IsOk());
  }

  TempFolder folder_;
};

TEST_F(RegistryCopyTest, EveryRowComesOverAndBackAndCountsThereAsItDidHere) {
  Fill(**OpenSqliteRegistry(File("a.db")));
  {
    auto from = SqliteCopyEnd::Open(File("a.db"));
    auto to = PostgresCopyEnd::Open(TestPostgres().Url());
    ASSERT_THAT(from, IsOk());
    ASSERT_THAT(to, IsOk());
    auto copied = CopyRegistry(**from, **to);
    ASSERT_THAT(copied, IsOk());
    for (const CopiedTable& table : *copied) EXPECT_GT(table.rows, 0u) << table.name;
  }
  {
    auto shared = PostgresRegistry::Open(TestPostgres().Url());
    ASSERT_THAT(shared, IsOk());
    const std::string id = MakeCredential("a", "alice").id;
    EXPECT_THAT((*shared)->AdvanceSignCount(id, 4294967295u),
                RefusedWith(Reason::kCounterRollback));
    EXPECT_THAT((*shared)->UseIdToken({Bytes32("t"), TestNow(), TestNow()}),
                RefusedWith(Reason::kIdTokenReplayed));
    EXPECT_EQ(*(*shared)->FindPasswordHash("alice"), "$argon2id$x");
    EXPECT_THAT(EnrollNew(**shared, MakeCredential("c", "carol")), IsOk()) << "ids go on";
  }
  {
    auto from = PostgresCopyEnd::Open(TestPostgres().Url());
    auto to = SqliteCopyEnd::Open(File("b.db"));
    ASSERT_THAT(from, IsOk());
    ASSERT_THAT(to, IsOk());
    ASSERT_THAT(CopyRegistry(**from, **to), IsOk());
  }
  auto back = OpenSqliteRegistry(File("b.db"));
  ASSERT_THAT(back, IsOk());
  const auto found = (*back)->FindCredential(MakeCredential("a", "alice").id);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->evidence, std::string("\0evidence\xff", 10));
  EXPECT_EQ((*back)->FindCredential(MakeCredential("b", "bob").id)->revocation_note, "lost");
  EXPECT_THAT((*back)->FindCredential(MakeCredential("c", "carol").id), IsOk());
}

TEST_F(RegistryCopyTest, NothingIsCopiedOverWhatIsThere) {
  Fill(**OpenSqliteRegistry(File("a.db")));
  {
    auto shared = PostgresRegistry::Open(TestPostgres().Url());
    ASSERT_THAT(shared, IsOk());
    ASSERT_THAT((*shared)->AddInvite(MakeInvite("x", "xenia")), IsOk());
  }
  EXPECT_THAT(Copy(SqliteCopyEnd::Open(File("a.db")), PostgresCopyEnd::Open(TestPostgres().Url())),
              HasCode(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(TestPostgres().Sql("SELECT count(*) FROM forekey.subjects"), "0");
}

TEST_F(RegistryCopyTest, ARowThatPostgresCannotHoldLeavesNothingBehind) {
  Fill(**OpenSqliteRegistry(File("a.db")));
  RawSql(File("a.db"), "UPDATE credentials SET label = CAST(x'6162ff' AS TEXT)");
  const absl::Status copied =
      Copy(SqliteCopyEnd::Open(File("a.db")), PostgresCopyEnd::Open(TestPostgres().Url()));
  EXPECT_THAT(copied, HasCode(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(copied.message()), HasSubstr("a row of credentials"));
  EXPECT_EQ(TestPostgres().Sql("SELECT count(*) FROM forekey.subjects"), "0");
}

TEST_F(RegistryCopyTest, ARowThatBecomesAnotherIsFound) {
  Fill(**OpenSqliteRegistry(File("a.db")));
  auto from = SqliteCopyEnd::Open(File("a.db"));
  auto to = PostgresCopyEnd::Open(TestPostgres().Url());
  ASSERT_THAT(from, IsOk());
  ASSERT_THAT(to, IsOk());
  to->reset();
  TestPostgres().Sql(
      "CREATE FUNCTION forekey.bends() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.disabled = "
      "0; RETURN NEW; END $$; CREATE TRIGGER bends BEFORE INSERT ON forekey.subjects FOR EACH ROW "
      "EXECUTE FUNCTION forekey.bends()");
  to = PostgresCopyEnd::Open(TestPostgres().Url());
  ASSERT_THAT(to, IsOk());
  const absl::Status copied = CopyRegistry(**from, **to).status();
  EXPECT_THAT(copied, HasCode(absl::StatusCode::kDataLoss));
  EXPECT_THAT(std::string(copied.message()), HasSubstr("of subjects"));
  to->reset();
  EXPECT_EQ(TestPostgres().Sql("SELECT count(*) FROM forekey.subjects"), "0");
}

TEST_F(RegistryCopyTest, NeitherEndMayHaveAGate) {
  auto held = OpenSqliteRegistry(File("a.db"));
  ASSERT_THAT(held, IsOk());
  EXPECT_THAT(SqliteCopyEnd::Open(File("a.db")), RefusedWith(Reason::kStoreUnavailable));
  ASSERT_THAT(PostgresRegistry::Open(TestPostgres().Url()), IsOk());
  // One that is gone is waited for; one that renews itself meanwhile is not gone.
  TestPostgres().Sql(
      "INSERT INTO forekey.replicas (id, name, lease, seen) VALUES "
      "(decode(repeat('07', 16), 'hex'), 'gone', 50000000, 0)");
  EXPECT_THAT(PostgresCopyEnd::Open(TestPostgres().Url()), IsOk());
  EXPECT_EQ(TestPostgres().Sql("SELECT count(*) FROM forekey.replicas"), "0");
}

}  // namespace
}  // namespace forekey
