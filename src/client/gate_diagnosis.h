// SPDX-License-Identifier: Apache-2.0
// Why a gate can't be reached. gRPC has one code for all that keeps a connection from being made,
// and words that change with its version; so the connection is tried once more without it, as far
// as the TLS handshake, and each step says what was wrong. Nothing is sent to the gate.
#ifndef FOREKEY_SRC_CLIENT_GATE_DIAGNOSIS_H_
#define FOREKEY_SRC_CLIENT_GATE_DIAGNOSIS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "forekey/v1/agent.pb.h"
#include "src/client/tls_channel.h"

namespace forekey {

struct GateDiagnosis {
  forekey::v1::GateTrouble trouble = forekey::v1::GATE_TROUBLE_UNSPECIFIED;  // none was found
  std::string advice;  // what is wrong and what to do, for people
};

// Blocks for at most about `timeout`.
GateDiagnosis DiagnoseGate(const GateTarget& target, absl::Duration timeout);

// The trouble as a payload of the status, for GateTroubleOf() and the agent's clients.
void SetGateTrouble(forekey::v1::GateTrouble trouble, absl::Status* status);
forekey::v1::GateTrouble GateTroubleOf(const absl::Status& status);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_GATE_DIAGNOSIS_H_
