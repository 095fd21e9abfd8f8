// SPDX-License-Identifier: Apache-2.0
// A TPM that hangs is given up when nobody waits for it.
#include "hw/tpm/interruptible_tcti.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "hw/device_key.h"
#include "hw/tpm/loaded_handles.h"
#include "src/base/bytes.h"

namespace forekey {
namespace {

// A transport over a pipe: an answer is there when something was written into it. A
// TPM2_FlushContext is answered at once.
struct PipeTcti {
  TSS2_TCTI_CONTEXT_COMMON_V1 common = {};
  int ends[2] = {-1, -1};
  int transmitted = 0;
  absl::Mutex mutex;
  std::vector<std::string> commands ABSL_GUARDED_BY(mutex);
  TPM2_RC flush_answer ABSL_GUARDED_BY(mutex) = TPM2_RC_SUCCESS;

  PipeTcti() {
    EXPECT_EQ(pipe(ends), 0);
    common.magic = 1;
    common.version = 1;
    common.transmit = [](TSS2_TCTI_CONTEXT* context, size_t size,
                         const uint8_t* command) -> TSS2_RC {
      auto& self = *reinterpret_cast<PipeTcti*>(context);
      ++self.transmitted;
      absl::MutexLock lock(&self.mutex);
      self.commands.emplace_back(View(command, size));
      ByteReader reader(self.commands.back());
      reader.Raw(6);
      if (reader.U32() == TPM2_CC_FlushContext) self.Send(Answer(self.flush_answer));
      return TSS2_RC_SUCCESS;
    };
    common.receive = [](TSS2_TCTI_CONTEXT* context, size_t* size, uint8_t* response,
                        int32_t) -> TSS2_RC {
      const ssize_t got = read(reinterpret_cast<PipeTcti*>(context)->ends[0], response, *size);
      if (got <= 0) return TSS2_TCTI_RC_IO_ERROR;
      *size = static_cast<size_t>(got);
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
  static std::string Answer(TPM2_RC result, absl::string_view rest = "") {
    return ByteWriter()
        .U16(TPM2_ST_NO_SESSIONS)
        .U32(static_cast<uint32_t>(10 + rest.size()))
        .U32(result)
        .Raw(rest)
        .bytes();
  }
  static std::string Loaded(TPM2_HANDLE handle) {
    return Answer(TPM2_RC_SUCCESS, ByteWriter().U32(handle).bytes());
  }
  void Send(absl::string_view answer) {
    EXPECT_EQ(write(ends[1], answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
  }
  void Break() { close(std::exchange(ends[1], -1)); }
};

std::string Command(TPM2_CC code) {
  return ByteWriter().U16(TPM2_ST_NO_SESSIONS).U32(10).U32(code).bytes();
}

using Tcti = std::unique_ptr<InterruptibleTcti>;

absl::StatusOr<Tcti> Over(PipeTcti& pipe, std::function<bool()> cancelled,
                          std::shared_ptr<const void> lease = nullptr) {
  // The loader closes only what it made: the pipe stays the test's own.
  return InterruptibleTcti::Open(
      [&pipe]() -> absl::StatusOr<TctiPtr> { return TctiPtr(pipe.get()); },
      TpmWait{Deadline::Never(), std::move(cancelled)}, std::move(lease));
}

TSS2_RC Transmit(InterruptibleTcti& tcti, absl::string_view command) {
  return Tss2_Tcti_Transmit(tcti.get(), command.size(), U8(command));
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

// One answer is given up, with an object loaded, another one flushed, and a session in the answer.
class GivenUpTest : public ::testing::Test {
 protected:
  // Has sent everything, and has given up the last answer. Then the thread is left behind.
  void GiveUp() {
    absl::StatusOr<Tcti> opened = Over(
        pipe_, [this] { return cancelled_.load(); }, std::move(lease_));
    ASSERT_TRUE(opened.ok()) << opened.status();
    InterruptibleTcti& tcti = **opened;
    size_t size = 0;
    for (TPM2_HANDLE object : {kObject, kFlushed}) {
      ASSERT_EQ(Transmit(tcti, Command(TPM2_CC_CreatePrimary)), TSS2_RC_SUCCESS);
      pipe_.Send(PipeTcti::Loaded(object));
      ASSERT_EQ(Receive(tcti, size), TSS2_RC_SUCCESS);
    }
    ASSERT_EQ(Transmit(tcti, FlushCommand(kFlushed)), TSS2_RC_SUCCESS);
    ASSERT_EQ(Receive(tcti, size), TSS2_RC_SUCCESS);
    ASSERT_EQ(Transmit(tcti, Command(TPM2_CC_StartAuthSession)), TSS2_RC_SUCCESS);
    cancelled_ = true;
    ASSERT_EQ(Receive(tcti, size), TSS2_TCTI_RC_IO_ERROR);
  }
  void AwaitThread() {
    while (!thread_.expired()) std::this_thread::yield();
  }
  // After AwaitThread(): what came after the four commands above.
  std::vector<std::string> Later() {
    absl::MutexLock lock(&pipe_.mutex);
    return {pipe_.commands.begin() + 4, pipe_.commands.end()};
  }

  static constexpr TPM2_HANDLE kObject = 0x80000000, kFlushed = 0x80000001, kSession = 0x02000000;
  PipeTcti pipe_;

 private:
  std::atomic<bool> cancelled_{false};
  std::shared_ptr<char> lease_ = std::make_shared<char>();
  const std::weak_ptr<char> thread_ = lease_;
};

TEST_F(GivenUpTest, WhatIsLoadedIsFlushedOnceTheAnswerCame) {
  ASSERT_NO_FATAL_FAILURE(GiveUp());
  pipe_.Send(PipeTcti::Loaded(kSession));
  AwaitThread();
  EXPECT_THAT(Later(),
              ::testing::UnorderedElementsAre(FlushCommand(kObject), FlushCommand(kSession)));
}

TEST_F(GivenUpTest, NothingIsSentWhereTheAnswerNeverComes) {
  ASSERT_NO_FATAL_FAILURE(GiveUp());
  pipe_.Break();
  AwaitThread();
  EXPECT_THAT(Later(), ::testing::IsEmpty());
}

TEST_F(GivenUpTest, ABusyTpmIsNotAskedForEver) {
  ASSERT_NO_FATAL_FAILURE(GiveUp());
  {
    absl::MutexLock lock(&pipe_.mutex);
    pipe_.flush_answer = TPM2_RC_RETRY;
  }
  pipe_.Send(PipeTcti::Answer(TPM2_RC_SESSION_MEMORY));
  AwaitThread();
  EXPECT_THAT(Later(), ::testing::SizeIs(::testing::Gt(1)));
  EXPECT_THAT(Later(), ::testing::Each(FlushCommand(kObject)));
}

TEST(LoadedHandlesTest, HoldsWhatAnswersLoadAndNothingElse) {
  LoadedHandles loaded;
  const auto held = [&] { return loaded.Held(); };
  loaded.Note(Command(TPM2_CC_Load), PipeTcti::Answer(TPM2_RC_OBJECT_MEMORY));
  loaded.Note(Command(TPM2_CC_Load), PipeTcti::Answer(TPM2_RC_SUCCESS));  // names none
  loaded.Note(Command(TPM2_CC_Load), "");
  loaded.Note("", PipeTcti::Loaded(0x80000000));
  loaded.Note(Command(TPM2_CC_ReadPublic), PipeTcti::Loaded(0x80000000));
  EXPECT_THAT(held(), ::testing::IsEmpty());
  for (TPM2_CC code : {TPM2_CC_CreatePrimary, TPM2_CC_Load, TPM2_CC_LoadExternal,
                       TPM2_CC_ContextLoad, TPM2_CC_StartAuthSession}) {
    loaded.Note(Command(code), PipeTcti::Loaded(0x80000000));
    loaded.Note(Command(code), PipeTcti::Loaded(0x80000000));
    EXPECT_THAT(held(), ::testing::ElementsAre(0x80000000)) << code;
    loaded.Note(FlushCommand(0x80000000), PipeTcti::Answer(TPM2_RC_RETRY));
    loaded.Note(FlushCommand(0x80000001), PipeTcti::Answer(TPM2_RC_SUCCESS));
    EXPECT_THAT(held(), ::testing::ElementsAre(0x80000000)) << code;
    loaded.Note(FlushCommand(0x80000000), PipeTcti::Answer(TPM2_RC_SUCCESS));
    EXPECT_THAT(held(), ::testing::IsEmpty()) << code;
  }
  // Somebody else flushed it.
  loaded.Note(Command(TPM2_CC_Load), PipeTcti::Loaded(0x80000000));
  loaded.Note(FlushCommand(0x80000000), PipeTcti::Answer(TPM2_RC_HANDLE | TPM2_RC_P));
  EXPECT_THAT(held(), ::testing::IsEmpty());
}

// By then, the handle may be another program's.
TEST(LoadedHandlesTest, HoldsNothingFromBeforeTheMachineSlept) {
  absl::Duration slept = absl::Hours(5);
  LoadedHandles loaded([&slept] { return slept; });
  loaded.Note(Command(TPM2_CC_Load), PipeTcti::Loaded(0x80000000));
  EXPECT_THAT(loaded.Held(), ::testing::SizeIs(1));
  slept += absl::Seconds(2);
  EXPECT_THAT(loaded.Held(), ::testing::IsEmpty());
  loaded.Note(Command(TPM2_CC_Load), PipeTcti::Loaded(0x80000001));
  EXPECT_THAT(loaded.Held(), ::testing::ElementsAre(0x80000001));
  slept += absl::Seconds(2);
  loaded.Note(Command(TPM2_CC_Load), PipeTcti::Loaded(0x80000002));  // before it slept, or after
  EXPECT_THAT(loaded.Held(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace forekey
