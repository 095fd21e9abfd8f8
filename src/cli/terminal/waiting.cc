// SPDX-License-Identifier: Apache-2.0
#include "src/cli/terminal/waiting.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/deadline.h"

namespace forekey {

Waiting::Waiting(std::ostream& err, bool on_terminal, std::string what, absl::Duration patience)
    : err_(err), what_(std::move(what)), patience_(patience) {
  if (on_terminal) thread_ = std::thread([this] { Run(); });
}

Waiting::~Waiting() {
  {
    absl::MutexLock lock(&mutex_);
    over_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Waiting::Run() {
  absl::MutexLock lock(&mutex_);
  absl::Duration waited = patience_;
  if (AwaitFor(mutex_, absl::Condition(&over_), patience_)) return;
  while (true) {
    Clear();
    const std::string line = absl::StrCat(what_, " ... ", absl::ToInt64Seconds(waited), " s");
    err_ << line << std::flush;
    shown_ = line.size();
    if (AwaitFor(mutex_, absl::Condition(&over_), absl::Seconds(1))) break;
    waited += absl::Seconds(1);
  }
  Clear();
}

void Waiting::Clear() {
  if (shown_ == 0) return;
  err_ << '\r' << std::string(shown_, ' ') << '\r' << std::flush;
  shown_ = 0;
}

void Waiting::Tell(absl::string_view line) {
  absl::MutexLock lock(&mutex_);
  Clear();
  err_ << line << std::endl;
}

}  // namespace forekey
