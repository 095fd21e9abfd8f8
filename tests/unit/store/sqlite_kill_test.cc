// SPDX-License-Identifier: Apache-2.0
// A registry whose process is killed at any moment has lost nothing that it acknowledged.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "src/store/sqlite_registry.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/store/store_fixtures.h"

namespace forekey {
namespace {

using testing::IsOk;
using namespace forekey::testing;  // NOLINT: the fixtures

// "E" or "R" and the id: less than PIPE_BUF, so written whole or not at all.
constexpr size_t kRecordSize = 33;

void Acknowledge(int fd, char what, const std::string& id) {
  std::string record = what + id;
  if (write(fd, record.data(), record.size()) != ssize_t(kRecordSize)) _exit(3);
}

// Enrols for ever, and revokes every second credential.
[[noreturn]] void EnrollUntilKilled(const std::string& path, int round, int fd) {
  auto registry = SqliteRegistry::Open(path);
  if (!registry.ok()) {
    fprintf(stderr, "%s\n", registry.status().ToString().c_str());
    _exit(1);
  }
  for (int i = 0;; ++i) {
    CredentialRecord credential =
        MakeCredential(absl::StrCat(round, ".", i), absl::StrCat("subject", i % 7));
    credential.evidence = std::string(3000, 'e');
    if (!EnrollNew(**registry, credential, {"role"}).ok()) _exit(2);
    Acknowledge(fd, 'E', credential.id);
    if (i % 2 == 0) continue;
    if (!(*registry)->RevokeCredential(credential.id, "test", TestNow()).ok()) _exit(2);
    Acknowledge(fd, 'R', credential.id);
  }
}

bool ReadRecord(int fd, std::string* record) {
  record->resize(kRecordSize);
  return read(fd, record->data(), kRecordSize) == ssize_t(kRecordSize);
}

TEST(SqliteKillTest, LosesNothingAcknowledged) {
  TempFolder folder;
  const std::string path = folder.File("registry.db");
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  std::vector<std::string> enrolled, revoked;
  uint64_t unacknowledged = 0;
  for (int round = 0; round < 12; ++round) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(fds[0]);
      EnrollUntilKilled(path, round, fds[1]);
    }
    close(fds[1]);
    // Some acknowledgements, then a moment of any length up to about one enrolment more.
    std::string record;
    const auto keep = [&] { (record[0] == 'E' ? enrolled : revoked).push_back(record.substr(1)); };
    for (int i = random() % 40; i >= 0; --i) {
      ASSERT_TRUE(ReadRecord(fds[0], &record)) << "the child ended by itself";
      keep();
    }
    for (int i = random() % 3000; i > 0; --i) sched_yield();
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (ReadRecord(fds[0], &record)) keep();
    close(fds[0]);

    auto registry = SqliteRegistry::Open(path);
    ASSERT_THAT(registry, IsOk()) << "the lock died with its holder";
    ASSERT_THAT((*registry)->Check(), IsOk());
    for (const std::string& id : enrolled) ASSERT_THAT((*registry)->FindCredential(id), IsOk());
    for (const std::string& id : revoked)
      ASSERT_TRUE((*registry)->FindCredential(id)->revoked_at.has_value());
    ++unacknowledged;
    auto counts = (*registry)->Count();
    ASSERT_THAT(counts, IsOk());
    EXPECT_GE(counts->credentials, enrolled.size());
    EXPECT_LE(counts->credentials, enrolled.size() + unacknowledged) << "at most one a kill";
    // An enrolment is whole: its invite is used exactly if its credential is there.
    uint64_t used = 0;
    auto invites = (*registry)->ListInvites();
    ASSERT_THAT(invites, IsOk());
    for (const InviteRecord& invite : *invites) used += invite.used_at.has_value();
    EXPECT_EQ(used, counts->credentials);
  }
}

}  // namespace
}  // namespace forekey
