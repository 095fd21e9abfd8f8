// SPDX-License-Identifier: Apache-2.0
// The registry's file: who may read it, who holds it, what a full disk, a damaged file, another
// version or a read-only folder do, and copies of it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "src/base/file.h"
#include "src/store/sqlite_registry.h"
#include "src/store/sqlite_schema.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey {
namespace {

using testing::HasCode;
using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ResultOf;

mode_t ModeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

// Unavailable, and the message tells a person this.
template <typename Matcher>
auto UnavailableSaying(Matcher matcher) {
  return AllOf(
      RefusedWith(Reason::kStoreUnavailable),
      ResultOf([](const auto& result) { return std::string(testing::StatusOf(result).message()); },
               matcher));
}
auto UnavailableSaying(const char* text) { return UnavailableSaying(HasSubstr(text)); }

class SqliteFileTest : public ::testing::Test {
 protected:
  std::string Path() const { return folder_.File("registry.db"); }
  std::unique_ptr<SqliteRegistry> OpenOrDie(SqliteRegistryOptions options = {}) {
    auto registry = SqliteRegistry::Open(Path(), options);
    EXPECT_THAT(registry, IsOk());
    return registry.ok() ? *std::move(registry) : nullptr;
  }
  TempFolder folder_;
};

TEST_F(SqliteFileTest, NobodyElseMayReadAnyOfItsFilesWhateverTheUmask) {
  mode_t old = umask(0);
  absl::Cleanup restore = [old] { umask(old); };
  auto registry = SqliteRegistry::Open(folder_.File("made/for/it/registry.db"));
  ASSERT_THAT(registry, IsOk());
  ASSERT_THAT(EnrollNew(**registry, MakeCredential("a", "alice")), IsOk());
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_EQ(ModeOf(folder_.File(absl::StrCat("made/for/it/registry.db", suffix))), 0600u)
        << suffix;
  }
  EXPECT_EQ(ModeOf(folder_.File("made/for/it")), 0700u);
}

TEST_F(SqliteFileTest, RefusesFilesAndFoldersOpenToOthers) {
  ASSERT_THAT(EnrollNew(*OpenOrDie(), MakeCredential("a", "alice")), IsOk());
  ASSERT_EQ(chmod(Path().c_str(), 0640), 0);
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("run chmod 600"));
  EXPECT_THAT(SqliteRegistry::Open(Path(), {.exclusive = false}),
              UnavailableSaying("run chmod 600"));
  ASSERT_EQ(chmod(Path().c_str(), 0600), 0);
  std::ofstream(Path() + "-wal").close();
  ASSERT_EQ(chmod((Path() + "-wal").c_str(), 0604), 0);
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("run chmod 600"));
  ASSERT_EQ(unlink((Path() + "-wal").c_str()), 0);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("chmod 700"));
  ASSERT_EQ(chmod(folder_.path().c_str(), 0700), 0);
  EXPECT_THAT(SqliteRegistry::Open(Path()), IsOk());
}

TEST_F(SqliteFileTest, RefusesWhatIsNoRegularFile) {
  std::filesystem::create_directory(Path());
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("is not a regular file"));
}

TEST_F(SqliteFileTest, OneHolderAtATimeAndTheOtherLearnsWhich) {
  auto holder = OpenOrDie();
  EXPECT_THAT(SqliteRegistry::Open(Path()),
              UnavailableSaying(absl::StrCat("in use by process ", getpid()).c_str()));
  holder = nullptr;
  EXPECT_THAT(SqliteRegistry::Open(Path()), IsOk());
}

