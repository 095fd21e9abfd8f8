// SPDX-License-Identifier: Apache-2.0
// Tells rules apart: two gates with the same rules give the same text, whatever their files are
// called and however those are laid out.
#ifndef FOREKEY_SRC_GATE_SERVICE_RULES_VERSION_H_
#define FOREKEY_SRC_GATE_SERVICE_RULES_VERSION_H_

#include <string>

#include "src/policy/method_rules.h"

namespace forekey {

// 16 hex digits of a SHA-256 over all that the rules say; lines do not count.
std::string RulesVersion(const MethodPolicyOptions& rules);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_RULES_VERSION_H_
