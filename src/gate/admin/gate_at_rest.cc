// SPDX-License-Identifier: Apache-2.0
#include "src/gate/admin/gate_at_rest.h"

#include <string>
#include <utility>

#include "src/base/status.h"

namespace forekey {

absl::StatusOr<std::unique_ptr<GateAtRest>> GateAtRest::Open(GateConfig config,
                                                             GateState::StandIns stand_ins) {
  std::unique_ptr<GateAtRest> gate(new GateAtRest(std::move(config)));
  const GateConfig& settings = gate->config_;
  FOREKEY_ASSIGN_OR_RETURN(gate->state_, GateState::Open(settings, std::move(stand_ins)));
  GateState& state = *gate->state_;
  // Not started: a provider's keys are fetched when an administrator asks, and no opening is
  // judged.
  gate->factors_ = std::make_unique<GateFactors>(
      settings.factors,
      FactorEnvironment{&state.registry(), &state.clock(), [](bool, const std::string&) {}});
  AdministrationNeeds needs;
  needs.config = &settings;
  needs.state = &state;
  needs.factors = gate->factors_.get();
  needs.recheck = [raw = gate.get()] { return raw->Recheck(); };
  gate->admin_ = std::make_unique<Administration>(std::move(needs));
  return gate;
}

absl::StatusOr<CredentialRecheck*> GateAtRest::Recheck() {
  absl::MutexLock lock(&mutex_);
  if (recheck_ == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(
        tokens_, GateTokens::New(config_.tokens,
                                 {config_.audience, config_.state.directory, &state_->clock()}));
    recheck_ = std::make_unique<CredentialRecheck>(config_.audience, config_.recheck, *state_,
                                                   *tokens_, /*sessions=*/nullptr);
  }
  return recheck_.get();
}

}  // namespace forekey
