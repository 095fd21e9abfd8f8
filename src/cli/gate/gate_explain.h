// SPDX-License-Identifier: Apache-2.0
// `forekey-gate explain`: what the rules of a config would say to a call.
#ifndef FOREKEY_SRC_CLI_GATE_GATE_EXPLAIN_H_
#define FOREKEY_SRC_CLI_GATE_GATE_EXPLAIN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/policy/call_policy.h"

namespace forekey {

struct ExplainQuestion {
  std::string subject;
  std::vector<std::string> roles;
  std::string method;
  std::vector<std::string>
      factors;          // NAME or NAME:AGE, the age as in the config; without: just now
  bool device = false;  // hardware signs the call
  bool child = false;   // a child session's proof
};

// {"verdict": "admitted" | "refused" | "exempt", "why", "reason", "step_up", "rule": {"line",
// "pattern",
// ...}}. InvalidArgument for a question that can't be asked.
absl::StatusOr<nlohmann::json> Explain(const CallPolicy& policy, const ExplainQuestion& question);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_GATE_GATE_EXPLAIN_H_
