// SPDX-License-Identifier: Apache-2.0
// How a refusal leaves the gate: the peer gets the coarse code of the reason and a reference
// number, nothing else; the audit log has the rest under that number, and the counters have one
// more.
#ifndef FOREKEY_SRC_GATE_CALL_REFUSALS_H_
#define FOREKEY_SRC_GATE_CALL_REFUSALS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/base/reason.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/gate_counters.h"

namespace forekey {

class VerifiedCall;

// What the audit log says of a caller that was verified.
void DescribeCaller(const VerifiedCall& call, Decision& decision);

// Safe from any thread.
class Refusals {
 public:
  // Both are borrowed.
  Refusals(AuditLog& audit, GateCounters& counters) : audit_(audit), counters_(counters) {}

  // Counts and audits `why`, and gives the public status. `decision` holds what is known of the
  // call besides. The public status has the reason as a payload, which no peer gets.
  absl::Status Tell(Decision decision, const absl::Status& why);
  // The same where nothing is known but the method and the peer.
  absl::Status Tell(const absl::Status& why, absl::string_view method, absl::string_view peer);

  // The two halves, for a path that does not always write. `reason` is ReasonOf(why).
  void Count(std::optional<Reason> reason);
  static absl::Status PublicStatus(const absl::Status& why, std::optional<Reason> reason,
                                   absl::string_view reference);

 private:
  AuditLog& audit_;
  GateCounters& counters_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_REFUSALS_H_
