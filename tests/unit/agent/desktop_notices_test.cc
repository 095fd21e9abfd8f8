// SPDX-License-Identifier: Apache-2.0
// Notices of the desktop, against a daemon of the test's own on a bus of its own.
#include "src/agent/desktop_notices.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/agent/person_memory.h"
#include "tests/support/fake_clock.h"

extern char** environ;

namespace forekey {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A dbus-daemon on a socket in a folder.
class PrivateBus {
 public:
  PrivateBus() {
    std::string name = ::testing::TempDir() + "/forekey-bus.XXXXXX";
    folder_ = mkdtemp(name.data());
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string listen = absl::StrCat("--address=unix:path=", folder_, "/bus");
    std::string words[] = {"dbus-daemon", "--session", "--nofork",
                           "--nopidfile", listen,      "--print-address"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawnp(&pid_, "dbus-daemon", &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    // It prints its address when it listens.
    char byte = 0;
    while (read(ends[0], &byte, 1) == 1 && byte != '\n') address_ += byte;
    close(ends[0]);
  }
  ~PrivateBus() {
    if (pid_ > 0) {
      kill(pid_, SIGTERM);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }
  const std::string& address() const { return address_; }

 private:
  std::string folder_, address_;
  pid_t pid_ = -1;
};

// What shows notices on a desktop.
class FakeDesktop {
 public:
  explicit FakeDesktop(const std::string& address) {
    EXPECT_GE(sd_bus_new(&bus_), 0);
    EXPECT_GE(sd_bus_set_address(bus_, address.c_str()), 0);
    EXPECT_GE(sd_bus_set_bus_client(bus_, 1), 0);
    EXPECT_GE(sd_bus_start(bus_), 0);
    static const sd_bus_vtable kMethods[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Notify", "susssasa{sv}i", "u", &FakeDesktop::Notify,
                      SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CloseNotification", "u", "", &FakeDesktop::Close,
                      SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END};
    EXPECT_GE(sd_bus_add_object_vtable(bus_, nullptr, "/org/freedesktop/Notifications",
                                       "org.freedesktop.Notifications", kMethods, this),
              0);
    EXPECT_GE(sd_bus_request_name(bus_, "org.freedesktop.Notifications", 0), 0);
    thread_ = std::thread([this] {
      while (!stopping()) {
        while (sd_bus_process(bus_, nullptr) > 0) {
        }
        sd_bus_wait(bus_, 20'000);
      }
    });
  }
  ~FakeDesktop() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
    sd_bus_flush_close_unref(bus_);
  }
  // "show SUMMARY: BODY" and "close", until there are so many.
  std::vector<std::string> Await(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return seen_.size() >= count; };
    mutex_.Await(absl::Condition(&there));
    return seen_;
  }

 private:
  static int Notify(sd_bus_message* message, void* self, sd_bus_error*) {
    const char *program, *icon, *summary, *body;
    uint32_t replaces;
    EXPECT_GE(sd_bus_message_read(message, "susss", &program, &replaces, &icon, &summary, &body),
              0);
    static_cast<FakeDesktop*>(self)->Add(absl::StrCat("show ", summary, ": ", body));
    return sd_bus_reply_method_return(message, "u", 7u);
  }
  static int Close(sd_bus_message* message, void* self, sd_bus_error*) {
    uint32_t id = 0;
    EXPECT_GE(sd_bus_message_read(message, "u", &id), 0);
    static_cast<FakeDesktop*>(self)->Add(absl::StrCat("close ", id));
    return sd_bus_reply_method_return(message, "");
  }
  void Add(std::string line) {
    absl::MutexLock lock(&mutex_);
    seen_.push_back(std::move(line));
  }
  bool stopping() {
    absl::MutexLock lock(&mutex_);
    return stopping_;
  }

  sd_bus* bus_ = nullptr;
  absl::Mutex mutex_;
  bool stopping_ = false;
  std::vector<std::string> seen_;
  std::thread thread_;
};

class SilentPrompt : public Prompt {
 public:
  absl::StatusOr<Secret> AskPin(absl::string_view, int) override { return Secret::CopyOf("1234"); }
  void ShowTouch(absl::string_view) override {}
  void HideTouch() override {}
};

class SilentPrompter : public Prompter {
 public:
  std::unique_ptr<Prompt> For(PromptContext) override { return std::make_unique<SilentPrompt>(); }
};

TEST(DesktopNoticesTest, ATouchIsShownWithItsReasonAndTakenAwayWhenItIsOver) {
  PrivateBus bus;
  ASSERT_NE(bus.address(), "");
  FakeDesktop desktop(bus.address());
  FakeClock clock;
  PersonMemory memory(&clock);
  NoticeBoard board;
  DesktopNotices notices(bus.address());
  auto prompter =
      ConsideratePrompter(std::make_unique<SilentPrompter>(), &memory, &board, &notices);
  auto prompt = prompter->For({"gate.example", "to sign a call of /shop.Orders/Delete",
                               "/usr/bin/<b>orders (process 7)", nullptr});
  prompt->ShowTouch("the security key");
  EXPECT_THAT(desktop.Await(1),
              ElementsAre(AllOf(HasSubstr("show Touch your security key: the security key, to sign "
                                          "a call of /shop.Orders/Delete at gate.example"),
                                HasSubstr("(asked by /usr/bin/&lt;b&gt;orders (process 7))"))));
  prompt->HideTouch();
  EXPECT_EQ(desktop.Await(2).back(), "close 7");
  // Nor does one stay whose work ended without a word.
  prompt->ShowTouch("the security key");
  desktop.Await(3);  // one that is over before it is shown is not shown at all
  prompt.reset();
  EXPECT_EQ(desktop.Await(4).back(), "close 7");
}

TEST(DesktopNoticesTest, WhatIsShownGoesWithTheAgent) {
  PrivateBus bus;
  FakeDesktop desktop(bus.address());
  {
    DesktopNotices notices(bus.address());
    notices.Show("Touch", "it");
    desktop.Await(1);
  }
  EXPECT_THAT(desktop.Await(2), ElementsAre("show Touch: it", "close 7"));
}

TEST(DesktopNoticesTest, WithoutABusOrADesktopNothingHappens) {
  {
    DesktopNotices nowhere("unix:path=/nonexistent/bus");
    nowhere.Hide(nowhere.Show("Touch", "it"));
  }
  PrivateBus bus;
  DesktopNotices nobody(bus.address());
  nobody.Hide(nobody.Show("Touch", "it"));
}

}  // namespace
}  // namespace forekey
