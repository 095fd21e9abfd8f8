// SPDX-License-Identifier: Apache-2.0
// The registry that a configuration names, to be read beside a gate that may run.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_REGISTRY_H_
#define FOREKEY_SRC_CLI_GATE_GATE_REGISTRY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/gate/config/config.h"
#include "src/store/registry.h"

namespace forekey {

// Null where it is a file that is not there yet.
absl::StatusOr<std::shared_ptr<Registry>> OpenRegistryToRead(const GateConfig& config);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_REGISTRY_H_
