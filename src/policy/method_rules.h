// SPDX-License-Identifier: Apache-2.0
// Rules as the configuration says them (docs/CONFIG.md, "Rules"): data. What they mean is
// CallPolicy's.
#ifndef FOREKEY_SRC_POLICY_METHOD_RULES_H_
#define FOREKEY_SRC_POLICY_METHOD_RULES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace forekey {

// One factor of a combination, and how old its proof may be.
struct FactorNeed {
  std::string name;  // IsFactorName()
  absl::Duration max_age = absl::InfiniteDuration();
};
using FactorCombination = std::vector<FactorNeed>;

struct MethodRule {
  std::vector<std::string> methods;        // MethodPattern
  std::vector<std::string> any_role;       // one of these; empty: any verified subject
  bool fresh_call = false;                 // only a device proof made for this call
  std::vector<FactorCombination> factors;  // all of one of these; empty: any
  // Without `factors`: how long ago some token must have been proved. (With them, each has its
  // own.)
  absl::Duration max_age = absl::InfiniteDuration();
  bool child_sessions = true;
  bool reauthenticate = false;  // a live call may go on under a later session of its subject
  int line = 0;                 // of the config, for people
};

struct MethodPolicyOptions {
  std::vector<std::string> exempt;  // exact; besides the gate's own three
  std::vector<MethodRule> rules;    // a pattern stands in at most one
  // Methods that no rule matches: any verified subject, or nobody. Where it is not said: nobody, as
  // soon as there is a rule.
  std::optional<bool> permit_unlisted;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_POLICY_METHOD_RULES_H_
