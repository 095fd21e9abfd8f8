// A TPM that takes commands and never answers.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

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
    close(commands_);
    std::filesystem::remove_all(folder_);
  }
  std::string path() const { return folder_ + "/tpm"; }

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
  const int commands_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
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

}  // namespace
}  // namespace forekey
