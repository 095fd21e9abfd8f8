// SPDX-License-Identifier: Apache-2.0
// The gate's record of a session, which its client keeps for it (docs/PROTOCOL.md, "Resumption"):
// all that another process of this gate needs to go on with the session, sealed under a key that no
// client has (ticket_keys.h). Times are wall time, as a ticket outlives processes and hosts.
#ifndef FOREKEY_SRC_GATE_CALL_SESSION_TICKET_H_
#define FOREKEY_SRC_GATE_CALL_SESSION_TICKET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/store/session.h"

namespace forekey {

struct SessionTicket {
  struct Factor {
    std::string name;  // 1..255 bytes
    absl::Time proved_at;
  };
  static constexpr size_t kMaxFactors = 32;

  std::string session_id;  // 16 bytes: which one it was, for the audit log
  Secret key;              // 32 bytes
  SessionLineage lineage;
  bool further_factors = false;  // lineage.factors_epoch counts
  absl::Time issued_at;
  absl::Time good_until;  // it would have idled out then, or ended
  uint32_t idle_s = 0;
  std::vector<std::string> credential_ids;  // 1..3, 32 bytes each, strictly ascending
  std::vector<Factor> factors;              // at most kMaxFactors

  // Of a session with a lineage that is alive.
  static SessionTicket Of(const Session& session, const Clock& clock);

  // version 1 || session_id || key || family || serial 8 || sessions_epoch 8 || factors_epoch 8 ||
  // ends_at 8 || further_factors 1 || issued_at 8 || good_until 8 || idle_s 4 || n 1 || n * id ||
  // m 1 || m * (len1 name || proved_at 8). Times are Unix nanoseconds.
  Secret Serialize() const;
  // Refuses with kTicketInvalid: another version, sizes or order, an id or a name twice, something
  // left over.
  static absl::StatusOr<SessionTicket> Parse(absl::string_view bytes);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_SESSION_TICKET_H_
