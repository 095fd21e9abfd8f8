// SPDX-License-Identifier: Apache-2.0
// Notices of the desktop (org.freedesktop.Notifications, over the user's D-Bus) that a token waits
// for a touch.
#ifndef FOREKEY_SRC_AGENT_DESKTOP_NOTICES_H_
#define FOREKEY_SRC_AGENT_DESKTOP_NOTICES_H_

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread. Nobody waits for the desktop: a thread of its own talks to it, and gives up
// after two seconds. Where there is no bus, or nobody on it that shows notices, nothing happens.
class DesktopNotices {
 public:
  // `bus`: its address; empty: the user's own.
  explicit DesktopNotices(std::string bus = "");
  // Takes away what is shown, as long as the desktop answers.
  ~DesktopNotices();
  DesktopNotices(const DesktopNotices&) = delete;
  DesktopNotices& operator=(const DesktopNotices&) = delete;

  // Shows it until Hide(), which takes what this returns. `body` is text, not markup.
  uint64_t Show(std::string summary, absl::string_view body);
  void Hide(uint64_t notice);

 private:
  struct Bus;
  struct Task {
    uint64_t notice = 0;
    std::function<void(Bus&)> run;
  };
  void Run();

  const std::string address_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_DESKTOP_NOTICES_H_
