// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/heads_file.h"

#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/base/deadline.h"

namespace forekey {

struct HeadsFile::State {
  State(std::string path, AppendToFile append) : path(std::move(path)), append(std::move(append)) {}
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return !next.has_value(); }
  bool Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return stopping || next.has_value(); }

  const std::string path;
  const AppendToFile append;
  absl::Mutex mutex;
  std::optional<AuditHead> next ABSL_GUARDED_BY(mutex);  // until it is written, or failed
  AuditHead told ABSL_GUARDED_BY(mutex);                 // the last one that was written
  absl::Status status ABSL_GUARDED_BY(mutex);            // what the last one came to
  bool held_up ABSL_GUARDED_BY(mutex) = false;           // somebody gave up waiting for `next`
  bool stopping ABSL_GUARDED_BY(mutex) = false;
};

HeadsFile::HeadsFile(std::string path, absl::Duration patience, AppendToFile append)
    : patience_(patience),
      state_(std::make_shared<State>(std::move(path), std::move(append))),
      writer_([state = state_] { Run(*state); }) {}

HeadsFile::~HeadsFile() {
  bool idle;
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    idle = state_->Idle();
  }
  if (idle) {
    writer_.join();
  } else {
    writer_.detach();
  }
}

void HeadsFile::Run(State& state) {
  absl::MutexLock lock(&state.mutex);
  for (;;) {
    state.mutex.Await(absl::Condition(&state, &State::Due));
    if (!state.next) return;
    const AuditHead head = *state.next;
    state.mutex.Unlock();
    absl::Status status = state.append(state.path, SerializeHead(head));
    state.mutex.Lock();
    if (status.ok()) state.told = head;
    state.status = std::move(status);
    state.held_up = false;
    state.next.reset();
  }
}

absl::Status HeadsFile::Note(const AuditHead& head) {
  State& state = *state_;
  absl::MutexLock lock(&state.mutex);
  const absl::Condition idle(&state, &State::Idle);
  if (AwaitFor(state.mutex, idle, state.held_up ? absl::ZeroDuration() : patience_)) {
    if (head == state.told) return absl::OkStatus();
    state.next = head;
    if (AwaitFor(state.mutex, idle, patience_)) return state.status;
  }
  state.held_up = true;
  return absl::UnavailableError(absl::StrCat(state.path, ": writing is held up"));
}

}  // namespace forekey
