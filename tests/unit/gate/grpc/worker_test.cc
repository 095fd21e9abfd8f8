// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "src/gate/grpc/worker.h"

namespace forekey {
namespace {

TEST(WorkerTest, RefusesBeyondItsQueueInsteadOfBlocking) {
  absl::Notification begun, go_on;
  std::atomic<int> ran{0};
  {
    Worker worker(2);
    ASSERT_TRUE(worker.Submit([&] {
      begun.Notify();
      go_on.WaitForNotification();
      ++ran;
    }));
    begun.WaitForNotification();  // the thread is taken: from now on tasks wait
    EXPECT_TRUE(worker.Submit([&] { ++ran; }));
    EXPECT_TRUE(worker.Submit([&] { ++ran; }));
    EXPECT_FALSE(worker.Submit([&] { ++ran; }));
    go_on.Notify();
  }
  EXPECT_EQ(ran, 3) << "what was taken is run before the worker goes";
}

TEST(WorkerTest, ATaskThatHangsHoldsUpNoOtherWhileThereIsAThread) {
  absl::Notification go_on, other;
  Worker worker(2, 2);
  ASSERT_TRUE(worker.Submit([&] { go_on.WaitForNotification(); }));
  ASSERT_TRUE(worker.Submit([&] { other.Notify(); }));
  other.WaitForNotification();
  go_on.Notify();
}

}  // namespace
}  // namespace forekey
