#include "src/gate/service/rule_factors.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/wire/step_up.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

absl::Status CheckFactor(const std::string& name, const GateFactors& factors,
                         const TokenSettings& tokens) {
  if (IsOtherFactorName(name)) {
    const bool taken = std::any_of(factors.all().begin(), factors.all().end(),
                                   [&](const auto& factor) { return factor->name() == name; });
    if (taken) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name,
                     " is no factor that this gate takes: it is misspelt, or its section of "
                     "[factors] is not there"));
  }
  const std::optional<TokenKind> kind = TokenKindOfFactor(name);
  if (!kind || tokens.Find(*kind) != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is proved by a kind of token that this gate doesn't know"));
}

}  // namespace

absl::Status CheckRuleFactors(const MethodPolicyOptions& rules, const std::string& file,
                              const GateFactors& factors, const TokenSettings& tokens) {
  for (const MethodRule& rule : rules.rules) {
    for (const FactorCombination& combination : rule.factors) {
      for (const FactorNeed& need : combination) {
        const absl::Status checked = CheckFactor(need.name, factors, tokens);
        if (checked.ok()) continue;
        const std::string where =
            rule.line > 0 ? absl::StrCat(file, ":", rule.line, ": ") : std::string("a rule: ");
        return absl::InvalidArgumentError(absl::StrCat(where, checked.message()));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace forekey
