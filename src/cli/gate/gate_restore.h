// SPDX-License-Identifier: Apache-2.0
// `forekey-gate restore`: puts a backup of the registry in the place of the one that is there.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_
#define FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/gate/config/config.h"

namespace forekey {

struct RestoreOptions {
  std::string backup;
  // Where the audit log can't be read: restore all the same. What was taken away since the backup
  // is live again then.
  bool without_log = false;
  std::vector<std::string> older_logs;  // files of the audit log that lie elsewhere, unpacked
};

struct Restored {
  std::string kept;                    // the old registry's file; empty where there was none
  std::vector<std::string> reapplied;  // what was taken away again, a line each, for people
  std::vector<std::string> came_back;  // what is not known well enough to do it again
  absl::Status log;                    // why the log could not be read, with `without_log`
};

// The gate must not run: the registry's lock is taken. The backup is opened and checked first, and
// the old registry is kept beside the new one.
//
// A registry from before a revocation does not know of it. So the gate's own audit log is read
// before anything is changed, and what it says was taken away (credentials revoked, invites
// cancelled or used, subjects disabled) is taken away from the copy, each with a line of the audit
// log, before the copy gets the registry's name: whatever ends this early leaves the old registry
// in force. So is what the old registry knows beyond that: a line may have failed. Roles, passwords
// and identities are the backup's; changes of them are told. FailedPrecondition where the log is
// not a file of this gate's, begins after the newest entry of the backup, or lacks lines that may
// be newer than that, unless `without_log`: then nothing is taken away again.
absl::StatusOr<Restored> RestoreRegistry(const GateConfig& config, const RestoreOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_
