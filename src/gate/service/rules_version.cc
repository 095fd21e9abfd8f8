// SPDX-License-Identifier: Apache-2.0
#include "src/gate/service/rules_version.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

void AppendWords(std::string& out, const std::vector<std::string>& words) {
  absl::StrAppend(&out, words.size(), "[");
  for (const std::string& word : words) absl::StrAppend(&out, word.size(), ":", word);
  absl::StrAppend(&out, "]");
}

}  // namespace

std::string RulesVersion(const MethodPolicyOptions& rules) {
  std::string text;
  AppendWords(text, rules.exempt);
  absl::StrAppend(&text, rules.permit_unlisted ? (*rules.permit_unlisted ? "yes" : "no") : "unsaid",
                  ";", rules.rules.size(), ";");
  for (const MethodRule& rule : rules.rules) {
    AppendWords(text, rule.methods);
    AppendWords(text, rule.any_role);
    absl::StrAppend(&text, rule.fresh_call, rule.child_sessions, rule.reauthenticate,
                    absl::FormatDuration(rule.max_age), ";", rule.factors.size(), ";");
    for (const FactorCombination& combination : rule.factors) {
      absl::StrAppend(&text, combination.size(), "(");
      for (const FactorNeed& need : combination) {
        absl::StrAppend(&text, need.name.size(), ":", need.name, absl::FormatDuration(need.max_age),
                        ";");
      }
    }
  }
  return absl::BytesToHexString(absl::string_view(Sha256(text)).substr(0, 8));
}

}  // namespace forekey
