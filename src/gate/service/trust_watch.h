// SPDX-License-Identifier: Apache-2.0
// Reads what enrolments are verified by again while the gate runs: trust folders, revocation lists,
// metadata.
#ifndef FOREKEY_SRC_GATE_SERVICE_TRUST_WATCH_H_
#define FOREKEY_SRC_GATE_SERVICE_TRUST_WATCH_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "src/gate/audit/audit.h"
#include "src/gate/token/live_trust.h"

namespace forekey {

// Safe from any thread.
class TrustWatch {
 public:
  // All are borrowed. `changed` is told of each kind whose trust was read again.
  TrustWatch(std::vector<LiveTrust*> trust, AuditLog& audit,
             std::function<void(TokenKind)> changed);

  // The audit log, and stderr where files were left out, get what the first readings found. An
  // error: it could not be written.
  absl::Status ReportFirstReadings();

  // Reads all of them now. On an error of a kind what it had stays; either way the audit log and
  // stderr have it. The first error.
  absl::Status Reload();

  // Reloads those whose files have changed, and again, after a pause that grows, until what they
  // say is in force; a failure is told once. Called once a second or so.
  void Look();

 private:
  // `asked`: somebody did, and is told of each failure.
  absl::Status ReloadOne(LiveTrust& trust, bool asked);

  const std::vector<LiveTrust*> trust_;
  AuditLog& audit_;
  const std::function<void(TokenKind)> changed_;
  absl::Mutex mutex_;  // one reload after the other
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_TRUST_WATCH_H_
