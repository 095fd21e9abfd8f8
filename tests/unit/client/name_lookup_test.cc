// SPDX-License-Identifier: Apache-2.0
// A name service that hangs keeps nobody.
#include "src/client/name_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"

namespace forekey {
namespace {

TEST(NameLookupTest, FindsAddressesAndSaysWhatIsWrong) {
  auto found = LookUpName("127.0.0.1", "443", Deadline::Never());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->ai_family, AF_INET);
  auto missing = LookUpName("x", "443", Deadline::Never(),
                            [](const char*, const char*, const addrinfo*, addrinfo**) {
                              return static_cast<int>(EAI_NONAME);
                            });
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  EXPECT_EQ(missing.status().message(), gai_strerror(EAI_NONAME));
}

// The law is that it returns at all, and that few threads are left behind.
TEST(NameLookupTest, OneThatHangsIsGivenUpAndKeepsFewThreads) {
  struct Service {
    absl::Notification answers;
    std::atomic<int> asked{0}, answered{0};
  };
  const auto service = std::make_shared<Service>();
  const Resolver hangs = [service](const char*, const char*, const addrinfo*, addrinfo**) {
    ++service->asked;
    service->answers.WaitForNotification();
    ++service->answered;
    return static_cast<int>(EAI_AGAIN);
  };
  const auto ask = [&hangs] {
    return LookUpName("gate.example", "443", Deadline::In(absl::ZeroDuration()), hangs).status();
  };
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(absl::IsDeadlineExceeded(ask())) << i;
  service->answers.Notify();
  const Resolver fails = [](const char*, const char*, const addrinfo*, addrinfo**) {
    return static_cast<int>(EAI_FAIL);
  };
  while (!absl::IsNotFound(LookUpName("gate.example", "443", Deadline::Never(), fails).status())) {
    std::this_thread::yield();
  }
  EXPECT_LE(service->asked, 4);
}

}  // namespace
}  // namespace forekey
