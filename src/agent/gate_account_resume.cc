// SPDX-License-Identifier: Apache-2.0
// How a GateAccount goes on with a session that the gate forgot, without a token.
#include <utility>

#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/base/status.h"

namespace forekey {

void GateAccount::DropParent(bool over) {
  Parent dropped = std::exchange(parent_, Parent());
  if (!Usable(dropped.session)) return;
  if (!dropped.session->ticket().bytes.empty()) {
    resumable_ = std::move(dropped);
  } else if (!over) {
    EndLater(std::move(dropped));
  }
}

std::optional<absl::StatusOr<GateAccount::Parent>> GateAccount::ResumeParent() {
  Parent old;
  {
    absl::MutexLock lock(&mutex_);
    old = resumable_;
  }
  if (!Usable(old.session)) return std::nullopt;
  absl::StatusOr<ClientSessionPtr> resumed =
      connection()->ResumeSession(*old.session, old.gate_identity);
  // The gate's certificate was replaced in the middle of it: once more, on the new connection.
  if (absl::IsAborted(resumed.status())) {
    resumed = connection()->ResumeSession(*old.session, old.gate_identity);
  }
  // The gate can't be reached, or has to wait for its registry: no reason to ask for a token.
  if (absl::IsUnavailable(resumed.status()) || absl::IsDeadlineExceeded(resumed.status())) {
    return resumed.status();
  }
  {
    absl::MutexLock lock(&mutex_);
    if (resumable_.session == old.session) resumable_ = Parent();
    // Nothing was sent, or it is not known there how old it is: the gate may still go on with it.
    if (!resumed.ok() && !RefusedByGate(resumed.status())) EndLater(old);
  }
  if (!resumed.ok()) {
    spdlog::info("gate {}: the session could not be resumed: {}", audience_,
                 std::string(resumed.status().message()));
    return std::nullopt;
  }
  Parent parent = old;
  parent.session = *std::move(resumed);
  parent.notes.clear();
  Remember(parent, {});
  spdlog::info("gate {}: the session was resumed, no token signed", audience_);
  return parent;
}

}  // namespace forekey
