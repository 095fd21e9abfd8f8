// SPDX-License-Identifier: Apache-2.0
// A TPM that hangs is given up when nobody waits for it.
#include "hw/tpm/interruptible_tcti.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "hw/device_key.h"

namespace forekey {
namespace {

// A transport over a pipe: an answer is there when something was written into it.
struct PipeTcti {
  TSS2_TCTI_CONTEXT_COMMON_V1 common = {};
  int ends[2] = {-1, -1};
  int transmitted = 0;

  PipeTcti() {
    EXPECT_EQ(pipe(ends), 0);
    common.magic = 1;
    common.version = 1;
    common.transmit = [](TSS2_TCTI_CONTEXT* context, size_t, const uint8_t*) -> TSS2_RC {
      ++reinterpret_cast<PipeTcti*>(context)->transmitted;
      return TSS2_RC_SUCCESS;
    };
    common.receive = [](TSS2_TCTI_CONTEXT* context, size_t* size, uint8_t* response,
                        int32_t) -> TSS2_RC {
      *size =
          static_cast<size_t>(read(reinterpret_cast<PipeTcti*>(context)->ends[0], response, *size));
      return TSS2_RC_SUCCESS;
    };
    common.getPollHandles = [](TSS2_TCTI_CONTEXT* context, TSS2_TCTI_POLL_HANDLE* handles,
                               size_t* count) -> TSS2_RC {
      handles[0] = {reinterpret_cast<PipeTcti*>(context)->ends[0], POLLIN, 0};
      *count = 1;
      return TSS2_RC_SUCCESS;
    };
  }
  ~PipeTcti() {
    for (int end : ends) close(end);
  }
  TSS2_TCTI_CONTEXT* get() { return reinterpret_cast<TSS2_TCTI_CONTEXT*>(&common); }
};

using Tcti = std::unique_ptr<InterruptibleTcti>;

absl::StatusOr<Tcti> Over(PipeTcti& pipe, std::function<bool()> cancelled,
                          std::shared_ptr<const void> lease = nullptr) {
  // The loader closes only what it made: the pipe stays the test's own.
  return InterruptibleTcti::Open(
      [&pipe]() -> absl::StatusOr<TctiPtr> { return TctiPtr(pipe.get()); },
      TpmWait{Deadline::Never(), std::move(cancelled)}, std::move(lease));
}

TSS2_RC Receive(InterruptibleTcti& tcti, size_t& size) {
  uint8_t bytes[16] = {};
  size = sizeof(bytes);
  return Tss2_Tcti_Receive(tcti.get(), &size, bytes, TSS2_TCTI_TIMEOUT_BLOCK);
}

TEST(InterruptibleTctiTest, GivesUpATpmThatHangsAndPassesAnswersOn) {
  PipeTcti pipe;
  std::atomic<bool> cancelled{false};
  auto lease = std::make_shared<char>();
  const std::weak_ptr<char> thread = lease;
  absl::StatusOr<Tcti> opened = Over(
      pipe, [&] { return cancelled.load(); }, std::move(lease));
  ASSERT_TRUE(opened.ok()) << opened.status();
  InterruptibleTcti& tcti = **opened;
  const uint8_t command[1] = {};
  size_t size = 0;
  ASSERT_EQ(Tss2_Tcti_Transmit(tcti.get(), 1, command), TSS2_RC_SUCCESS);
  ASSERT_EQ(write(pipe.ends[1], "answer", 6), 6);
  ASSERT_EQ(Receive(tcti, size), TSS2_RC_SUCCESS);
  EXPECT_EQ(size, 6u);
  EXPECT_TRUE(tcti.given_up().ok());

  ASSERT_EQ(Tss2_Tcti_Transmit(tcti.get(), 1, command), TSS2_RC_SUCCESS);
  cancelled = true;
  EXPECT_EQ(Receive(tcti, size), TSS2_TCTI_RC_IO_ERROR);
  EXPECT_EQ(DeviceErrorOf(tcti.given_up()), DeviceError::kCancelled);
  EXPECT_EQ(Tss2_Tcti_Transmit(tcti.get(), 1, command), TSS2_TCTI_RC_IO_ERROR)
      << "the late answer would be taken for that command's";
  opened->reset();
  EXPECT_FALSE(thread.expired()) << "the TPM still has the command";
  ASSERT_EQ(write(pipe.ends[1], "late", 4), 4);
  while (!thread.expired()) std::this_thread::yield();
  EXPECT_EQ(pipe.transmitted, 2);
}

TEST(InterruptibleTctiTest, AWholeTransportEndsWithItsOwner) {
  PipeTcti pipe;
  auto lease = std::make_shared<char>();
  const std::weak_ptr<char> thread = lease;
  ASSERT_TRUE(Over(pipe, nullptr, std::move(lease)).ok());
  EXPECT_TRUE(thread.expired());
}

}  // namespace
}  // namespace forekey