TEST_F(SqliteFileTest, ALookerSeesARunningGatesRegistryAndChangesNothing) {
  EXPECT_THAT(SqliteRegistry::Open(Path(), {.exclusive = false}),
              RefusedWith(Reason::kStoreUnavailable));
  EXPECT_FALSE(std::filesystem::exists(Path()));
  auto holder = OpenOrDie();
  auto looker = OpenOrDie({.exclusive = false});
  CredentialRecord credential = MakeCredential("a", "alice");
  InviteRecord invite = MakeInvite("b", "alice");
  ASSERT_THAT(EnrollNew(*holder, credential), IsOk());
  ASSERT_THAT(holder->AddInvite(invite), IsOk());
  EXPECT_THAT(looker->FindCredential(credential.id), IsOk());
  const auto kRefused = HasCode(absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(looker->RevokeCredential(credential.id, "", TestNow()), kRefused);
  EXPECT_THAT(looker->SetRoles("alice", {"admin"}), kRefused);
  EXPECT_THAT(looker->SetDisabled("alice", true), kRefused);
  EXPECT_THAT(looker->AdvanceSignCount(credential.id, 9), kRefused);
  EXPECT_THAT(looker->UseIdToken({Bytes32("x"), TestNow(), TestNow()}), kRefused);
  EXPECT_THAT(looker->SetOidcIdentity("alice", OidcIdentity{"i", "c", "v"}, TestNow()), kRefused);
  EXPECT_THAT(looker->AddInvite(MakeInvite("c", "alice")), kRefused);
  EXPECT_THAT(looker->CancelInvite(invite.id), kRefused);
  EXPECT_THAT(looker->Enroll(MakeEnrollment(invite, MakeCredential("b", "alice"))), kRefused);
  EXPECT_FALSE(holder->FindCredential(credential.id)->revoked_at.has_value());
}

TEST_F(SqliteFileTest, RefusesANewerSchemaAndLeavesItAlone) {
  OpenOrDie();
  RawSql(Path(), "PRAGMA user_version=99");
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("version 99"));
  EXPECT_THAT(SqliteRegistry::Open(Path(), {.exclusive = false}), UnavailableSaying("version 99"));
  auto database = SqliteDatabase::Open(Path(), true);
  ASSERT_THAT(database, IsOk());
  EXPECT_EQ((*database)->QueryInteger("PRAGMA user_version").value(), 99);
}

TEST_F(SqliteFileTest, RefusesAnotherProgramsDatabase) {
  std::ofstream(Path()).close();
  chmod(Path().c_str(), 0600);
  RawSql(Path(), "CREATE TABLE precious (a)");
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("another program's database"));
  RawSql(Path(), "DROP TABLE precious; PRAGMA user_version=1");
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("another program's database"));
}

TEST_F(SqliteFileTest, RefusesADamagedFile) {
  std::ofstream(Path()) << std::string(8192, 'x');
  chmod(Path().c_str(), 0600);
  EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("restore a backup"));
}

TEST_F(SqliteFileTest, ADamagedPageIsAnErrorNeverAnAnswer) {
  std::vector<std::string> ids;
  {
    auto registry = OpenOrDie();
    for (int i = 0; i < 50; ++i) {
      CredentialRecord credential = MakeCredential(absl::StrCat(i), "alice");
      credential.evidence = std::string(2000, 'e');
      ids.push_back(credential.id);
      ASSERT_THAT(EnrollNew(*registry, credential), IsOk());
    }
  }
  {
    std::fstream file(Path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0, std::ios::end);
    const int64_t size = file.tellp();
    // All but the first page, which holds the schema's root.
    for (int64_t at = 4096; at < size; at += 4096) {
      file.seekp(at);
      file << std::string(64, '\xff');
    }
  }
  auto registry = SqliteRegistry::Open(Path());
  if (registry.ok()) {
    EXPECT_THAT((*registry)->Check(), RefusedWith(Reason::kStoreUnavailable));
    for (const std::string& id : ids) {
      EXPECT_THAT((*registry)->FindCredential(id), RefusedWith(Reason::kStoreUnavailable));
    }
    EXPECT_THAT((*registry)->RevokeCredential(ids[0], "", TestNow()),
                RefusedWith(Reason::kStoreUnavailable));
  } else {
    EXPECT_THAT(registry, RefusedWith(Reason::kStoreUnavailable));
  }
}

// Enrols until it is refused; returns how many went in.
int EnrollUntilFull(SqliteRegistry& registry, absl::Status* refusal) {
  for (int i = 0;; ++i) {
    CredentialRecord credential = MakeCredential(absl::StrCat("full ", i), "alice");
    credential.evidence = std::string(5000, 'e');
    *refusal = EnrollNew(registry, credential);
    if (!refusal->ok() || i == 1000) return i;
  }
}

// Everything that went in is there, and what was refused left at most its unused invite.
void ExpectWhole(SqliteRegistry& registry, int enrolled) {
  EXPECT_THAT(registry.Check(), IsOk());
  auto counts = registry.Count();
  ASSERT_THAT(counts, IsOk());
  EXPECT_EQ(counts->credentials, static_cast<uint64_t>(enrolled));
  for (int i = 0; i < enrolled; ++i) {
    EXPECT_THAT(registry.FindCredential(MakeCredential(absl::StrCat("full ", i), "alice").id),
                IsOk());
  }
  int used = 0;
  const std::vector<InviteRecord> invites = *registry.ListInvites();
  for (const InviteRecord& invite : invites) used += invite.used_at.has_value();
  EXPECT_EQ(used, enrolled);
}

