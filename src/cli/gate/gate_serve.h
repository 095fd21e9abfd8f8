// SPDX-License-Identifier: Apache-2.0
// `forekey-gate serve`: a gate of its own. Behind it are the services of [[upstream]], which it
// passes admitted calls on to, or nothing: what front ends and enrolment need.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_SERVE_H_
#define FOREKEY_SRC_CLI_GATE_GATE_SERVE_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace forekey {

// Serves until SIGINT or SIGTERM; SIGHUP reads certificates, rules and
// upstreams again. Prints one line to `out`
// once calls are taken. Must be called before any other thread exists: it blocks those signals.
absl::Status ServeGate(const std::string& config_file, std::ostream& out, std::ostream& err);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_SERVE_H_
