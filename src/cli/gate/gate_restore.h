// SPDX-License-Identifier: Apache-2.0
// `forekey-gate restore`: puts a backup of the registry in the place of the one that is there.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_
#define FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_

#include <string>

#include "absl/status/statusor.h"
#include "src/gate/config/config.h"

namespace forekey {

// The gate must not run: the registry's lock is taken. `backup` is opened and checked first; the
// old registry is kept beside the new one, and its name returned (empty where there was none). A
// registry from before a revocation does not know of it: what was done since has to be done again.
absl::StatusOr<std::string> RestoreRegistry(const GateConfig& config, const std::string& backup);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_
