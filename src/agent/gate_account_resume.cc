// SPDX-License-Identifier: Apache-2.0
// How a GateAccount goes on with a session that the gate forgot, without a token.
#include <utility>

#include "spdlog/spdlog.h"
#include "src/agent/gate_account.h"
#include "src/base/status.h"

namespace forekey {

void GateAccount::DropParent() {
  const Parent dropped = std::exchange(parent_, Parent());
  if (Usable(dropped.session) && !dropped.session->ticket().bytes.empty()) resumable_ = dropped;
}

std::optional<absl::StatusOr<GateAccount::Parent>> GateAccount::ResumeParent() {
  Parent old;
  {
    absl::MutexLock lock(&mutex_);
    old = std::exchange(resumable_, Parent());
  }
  if (!Usable(old.session)) return std::nullopt;
  absl::StatusOr<ClientSessionPtr> resumed =
      connection()->ResumeSession(*old.session, old.gate_identity);
  if (resumed.ok()) {
    Parent parent = old;
    parent.session = *std::move(resumed);
    parent.notes.clear();
    Remember(parent, {});
    spdlog::info("gate {}: the session was resumed, no token signed", audience_);
    return parent;
  }
  // The gate can't be reached, or has to wait for its registry: no reason to ask for a token.
  if (absl::IsUnavailable(resumed.status()) || absl::IsDeadlineExceeded(resumed.status())) {
    absl::MutexLock lock(&mutex_);
    if (ended_.ok() && parent_.session == nullptr) resumable_ = old;
    return resumed.status();
  }
  spdlog::info("gate {}: the session could not be resumed: {}", audience_,
               std::string(resumed.status().message()));
  return std::nullopt;
}

}  // namespace forekey
