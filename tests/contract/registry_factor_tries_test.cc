// SPDX-License-Identifier: Apache-2.0
// Tries of further factors: counted before they are judged, and never given back by accident.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/contract/registry_stores.h"

namespace forekey {
namespace {

using testing::IsOk;
using testing::RefusedWith;
using namespace forekey::testing;  // NOLINT: the fixtures

class RegistryFactorTriesTest : public RegistryContract {
 protected:
  RegistryFactorTriesTest() {
    for (const char* name : {"a", "b"}) {
      EXPECT_THAT(EnrollNew(*registry_, MakeCredential(name, "ada")), IsOk());
      ids_.push_back(MakeCredential(name, "ada").id);
    }
  }
  absl::StatusOr<bool> Take(std::vector<std::string> ids,
                            absl::Duration after = absl::ZeroDuration(),
                            const std::string& factor = "password") {
    return registry_->TakeFactorTry(
        {std::move(ids), factor, 3, absl::Minutes(15), TestNow() + after});
  }
  const std::string& a() const { return ids_[0]; }
  const std::string& b() const { return ids_[1]; }

  std::vector<std::string> ids_;
};
FOREKEY_OVER_EVERY_STORE(RegistryFactorTriesTest);

TEST_P(RegistryFactorTriesTest, AreCountedByCredentialAndFactorOverAReopening) {
  EXPECT_EQ(Take({a()}).value(), true);
  EXPECT_EQ(Take({a()}).value(), true);
  Reopen();
  EXPECT_EQ(Take({a()}).value(), true);
  Reopen();
  EXPECT_EQ(Take({a()}).value(), false);
  EXPECT_EQ(Take({b()}).value(), true) << "another credential's";
  EXPECT_EQ(Take({a()}, absl::ZeroDuration(), "oidc").value(), true) << "another factor's";
}

TEST_P(RegistryFactorTriesTest, OfSeveralCredentialsAllMustHaveOneOrNoneIsCounted) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Take({a()}).value(), true);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Take({b(), a()}).value(), false);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Take({b()}).value(), true);
  EXPECT_EQ(Take({b()}).value(), false);
}

TEST_P(RegistryFactorTriesTest, ComeBackWhenTheTimeSinceTheFirstIsOverOrOneWasRight) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Take({a()}, absl::Minutes(i)).value(), true);
  EXPECT_EQ(Take({a()}, absl::Minutes(15) - absl::Nanoseconds(1)).value(), false);
  EXPECT_EQ(Take({a()}, absl::Minutes(15)).value(), true);
  EXPECT_EQ(Take({a()}, absl::Minutes(15)).value(), true);
  EXPECT_THAT(registry_->GiveFactorTriesBack({a()}, "oidc"), IsOk());
  EXPECT_EQ(Take({a()}, absl::Minutes(15)).value(), true);
  EXPECT_EQ(Take({a()}, absl::Minutes(15)).value(), false) << "another factor's were given back";
  EXPECT_THAT(registry_->GiveFactorTriesBack({a()}, "password"), IsOk());
  EXPECT_EQ(Take({a()}, absl::Minutes(15)).value(), true);
}

TEST_P(RegistryFactorTriesTest, AClockThatWasSetBackForgetsNoneAndLocksNobodyForLong) {
  const absl::Duration year = absl::Hours(24 * 365);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Take({a()}, year).value(), true);
  EXPECT_EQ(Take({a()}).value(), false);
  EXPECT_EQ(Take({a()}, absl::Minutes(14)).value(), false);
  EXPECT_EQ(Take({a()}, absl::Minutes(15)).value(), true) << "since the first look with that clock";
}

TEST_P(RegistryFactorTriesTest, NothingIsKeptForWhoIsNotEnrolled) {
  EXPECT_THAT(Take({Bytes32("stranger")}), RefusedWith(Reason::kCredentialUnknown));
  EXPECT_THAT(Take({a(), Bytes32("stranger")}), RefusedWith(Reason::kCredentialUnknown));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(Take({a()}).value(), true) << "and nothing counted beside it";
}

TEST_P(RegistryFactorTriesTest, OfManyAtOnceAsManyGetOneAsThereAre) {
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { taken += Take({a()}).value(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 3);
}

TEST_P(RegistryFactorTriesTest, AKillGivesNoneBack) {
  registry_.reset();
  uint64_t acknowledged = 0;
  for (int round = 0; round < 5; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      auto registry = store_->Open();
      while (registry.ok() &&
             (*registry)
                 ->TakeFactorTry({ids_, "password", 1'000'000, absl::Hours(1), TestNow()})
                 .ok()) {
        if (write(pipes[1], "t", 1) != 1) break;
      }
      _exit(1);
    }
    close(pipes[1]);
    char tries[10];
    for (size_t got = 0; got < sizeof(tries);) {
      const ssize_t size = read(pipes[0], tries, sizeof(tries) - got);
      ASSERT_GT(size, 0);
      got += static_cast<size_t>(size);
    }
    kill(pid, SIGKILL);
    acknowledged += sizeof(tries);
    for (ssize_t size; (size = read(pipes[0], tries, sizeof(tries))) > 0;) {
      acknowledged += static_cast<uint64_t>(size);
    }
    close(pipes[0]);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
  }
  Reopen();
  for (const std::string& id : ids_) {
    EXPECT_EQ(registry_->TakeFactorTry({{id}, "password", acknowledged, absl::Hours(1), TestNow()})
                  .value(),
              false);
  }
}

}  // namespace
}  // namespace forekey
