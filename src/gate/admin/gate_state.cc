// SPDX-License-Identifier: Apache-2.0
#include "src/gate/admin/gate_state.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
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

std::string MachineName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unnamed";
}

}  // namespace

absl::StatusOr<std::unique_ptr<GateState>> GateState::Open(const GateConfig& config,
                                                           StandIns stand_ins) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config.state.directory));
  std::unique_ptr<GateState> state(new GateState(*stand_ins.clock));
  if (stand_ins.registry == nullptr) {
    FOREKEY_RETURN_IF_ERROR(state->OpenShared(config, stand_ins));
  }
  if (stand_ins.audit == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(stand_ins.audit, OpenAuditSink(config));
  }
  AuditOptions options = config.audit.options;
  if (state->shared_registry_ != nullptr) {
    state->replica_ = config.cluster.name.empty() ? MachineName() : config.cluster.name;
  }
  options.replica = state->replica_;
  state->audit_ =
      std::make_unique<AuditLog>(std::move(stand_ins.audit), std::move(options), *stand_ins.clock);
  FOREKEY_RETURN_IF_ERROR(state->OpenIdentities(config, *stand_ins.clock));
  if (stand_ins.registry == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(stand_ins.registry, OpenSqliteRegistry(config.state.RegistryPath()));
  }
  state->credentials_ = std::make_unique<LiveCredentials>(std::move(stand_ins.registry));
  return state;
}

absl::Status GateState::OpenShared(const GateConfig& config, StandIns& stand_ins) {
  if (stand_ins.shared_registry == nullptr) {
    if (config.state.registry.empty()) return absl::OkStatus();
    FOREKEY_ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(config.state.LockPath()));
    lock_.emplace(std::move(lock));
    FOREKEY_ASSIGN_OR_RETURN(stand_ins.shared_registry,
                             PostgresRegistry::Open(config.state.registry));
  }
  shared_registry_ = std::move(stand_ins.shared_registry);
  stand_ins.registry = shared_registry_;
  return absl::OkStatus();
}

absl::Status GateState::OpenIdentities(const GateConfig& config, const Clock& clock) {
  const std::string directory = config.state.IdentityDirectory();
  if (shared_registry_ != nullptr && access((directory + "/keys").c_str(), F_OK) != 0) {
    // A new identity would be another one than the agents have pinned.
    FOREKEY_ASSIGN_OR_RETURN(const auto owner, shared_registry_->FindOwner());
    if (owner) {
      return absl::FailedPreconditionError(absl::StrCat(
          "this registry belongs to the gate ", owner->audience, " with the identity ",
          absl::BytesToHexString(owner->identity), ", and there is none in ", directory,
          ": bring it here with `forekey-gate identity export` and `import`"));
    }
  }
  FOREKEY_ASSIGN_OR_RETURN(identities_,
                           GateIdentities::Open(directory, clock, config.identity.overlap));
  if (shared_registry_ == nullptr) return absl::OkStatus();
  return shared_registry_->Claim({config.audience, identities_->current()->fingerprint()});
}

}  // namespace forekey
