// SPDX-License-Identifier: Apache-2.0
// What of a Gate is not the application's to see: for Forekey's own programs, benchmarks and tests.
#ifndef FOREKEY_SRC_GATE_GRPC_GATE_ACCESS_H_
#define FOREKEY_SRC_GATE_GRPC_GATE_ACCESS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "forekey/gate.h"
#include "src/gate/service/gate_core.h"

namespace forekey {

class GateAccess {
 public:
  // A gate of that core: of a configuration that `forekey-gate serve` read, or of a test's clocks
  // and stores.
  static absl::StatusOr<std::unique_ptr<Gate>> New(std::unique_ptr<GateCore> core);
  static GateCore& CoreOf(Gate& gate);
};

inline GateCore& CoreOf(Gate& gate) { return GateAccess::CoreOf(gate); }

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_GRPC_GATE_ACCESS_H_
