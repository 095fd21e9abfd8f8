// SPDX-License-Identifier: Apache-2.0
// The gate's memory between the two steps of an enrolment, which the client keeps for it: sealed
// under a key of this process, so that nothing a stranger sends makes the gate remember anything.
#ifndef FOREKEY_SRC_GATE_ENROLL_ENROLLMENT_TICKET_H_
#define FOREKEY_SRC_GATE_ENROLL_ENROLLMENT_TICKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/boot_time.h"
#include "src/base/secret.h"

namespace forekey {

struct EnrollmentTicket {
  BootTime expires_at;
  std::string enrollment_id;      // 16 bytes
  std::string invite_public_key;  // 32 bytes
  Secret state;                   // the token kind's, at most 65535 bytes: an activation secret
  std::string opening;            // serialized, as the invite's key signed it

  // version 1 || expires 8 || enrollment_id || invite_public_key || len2 state || opening.
  Secret Serialize() const;
  // Refuses with kEnrollmentTicketInvalid.
  static absl::StatusOr<EnrollmentTicket> Parse(absl::string_view bytes);
};

// Seals tickets and opens its own alone. Safe from any thread.
class TicketSealer {
 public:
  explicit TicketSealer(absl::string_view audience);
  std::string Seal(const EnrollmentTicket& ticket) const;
  // Refuses with kEnrollmentTicketInvalid; also a ticket that has expired at `now`.
  absl::StatusOr<EnrollmentTicket> Open(absl::string_view sealed, BootTime now) const;

 private:
  const std::string associated_data_;
  const Secret key_;  // random per process
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ENROLL_ENROLLMENT_TICKET_H_
