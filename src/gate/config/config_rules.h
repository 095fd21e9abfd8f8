// The [rules] and [[rule]] of the configuration, which can be read again while the gate runs.
#ifndef FOREKEY_SRC_GATE_CONFIG_CONFIG_RULES_H_
#define FOREKEY_SRC_GATE_CONFIG_CONFIG_RULES_H_

#include "src/gate/factor/password_factor.h"
#include "src/gate/settings/config_reader.h"
#include "src/policy/call_policy.h"

namespace forekey {

// Reports to the reader: a rule's own mistakes at its line, and those between rules at the later
// one's.
void ReadRules(ConfigTable& root, MethodPolicyOptions& options);

// [factors.password].
void ReadFactors(ConfigTable& root, PasswordPolicy& passwords);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CONFIG_CONFIG_RULES_H_
