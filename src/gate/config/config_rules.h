// SPDX-License-Identifier: Apache-2.0
// The [rules] and [[rule]] of the configuration, which can be read again while the gate runs.
#ifndef FOREKEY_SRC_GATE_CONFIG_CONFIG_RULES_H_
#define FOREKEY_SRC_GATE_CONFIG_CONFIG_RULES_H_

#include "src/gate/settings/config_reader.h"
#include "src/policy/method_rules.h"

namespace forekey {

// Reports to the reader: a rule's own mistakes at its line, and those between rules at the later
// one's.
void ReadRules(ConfigTable& root, MethodPolicyOptions& options);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CONFIG_CONFIG_RULES_H_
