// SPDX-License-Identifier: Apache-2.0
// Checks what the audit logs of several gates over one registry must agree on, and what no one of
// them shows: a session is resumed once, an invite used once, and nothing is admitted by a
// credential that another gate had revoked. Each log's own chain is for VerifyAudit() to check.
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_SPAN_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_SPAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/gate/audit/audit_verify.h"

namespace forekey {

struct AuditSpan {
  uint64_t resumed = 0;   // sessions that went on
  uint64_t enrolled = 0;  // invites that were used
  uint64_t revoked = 0;   // credentials
  std::vector<AuditFinding> findings;
};

// `files`: of all logs, in any order. `bound`: for how long after the line of a revocation another
// gate may still admit, by its own clock: a lease, and what the clocks differ by. Lines are
// untrusted; what is no line of a log is passed over. Errors: a file that can't be read.
absl::StatusOr<AuditSpan> CheckAuditSpan(const std::vector<std::string>& files,
                                         absl::Duration bound);
// The same of what files hold: any bytes.
struct AuditContent {
  std::string file;
  absl::string_view content;
};
AuditSpan CheckAuditSpanOf(absl::Span<const AuditContent> contents, absl::Duration bound);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_SPAN_H_
