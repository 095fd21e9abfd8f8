// Whether rules ask for what this gate can have proved.
#ifndef FOREKEY_SRC_GATE_SERVICE_RULE_FACTORS_H_
#define FOREKEY_SRC_GATE_SERVICE_RULE_FACTORS_H_

#include <string>

#include "absl/status/status.h"
#include "src/gate/factor/gate_factors.h"
#include "src/gate/token/token_settings.h"
#include "src/policy/method_rules.h"

namespace forekey {

// InvalidArgument for a rule that wants a factor of an application (a name with a dot) which no
// section of this gate enables, or a kind of token that the gate doesn't know: nobody could ever
// call its methods, and it is most likely misspelt. The configuration alone can't tell, as programs
// add sections of their own after it was read. `file`: that the rules came from, for the error.
absl::Status CheckRuleFactors(const MethodPolicyOptions& rules, const std::string& file,
                              const GateFactors& factors, const TokenSettings& tokens);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_RULE_FACTORS_H_
