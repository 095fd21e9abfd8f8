// SPDX-License-Identifier: Apache-2.0
// Administration while no gate runs: what `forekey-gate` falls back to. It opens the state folder,
// and nothing else that a gate needs to run: no TLS certificate, no trust folder, no rules, no keys
// of identity providers. A gate that can't start is just when credentials must still be revoked.
#ifndef FOREKEY_SRC_GATE_ADMIN_GATE_AT_REST_H_
#define FOREKEY_SRC_GATE_ADMIN_GATE_AT_REST_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/gate/admin/administration.h"
#include "src/gate/admin/gate_state.h"
#include "src/gate/token/gate_tokens.h"

namespace forekey {

// Safe from any thread.
class GateAtRest {
 public:
  // Errors: those of GateState::Open(). While it lives, no gate can start.
  static absl::StatusOr<std::unique_ptr<GateAtRest>> Open(GateConfig config,
                                                          GateState::StandIns stand_ins = {});

  Administration& admin() { return *admin_; }

 private:
  explicit GateAtRest(GateConfig config) : config_(std::move(config)) {}
  // Reads the trust at the first call.
  absl::StatusOr<CredentialRecheck*> Recheck();

  const GateConfig config_;
  std::unique_ptr<GateState> state_;
  std::unique_ptr<GateFactors> factors_;
  absl::Mutex mutex_;
  std::unique_ptr<GateTokens> tokens_;  // written once, before recheck_ is
  std::unique_ptr<CredentialRecheck> recheck_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Administration> admin_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ADMIN_GATE_AT_REST_H_
