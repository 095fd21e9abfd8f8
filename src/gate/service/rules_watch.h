// SPDX-License-Identifier: Apache-2.0
// Reads the rules again while the gate runs, from the file that the config came from.
#ifndef FOREKEY_SRC_GATE_SERVICE_RULES_WATCH_H_
#define FOREKEY_SRC_GATE_SERVICE_RULES_WATCH_H_

#include <string>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "src/base/deadline.h"
#include "src/base/reread.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/live_rules.h"
#include "src/gate/config/config.h"
#include "src/gate/factor/gate_factors.h"

namespace forekey {

// Safe from any thread.
class RulesWatch {
 public:
  // All are borrowed. `changed` rings after each reload.
  RulesWatch(const GateConfig& config, const GateFactors& factors, LiveRules& rules,
             AuditLog& audit, Bell& changed);

  // Reads them now (nothing, where the config came from no file). On an error the old rules stay;
  // either way the audit log and stderr have it, and name what else was changed in the file and
  // takes a restart.
  absl::Status Reload();

  // Of the rules that are in force (src/gate/service/rules_version.h).
  std::string version() const {
    absl::MutexLock lock(&version_mutex_);
    return version_;
  }

  // Reloads when the file has changed, and again, after a pause that grows, until what it says is
  // in force; a failure is told once. Called once a second or so.
  void Look();

 private:
  // `asked`: somebody did, and is told of each failure.
  absl::Status ReloadNow(bool asked) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const GateConfig& config_;
  const GateFactors& factors_;
  LiveRules& rules_;
  AuditLog& audit_;
  Bell& changed_;
  mutable absl::Mutex version_mutex_;
  std::string version_ ABSL_GUARDED_BY(version_mutex_);
  absl::Mutex mutex_;
  Reread reread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_RULES_WATCH_H_
