// SPDX-License-Identifier: Apache-2.0
#include "src/agent/desktop_notices.h"

#include <systemd/sd-bus.h>

#include <utility>

#include "absl/strings/str_replace.h"
#include "spdlog/spdlog.h"

namespace forekey {
namespace {

constexpr uint64_t kPatienceMicros = 2'000'000;
constexpr size_t kMostTasks = 16;
constexpr char kName[] = "org.freedesktop.Notifications";
constexpr char kPath[] = "/org/freedesktop/Notifications";

}  // namespace

// One connection, made when it is needed, and again after it broke. Of one thread.
struct DesktopNotices::Bus {
  explicit Bus(std::string bus_address) : address(std::move(bus_address)) {}
  ~Bus() { sd_bus_flush_close_unref(bus); }

  bool Connect() {
    if (bus != nullptr && sd_bus_is_open(bus) > 0) return true;
    sd_bus_close_unref(std::exchange(bus, nullptr));
    shown.clear();  // what a desktop that went away showed
    int result = 0;
    if (address.empty()) {
      result = sd_bus_open_user(&bus);
    } else {
      result = sd_bus_new(&bus);
      if (result >= 0) result = sd_bus_set_address(bus, address.c_str());
      if (result >= 0) result = sd_bus_set_bus_client(bus, 1);
      if (result >= 0) result = sd_bus_start(bus);
    }
    if (result < 0) {
      sd_bus_close_unref(std::exchange(bus, nullptr));
      return false;
    }
    sd_bus_set_method_call_timeout(bus, kPatienceMicros);
    return true;
  }

  void Show(uint64_t notice, const std::string& summary, const std::string& body) {
    if (!Connect()) return;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message* reply = nullptr;
    // Urgent, so that it stays; without actions and without an end of its own.
    const int result = sd_bus_call_method(
        bus, kName, kPath, kName, "Notify", &error, &reply, "susssasa{sv}i", "Forekey", 0u,
        "dialog-password", summary.c_str(), body.c_str(), 0, 1, "urgency", "y", uint8_t{2}, 0);
    uint32_t id = 0;
    if (result < 0) {
      spdlog::debug("the desktop shows no notice: {}",
                    error.message == nullptr ? "no answer" : error.message);
    } else if (sd_bus_message_read(reply, "u", &id) > 0) {
      shown[notice] = id;
    }
    sd_bus_message_unref(reply);
    sd_bus_error_free(&error);
  }

  // Whether the desktop answered, where there was something to hide.
  bool Hide(uint64_t notice) {
    const auto found = shown.find(notice);
    if (found == shown.end()) return true;
    const uint32_t id = found->second;
    shown.erase(found);
    return bus != nullptr && sd_bus_call_method(bus, kName, kPath, kName, "CloseNotification",
                                                nullptr, nullptr, "u", id) >= 0;
  }

  const std::string address;
  sd_bus* bus = nullptr;
  std::map<uint64_t, uint32_t> shown;  // the desktop's numbers
};

DesktopNotices::DesktopNotices(std::string bus)
    : address_(std::move(bus)), thread_([this] { Run(); }) {}

DesktopNotices::~DesktopNotices() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

uint64_t DesktopNotices::Show(std::string summary, absl::string_view body) {
  // The specification lets a body have markup.
  std::string text = absl::StrReplaceAll(body, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
  absl::MutexLock lock(&mutex_);
  if (tasks_.size() >= kMostTasks) return 0;  // the desktop does not keep up
  const uint64_t notice = ++last_;
  tasks_.push_back({notice, [notice, summary = std::move(summary), text = std::move(text)](
                                Bus& bus) { bus.Show(notice, summary, text); }});
  return notice;
}

void DesktopNotices::Hide(uint64_t notice) {
  absl::MutexLock lock(&mutex_);
  // One that the desktop has not heard of yet is not shown at all.
  if (tasks_.remove_if([notice](const Task& task) { return task.notice == notice; }) > 0) return;
  if (notice != 0) tasks_.push_back({notice, [notice](Bus& bus) { bus.Hide(notice); }});
}

void DesktopNotices::Run() {
  Bus bus(address_);
  while (true) {
    std::function<void(Bus&)> task;
    {
      absl::MutexLock lock(&mutex_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || !tasks_.empty();
      };
      mutex_.Await(absl::Condition(&ready));
      if (stopping_) break;
      task = std::move(tasks_.front().run);
      tasks_.pop_front();
    }
    task(bus);
  }
  while (!bus.shown.empty() && bus.Hide(bus.shown.begin()->first)) continue;
}

}  // namespace forekey
