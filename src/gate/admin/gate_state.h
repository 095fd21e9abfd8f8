// SPDX-License-Identifier: Apache-2.0
// What a gate keeps: the registry (on its disk, or in PostgreSQL), its identity and the audit log.
// A gate that runs holds it; administration opens it by itself where none runs. It needs nothing
// else of the configuration: no TLS certificate, no trust folder, no rules.
#ifndef FOREKEY_SRC_GATE_ADMIN_GATE_STATE_H_
#define FOREKEY_SRC_GATE_ADMIN_GATE_STATE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/gate/audit/audit.h"
#include "src/gate/config/config.h"
#include "src/gate/session/identity.h"
#include "src/store/live_credentials.h"
#include "src/store/postgres/postgres_registry.h"
#include "src/store/registry.h"
#include "src/store/sqlite_database.h"

namespace forekey {

class GateState {
 public:
  // What tests bring instead of the real thing. Null: what the config says.
  struct StandIns {
    const Clock* clock = &Clock::System();
    std::shared_ptr<Registry> registry;
    std::shared_ptr<PostgresRegistry> shared_registry;  // instead
    std::unique_ptr<AuditSink> audit;
  };

  // Makes what is not there yet. Errors name the file and what to do about it; one is that a gate
  // holds the state folder already.
  static absl::StatusOr<std::unique_ptr<GateState>> Open(const GateConfig& config,
                                                         StandIns stand_ins);

  const Clock& clock() const { return clock_; }
  AuditLog& audit() const { return *audit_; }
  GateIdentities& identities() const { return *identities_; }
  LiveCredentials& credentials() const { return *credentials_; }
  Registry& registry() const { return credentials_->registry(); }
  // The same, where replicas share it; null where the registry is this gate's alone.
  PostgresRegistry* shared_registry() const { return shared_registry_.get(); }
  // What this one of them is called: [cluster] name, or the machine's. Empty where it is alone.
  const std::string& replica() const { return replica_; }

 private:
  explicit GateState(const Clock& clock) : clock_(clock) {}

  // What a state folder and a registry that is shared have to say of each other.
  absl::Status OpenShared(const GateConfig& config, StandIns& stand_ins);
  absl::Status OpenIdentities(const GateConfig& config, const Clock& clock);

  const Clock& clock_;
  // Where the registry is SQLite's, its own lock keeps a second gate away.
  std::optional<FileLock> lock_;
  std::shared_ptr<PostgresRegistry> shared_registry_;
  std::string replica_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<GateIdentities> identities_;
  std::unique_ptr<LiveCredentials> credentials_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ADMIN_GATE_STATE_H_
