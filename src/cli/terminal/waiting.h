// SPDX-License-Identifier: Apache-2.0
// Tells a person at a terminal that something takes its time.
#ifndef FOREKEY_SRC_CLI_TERMINAL_WAITING_H_
#define FOREKEY_SRC_CLI_TERMINAL_WAITING_H_

#include <ostream>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace forekey {

// While it lives, and from a second on: "WHAT ... 3 s", in one line of the terminal, which is
// cleared at the end. Nothing where nobody looks.
class Waiting {
 public:
  // `on_terminal`: whether `err` is one. `patience`: how long before the first line.
  Waiting(std::ostream& err, bool on_terminal, std::string what,
          absl::Duration patience = absl::Seconds(1));
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  // A line of its own, which stays.
  void Tell(absl::string_view line);

 private:
  void Run();
  void Clear() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::ostream& err_;
  const std::string what_;
  const absl::Duration patience_;
  absl::Mutex mutex_;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  size_t shown_ ABSL_GUARDED_BY(mutex_) = 0;  // columns of the line that stands there
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_WAITING_H_
