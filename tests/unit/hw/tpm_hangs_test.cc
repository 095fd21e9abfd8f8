// SPDX-License-Identifier: Apache-2.0
// A TPM that takes commands and never answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "hw/tpm/tpm_device.h"

namespace forekey {
namespace {

class TpmHangsTest : public ::testing::Test {
 protected:
  TpmHangsTest() : folder_(::testing::TempDir() + "tpm-hangs-XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    // Whoever connects waits in the backlog: what it sends is taken, and nobody reads it.
    ListenAt(commands_, path());
    ListenAt(control_, path() + ".ctrl");
    controller_ = std::thread([this] { AnswerControl(); });
  }
  ~TpmHangsTest() override {
    shutdown(control_, SHUT_RDWR);
    controller_.join();
    close(control_);
    EndCommands();
    std::filesystem::remove_all(folder_);
  }
  std::string path() const { return folder_ + "/tpm"; }
  void EndCommands() {
    if (commands_ >= 0) close(std::exchange(commands_, -1));
  }

 private:
  static void ListenAt(int listener, const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener, 8), 0);
  }
  // The program in front of the TPM is well: it takes each of its own commands.
  void AnswerControl() {
    while (true) {
      const int connection = accept(control_, nullptr, nullptr);
      if (connection < 0) return;
      char command[64];
      const char done[4] = {};
      while (read(connection, command, sizeof command) > 0) {
        if (write(connection, done, sizeof done) < 0) break;
      }
      close(connection);
    }
  }

  std::string folder_;
  int commands_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int control_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::thread controller_;
};

// The law is that it returns at all.
TEST_F(TpmHangsTest, WhoWaitsForTheTurnIsSentAwayInTime) {
  TpmDevice device("tpm:swtpm:path=" + path());
  absl::Notification begun, over;
  std::thread hanging([&] {
    const absl::Status status = device.Run(Deadline::Never(), nullptr, [&](Esys&) {
      begun.Notify();
      over.WaitForNotification();
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  });
  begun.WaitForNotification();
  const auto never = [](Esys&) { return absl::InternalError("it was not its turn"); };
  const absl::Status waited = device.Run(Deadline::In(absl::ZeroDuration()), nullptr, never);
  EXPECT_EQ(DeviceErrorOf(waited), DeviceError::kBusy) << waited;
  over.Notify();
  hanging.join();
}

absl::Status Ask(Esys& esys) {
  EsysPtr<TPM2B_DIGEST> random;
  return FromTss(
      Esys_GetRandom(esys.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, 8, Out(random)),
      "Esys_GetRandom");
}

TEST_F(TpmHangsTest, ACommandEndsAtTheDeadlineOfItsCaller) {
  TpmDevice device("tpm:swtpm:path=" + path());
  const absl::Status status = device.Run(Deadline::In(absl::Milliseconds(1)), nullptr, Ask);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kBusy) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("has not answered in time"));
}

TEST_F(TpmHangsTest, ACommandEndsWhenItsCallerIsGone) {
  TpmDevice device("tpm:swtpm:path=" + path());
  int looked = 0;
  const auto cancelled = [&looked] { return ++looked > 2; };  // while the answer is waited for
  const absl::Status status = device.Run(Deadline::Never(), cancelled, Ask);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kCancelled) << status;
}

// An enrolment and most signatures have no deadline.
TEST_F(TpmHangsTest, ACommandThatNobodyBoundsEndsAllTheSame) {
  TpmDevice device("tpm:swtpm:path=" + path(), absl::Milliseconds(1));
  const absl::Status status = device.Run(Deadline::Never(), nullptr, Ask);
  EXPECT_EQ(DeviceErrorOf(status), DeviceError::kBusy) << status;
}

TEST_F(TpmHangsTest, NobodyWaitsForItAgainUntilItAnswers) {
  TpmDevice device("tpm:swtpm:path=" + path(), absl::Milliseconds(1));
  EXPECT_FALSE(device.Run(Deadline::Never(), nullptr, Ask).ok());
  // Whatever bound those have: no second thread is lost to it.
  for (int i = 0; i < 3; ++i) {
    const absl::Status next = device.Run(Deadline::Never(), nullptr, [](Esys&) {
      ADD_FAILURE() << "a second command went to a TPM that hangs";
      return absl::OkStatus();
    });
    EXPECT_EQ(DeviceErrorOf(next), DeviceError::kBusy) << next;
    EXPECT_THAT(std::string(next.message()), ::testing::HasSubstr("does not answer"));
  }
  EndCommands();  // it answers: its connection ends
  const auto used = [&] {
    bool used = false;
    const absl::Status status = device.Run(Deadline::Never(), nullptr, [&](Esys&) {
      used = true;
      return absl::OkStatus();
    });
    return used || DeviceErrorOf(status) == DeviceError::kGone;
  };
  while (!used()) std::this_thread::yield();
}

}  // namespace
}  // namespace forekey
