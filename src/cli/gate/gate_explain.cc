// SPDX-License-Identifier: Apache-2.0
#include "src/cli/gate/gate_explain.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/settings/config_reader.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

class AskedFacts final : public CallFacts {
 public:
  static absl::StatusOr<AskedFacts> New(const ExplainQuestion& question) {
    AskedFacts facts(question);
    for (const std::string& text : question.factors) {
      const std::pair<std::string, std::string> parts =
          absl::StrSplit(text, absl::MaxSplits(':', 1));
      if (!IsFactorName(parts.first)) {
        return absl::InvalidArgumentError(absl::StrCat("\"", parts.first, "\" is no factor"));
      }
      absl::Duration age;
      if (text.find(':') != std::string::npos) {
        const auto read = ParseConfigDuration(parts.second);
        if (!read) {
          return absl::InvalidArgumentError(
              absl::StrCat("\"", parts.second, "\" is no duration such as 90s, 15m or 2h"));
        }
        age = *read;
      }
      facts.ages_[parts.first] = age;
    }
    return facts;
  }
  absl::string_view subject() const override { return question_.subject; }
  bool HasRole(absl::string_view role) const override {
    return std::find(question_.roles.begin(), question_.roles.end(), role) != question_.roles.end();
  }
  std::optional<absl::Duration> FactorAge(absl::string_view factor) const override {
    auto found = ages_.find(std::string(factor));
    return found == ages_.end() ? std::nullopt : std::make_optional(found->second);
  }
  bool SignedForThisCall() const override { return question_.device; }
  bool FromChildSession() const override { return question_.child; }

 private:
  explicit AskedFacts(const ExplainQuestion& question) : question_(question) {}
  const ExplainQuestion& question_;
  std::map<std::string, absl::Duration> ages_;
};

nlohmann::json RuleJson(const RuleMatch& match) {
  if (!match.rule) return nullptr;
  nlohmann::json factors = nlohmann::json::array();
  for (const FactorCombination& combination : match.rule->factors) {
    nlohmann::json together = nlohmann::json::array();
    for (const FactorNeed& need : combination) {
      together.push_back(need.max_age == absl::InfiniteDuration()
                             ? need.name
                             : absl::StrCat(need.name, ":", absl::FormatDuration(need.max_age)));
    }
    factors.push_back(std::move(together));
  }
  return {{"line", match.rule->line},
          {"pattern", match.pattern},
          {"any_role", match.rule->any_role},
          {"factors", std::move(factors)},
          {"fresh", match.rule->fresh_call ? "call"
                    : match.rule->max_age == absl::InfiniteDuration()
                        ? ""
                        : absl::FormatDuration(match.rule->max_age)},
          {"child_sessions", match.rule->child_sessions},
          {"reauthenticate", match.rule->reauthenticate}};
}

}  // namespace

absl::StatusOr<nlohmann::json> Explain(const CallPolicy& policy, const ExplainQuestion& question) {
  if (question.device && question.child) {
    return absl::InvalidArgumentError(
        "a call that hardware signs is no session's: not --device and --child");
  }
  if (!IsWellFormedMethod(question.method)) {
    return absl::InvalidArgumentError(
        "the method is not /package.Service/Method: the gate refuses it before any rule");
  }
  FOREKEY_ASSIGN_OR_RETURN(const AskedFacts facts, AskedFacts::New(question));
  const RuleMatch match = policy.Match(question.method);
  nlohmann::json answer = {{"subject", question.subject},
                           {"method", question.method},
                           {"roles", question.roles},
                           {"rule", RuleJson(match)},
                           {"reason", ""},
                           {"step_up", ""}};
  if (policy.IsExempt(question.method)) {
    answer["verdict"] = "exempt";
    answer["why"] = "the method needs no prefix, and its handler has no caller";
    return answer;
  }
  const absl::Status judged = policy.Authorize(question.method, facts);
  answer["verdict"] = judged.ok() ? "admitted" : "refused";
  if (judged.ok()) {
    answer["why"] = match.rule ? "the rule is met"
                               : "no rule is for the method, and any verified subject may call it";
  } else {
    answer["why"] = std::string(judged.message());
    if (const auto reason = ReasonOf(judged)) answer["reason"] = std::string(ReasonName(*reason));
    answer["step_up"] = StepUpOf(judged);
  }
  return answer;
}

}  // namespace forekey
