// SPDX-License-Identifier: Apache-2.0
#include "src/gate/admin/gate_state.h"

#include <utility>

#include "src/base/file.h"
#include "src/base/status.h"
#include "src/gate/audit/audit_chain.h"
#include "src/store/sqlite_registry.h"

namespace forekey {
namespace {

absl::StatusOr<std::unique_ptr<AuditSink>> OpenAuditSink(const GateConfig& config) {
  if (config.audit.file == "stderr") return NewStderrAuditSink(config.audit.options);
  return OpenAuditFile(config.AuditPath(), config.audit.options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GateState>> GateState::Open(const GateConfig& config,
                                                           StandIns stand_ins) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config.state.directory));
  std::unique_ptr<GateState> state(new GateState(*stand_ins.clock));
  if (stand_ins.audit == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(stand_ins.audit, OpenAuditSink(config));
  }
  state->audit_ = std::make_unique<AuditLog>(std::move(stand_ins.audit), config.audit.options,
                                             *stand_ins.clock);
  FOREKEY_ASSIGN_OR_RETURN(state->identities_,
                           GateIdentities::Open(config.state.IdentityDirectory(), *stand_ins.clock,
                                                config.identity.overlap));
  if (stand_ins.registry == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(stand_ins.registry, OpenSqliteRegistry(config.state.RegistryPath()));
  }
  state->credentials_ = std::make_unique<LiveCredentials>(std::move(stand_ins.registry));
  return state;
}

}  // namespace forekey
