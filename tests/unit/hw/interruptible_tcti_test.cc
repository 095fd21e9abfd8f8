// SPDX-License-Identifier: Apache-2.0
// A TPM that hangs is given up when nobody waits for it.
#include "hw/tpm/interruptible_tcti.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

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

TEST(InterruptibleTctiTest, GivesUpATpmThatHangsAndPassesAnswersOn) {
  PipeTcti pipe;
  std::atomic<int> looked{0};
  std::atomic<bool> cancelled{false};
  // The loader closes only what it made: the pipe stays the test's own.
  InterruptibleTcti tcti(TctiPtr(pipe.get()), [&] {
    ++looked;
    return cancelled.load();
  });
  uint8_t bytes[16] = {};
  size_t size = sizeof(bytes);
  ASSERT_EQ(Tss2_Tcti_Transmit(tcti.get(), 1, bytes), TSS2_RC_SUCCESS);
  ASSERT_EQ(write(pipe.ends[1], "answer", 6), 6);
  ASSERT_EQ(Tss2_Tcti_Receive(tcti.get(), &size, bytes, TSS2_TCTI_TIMEOUT_BLOCK), TSS2_RC_SUCCESS);
  EXPECT_EQ(size, 6u);
  EXPECT_FALSE(tcti.interrupted());

  cancelled = true;
  size = sizeof(bytes);
  EXPECT_EQ(Tss2_Tcti_Receive(tcti.get(), &size, bytes, TSS2_TCTI_TIMEOUT_BLOCK),
            TSS2_TCTI_RC_IO_ERROR);
  EXPECT_TRUE(tcti.interrupted());
  EXPECT_GE(looked, 1);
  EXPECT_EQ(Tss2_Tcti_Transmit(tcti.get(), 1, bytes), TSS2_TCTI_RC_IO_ERROR)
      << "the late answer would be taken for that command's";
  EXPECT_EQ(pipe.transmitted, 1);
}

// A signal must not lead into a wait that nobody can end.
TEST(InterruptibleTctiTest, ASignalIsNoAnswer) {
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) {};  // without SA_RESTART
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  PipeTcti pipe;
  std::atomic<int> looked{0};
  InterruptibleTcti tcti(TctiPtr(pipe.get()), [&] { return ++looked > 20; });
  std::atomic<bool> received{false};
  std::thread signals([&, receiver = pthread_self()] {
    while (!received) {
      pthread_kill(receiver, SIGUSR1);
      std::this_thread::yield();
    }
  });
  uint8_t bytes[16] = {};
  size_t size = sizeof(bytes);
  EXPECT_EQ(Tss2_Tcti_Receive(tcti.get(), &size, bytes, TSS2_TCTI_TIMEOUT_BLOCK),
            TSS2_TCTI_RC_IO_ERROR);
  EXPECT_TRUE(tcti.interrupted());
  received = true;
  signals.join();
  sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace forekey