TEST_F(SqliteFileTest, AFullDiskRefusesAndLosesNothing) {
  int enrolled;
  {
    auto registry = OpenOrDie({.max_bytes = 256 * 1024});
    absl::Status refusal;
    enrolled = EnrollUntilFull(*registry, &refusal);
    EXPECT_THAT(refusal, UnavailableSaying("full"));
    EXPECT_GT(enrolled, 10);
    ExpectWhole(*registry, enrolled);
    const std::string id = MakeCredential("full 0", "alice").id;
    auto revoked = registry->RevokeCredential(id, "", TestNow());
    EXPECT_EQ(revoked.ok(), registry->FindCredential(id)->revoked_at.has_value())
        << "claimed or not, it is so";
  }
  auto registry = OpenOrDie();
  ExpectWhole(*registry, enrolled);
  EXPECT_THAT(EnrollNew(*registry, MakeCredential("more", "alice")), IsOk());
}

TEST_F(SqliteFileTest, AFileSystemThatRefusesToWriteIsAnErrorAndLosesNothing) {
  auto registry = OpenOrDie();
  ASSERT_THAT(EnrollNew(*registry, MakeCredential("full 0", "alice")), IsOk());
  struct rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = {64 * 1024, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  absl::Status refusal;
  for (int i = 1; i < 100 && refusal.ok(); ++i) {
    refusal = registry->AddInvite(MakeInvite(absl::StrCat(i), std::string(200, 'a')));
  }
  auto revoked = registry->RevokeCredential(MakeCredential("full 0", "alice").id, "", TestNow());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_THAT(refusal, UnavailableSaying("file system refused"));
  EXPECT_THAT(revoked, RefusedWith(Reason::kStoreUnavailable))
      << "no revocation is claimed that is not durable";
  registry = nullptr;
  registry = OpenOrDie();
  ExpectWhole(*registry, 1);
  EXPECT_FALSE(
      registry->FindCredential(MakeCredential("full 0", "alice").id)->revoked_at.has_value());
}

TEST_F(SqliteFileTest, AReadOnlyFolderIsAClearError) {
  // Root may write anywhere, so the folder and this process become another user's for a moment.
  constexpr uid_t kNobody = 65534;
  const bool root = geteuid() == 0;
  std::string folder = folder_.path() + "/ro";
  std::filesystem::create_directory(folder);
  ASSERT_EQ(chmod(folder.c_str(), 0500), 0);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0711), 0);
  if (root) {
    ASSERT_EQ(chown(folder.c_str(), kNobody, kNobody), 0);
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  auto registry = SqliteRegistry::Open(folder + "/registry.db");
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_THAT(registry, UnavailableSaying("registry.db.lock"));
}

TEST_F(SqliteFileTest, AnotherUsersFileIsRefused) {
  OpenOrDie();
  if (geteuid() == 0) {
    ASSERT_EQ(chown(Path().c_str(), 65534, 65534), 0);
    EXPECT_THAT(SqliteRegistry::Open(Path()), UnavailableSaying("belongs to uid 65534"));
  } else {
    EXPECT_THAT(CheckPrivateFile("/etc/passwd"), UnavailableSaying("belongs to uid 0"));
  }
}

TEST_F(SqliteFileTest, AStepOfAMigrationHappensWholeOrNotAtAll) {
  std::ofstream(Path()).close();
  auto database = SqliteDatabase::Open(Path(), false);
  ASSERT_THAT(database, IsOk());
  const char* good[] = {"CREATE TABLE a (x INTEGER) STRICT", "CREATE TABLE b (x INTEGER) STRICT"};
  const char* bad[] = {good[0],
                       "CREATE TABLE b (x INTEGER) STRICT; CREATE TABLE a (x INTEGER) STRICT"};
  EXPECT_THAT(MigrateSchema(database->get(), bad), RefusedWith(Reason::kStoreUnavailable));
  EXPECT_EQ((*database)->QueryInteger("PRAGMA user_version").value(), 1) << "the first step stands";
  EXPECT_EQ((*database)->QueryInteger("SELECT count(*) FROM sqlite_schema").value(), 1)
      << "half of the second";
  EXPECT_THAT(CheckSchema(database->get(), good), UnavailableSaying("older than 2"));
  EXPECT_THAT(MigrateSchema(database->get(), good), IsOk()) << "goes on where it stood";
  EXPECT_EQ((*database)->QueryInteger("PRAGMA user_version").value(), 2);
  EXPECT_THAT(MigrateSchema(database->get(), good), IsOk()) << "and has nothing left to do";
  EXPECT_THAT(CheckSchema(database->get(), good), IsOk());
}

