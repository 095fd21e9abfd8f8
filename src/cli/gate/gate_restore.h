// SPDX-License-Identifier: Apache-2.0
// `forekey-gate restore`: puts a backup of the registry in the place of the one that is there.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_
#define FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/gate/config/config.h"

namespace forekey {

// The gate must not run: the registry's lock is taken. `backup` is opened and checked first; the
// old registry is kept beside the new one, and its name returned (empty where there was none). A
// registry from before a revocation does not know of it: ReapplyRevocations() must follow.
absl::StatusOr<std::string> RestoreRegistry(const GateConfig& config, const std::string& backup);

// Takes away again what the gate's own audit log says was taken away (credentials revoked, subjects
// disabled) and the registry still lets in; each is a line of the audit log. Gives what was done, a
// line each, for people. FailedPrecondition where the log is not a file of this gate's.
absl::StatusOr<std::vector<std::string>> ReapplyRevocations(const GateConfig& config);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_RESTORE_H_
