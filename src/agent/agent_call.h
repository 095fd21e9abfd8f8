// SPDX-License-Identifier: Apache-2.0
// One request of a program on the agent's socket: whether it still waits.
#ifndef FOREKEY_SRC_AGENT_AGENT_CALL_H_
#define FOREKEY_SRC_AGENT_AGENT_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/agent/prompt_place.h"
#include "src/base/deadline.h"

namespace forekey {

// The patience of who waits for something that blocks. When `cancelled` says so, waiting ends and
// the token is told.
struct CallControl {
  std::function<bool()> cancelled;
  Deadline deadline;
  std::string program;  // that it is done for, for people; empty: not known
  PromptPlace place;    // where its person sits
  bool Cancelled() const { return cancelled && cancelled(); }
};

inline absl::Status CallerGone() { return absl::CancelledError("the caller gave up"); }

// Safe from any thread.
class AgentCall {
 public:
  explicit AgentCall(std::string program = "", PromptPlace place = {})
      : program_(std::move(program)), place_(std::move(place)) {}
  // That asks, for people: "/usr/bin/orders (process 4711)"; empty where it is not known.
  const std::string& program() const { return program_; }
  const PromptPlace& place() const { return place_; }

  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }

  // The program has gone, or its deadline has passed.
  void Cancel() {
    for (const Hook& hook : TakeHooks(/*cancel=*/true)) hook();
  }

  // Runs `hook` when the call is cancelled: now, where it is already.
  using Hook = std::function<void()>;
  void OnCancel(Hook hook) {
    {
      absl::MutexLock lock(&mutex_);
      if (ended_) return;
      if (!cancelled_) {
        hooks_.push_back(std::move(hook));
        return;
      }
    }
    hook();
  }

  // The call was answered: drops the hooks, and what they hold.
  void End() { TakeHooks(/*cancel=*/false); }

 private:
  std::vector<Hook> TakeHooks(bool cancel) {
    absl::MutexLock lock(&mutex_);
    if (cancel) {
      cancelled_ = true;
    } else {
      ended_ = true;
    }
    return std::exchange(hooks_, {});
  }

  const std::string program_;
  const PromptPlace place_;
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Hook> hooks_ ABSL_GUARDED_BY(mutex_);
};

using AgentCallPtr = std::shared_ptr<AgentCall>;

// For work that is done for one call alone.
inline CallControl ControlOf(const AgentCallPtr& call) {
  CallControl control;
  control.cancelled = [call] { return call->cancelled(); };
  control.program = call->program();
  control.place = call->place();
  return control;
}

// Starts something that answers later, and waits for the answer as long as `control` lets it.
template <typename Result>
absl::StatusOr<Result> Await(
    const CallControl& control,
    const std::function<void(const AgentCallPtr&, std::function<void(absl::StatusOr<Result>)>)>&
        start) {
  constexpr absl::Duration kPoll = absl::Milliseconds(20);
  auto call = std::make_shared<AgentCall>(control.program, control.place);
  struct Answer {
    absl::Mutex mutex;
    bool there = false;
    absl::StatusOr<Result> result = absl::UnknownError("not answered");
  };
  auto answer = std::make_shared<Answer>();
  start(call, [answer](absl::StatusOr<Result> result) {
    absl::MutexLock lock(&answer->mutex);
    answer->result = std::move(result);
    answer->there = true;
  });
  for (bool there = false; !there;) {
    if (control.Cancelled()) call->Cancel();
    absl::MutexLock lock(&answer->mutex);
    there = AwaitFor(answer->mutex, absl::Condition(&answer->there), kPoll);
  }
  call->End();
  absl::MutexLock lock(&answer->mutex);
  return std::move(answer->result);
}

}  // namespace forekey

#endif  // FOREKEY_SRC_AGENT_AGENT_CALL_H_