TEST_F(SqliteFileTest, ARegistryOfEachOlderVersionIsBroughtUpWithWhatItHolds) {
  const auto steps = RegistrySchemaSteps();
  for (size_t version = 1; version <= steps.size(); ++version) {
    SCOPED_TRACE(version);
    TempFolder folder;
    const std::string path = folder.File("registry.db");
    close(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    const CredentialRecord credential = MakeCredential("a", "ada");
    {
      auto database = SqliteDatabase::Open(path, false);
      ASSERT_THAT(database, IsOk());
      ASSERT_THAT(MigrateSchema(database->get(), steps.first(version)), IsOk());
      ASSERT_THAT(
          (*database)->Execute(
              "INSERT INTO subjects (id, name, disabled, created_at) VALUES (1, 'ada', 0, 1);"
              "INSERT INTO subject_roles VALUES (1, 'reader')"),
          IsOk());
      auto insert = (*database)->Prepare(
          "INSERT INTO credentials VALUES (?1, 1, ?2, 1, 1, 0, 1, NULL, '', ?3, '', NULL, '', '', "
          "'', '{}', ?3)");
      ASSERT_THAT(insert, IsOk());
      ASSERT_THAT(insert->Blob(credential.id).Blob(Bytes32("spki")).Blob("spki").Run(), IsOk());
      if (version >= 2) {
        ASSERT_THAT((*database)->Execute("INSERT INTO passwords VALUES (1, 'hash', 1)"), IsOk());
      }
      if (version >= 3) {
        ASSERT_THAT(
            (*database)->Execute("INSERT INTO oidc_identities VALUES (1, 'https://idp.test', "
                                 "'sub', '4711', 1)"),
            IsOk());
      }
    }
    auto registry = SqliteRegistry::Open(path);
    ASSERT_THAT(registry, IsOk());
    EXPECT_EQ((*registry)->FindCredential(credential.id).value().subject, "ada");
    EXPECT_EQ((*registry)->FindSubject("ada").value().roles, std::vector<std::string>{"reader"});
    EXPECT_EQ((*registry)->FindPasswordHash("ada").value(), version >= 2 ? "hash" : "");
    EXPECT_EQ((*registry)->FindOidcIdentities("ada").value().size(), version >= 3 ? 1u : 0u);
    EXPECT_EQ((*registry)
                  ->TakeFactorTry({{credential.id}, "password", 1, absl::Minutes(1), TestNow()})
                  .value(),
              true);
    EXPECT_THAT((*registry)->Check(), IsOk());
  }
}

TEST_F(SqliteFileTest, ABackupOfABusyRegistryIsWholeAndPrivate) {
  auto registry = OpenOrDie();
  for (int i = 0; i < 200; ++i) {
    CredentialRecord credential = MakeCredential(absl::StrCat("before ", i), "alice");
    credential.evidence = std::string(8000, 'e');
    ASSERT_THAT(EnrollNew(*registry, credential), IsOk());
  }
  std::atomic<bool> stop{false};
  std::atomic<int> enrolled{0};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      enrolled += EnrollNew(*registry, MakeCredential(absl::StrCat("during ", i), "bob")).ok();
    }
  });
  const std::string copy = folder_.File("copy.db");
  absl::Status status = registry->Backup(copy);
  stop = true;
  writer.join();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(ModeOf(copy), 0600u);
  EXPECT_THAT(registry->Backup(copy), HasCode(absl::StatusCode::kAlreadyExists));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr("partial")));
  }
  auto opened = SqliteRegistry::Open(copy);
  ASSERT_THAT(opened, IsOk());
  EXPECT_THAT((*opened)->Check(), IsOk());
  EXPECT_GE((*opened)->Count()->credentials, 200u);
  EXPECT_LE((*opened)->Count()->credentials, 200u + enrolled);
  EXPECT_THAT(registry->Backup(folder_.File("no/such/folder/copy.db")),
              RefusedWith(Reason::kStoreUnavailable));
}

// In a folder that others may write to, somebody may have put something where the copy is made.
TEST_F(SqliteFileTest, ABackupIsWrittenToNothingThatWasThereBefore) {
  auto registry = OpenOrDie();
  ASSERT_THAT(EnrollNew(*registry, MakeCredential("laptop", "alice")), IsOk());
  const std::string copy = folder_.File("copy.db"),
                    guessed = absl::StrCat(copy, ".partial.", getpid());
  // A folder: the one thing that root, too, can't remove as if it were a file.
  ASSERT_EQ(mkdir(guessed.c_str(), 0777), 0);
  EXPECT_THAT(registry->Backup(copy), IsOk());
  EXPECT_EQ(ModeOf(copy), 0600u);
  EXPECT_TRUE(std::filesystem::is_empty(guessed));
}

}  // namespace
}  // namespace forekey
