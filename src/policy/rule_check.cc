// SPDX-License-Identifier: Apache-2.0
#include "src/policy/rule_check.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/step_up.h"
#include "src/wire/token_kind.h"

namespace forekey {
namespace {

constexpr absl::string_view kStepUpPayload = "forekey/step-up";
constexpr size_t kMaxCombinations = 8;
constexpr size_t kMaxFactorsTogether = 4;

absl::Status WithStepUp(absl::Status refusal, const std::string& step_up) {
  if (!step_up.empty()) refusal.SetPayload(kStepUpPayload, absl::Cord(step_up));
  return refusal;
}

absl::Status CheckCombination(const FactorCombination& combination, bool fresh_call) {
  if (combination.empty()) {
    return absl::InvalidArgumentError("a combination of no factors: leave it out to take any");
  }
  if (combination.size() > kMaxFactorsTogether) {
    return absl::InvalidArgumentError("a combination of more than four factors");
  }
  for (size_t i = 0; i < combination.size(); ++i) {
    const std::string& name = combination[i].name;
    if (!IsFactorName(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CHexEscape(name), "\" is no factor that this gate knows"));
    }
    for (size_t j = 0; j < i; ++j) {
      if (combination[j].name == name) {
        return absl::InvalidArgumentError(absl::StrCat(name, " stands twice in a combination"));
      }
    }
    if (fresh_call && !IsHardwareFactor(name)) {
      return absl::InvalidArgumentError(absl::StrCat("fresh = \"call\" takes no session, and ",
                                                     name, " can be proved for a session alone"));
    }
  }
  return absl::OkStatus();
}

// The age of the token that was proved last.
std::optional<absl::Duration> HardwareAge(const CallFacts& facts) {
  std::optional<absl::Duration> age;
  for (absl::string_view name : BareTokenFactors()) {
    const std::optional<absl::Duration> of_this = facts.FactorAge(name);
    if (of_this && (!age || *of_this < *age)) age = of_this;
  }
  return age;
}

}  // namespace

std::string StepUpOf(const absl::Status& refusal) {
  auto payload = refusal.GetPayload(kStepUpPayload);
  return payload ? std::string(*payload) : "";
}

absl::StatusOr<RuleCheck> RuleCheck::New(MethodRule rule) {
  if (rule.factors.size() > kMaxCombinations) {
    return absl::InvalidArgumentError("more than eight combinations of factors");
  }
  RuleCheck check(std::move(rule));
  std::vector<StepUp::Words> lacking, in_child;
  for (const FactorCombination& combination : check.rule_.factors) {
    FOREKEY_RETURN_IF_ERROR(CheckCombination(combination, check.rule_.fresh_call));
    StepUp::Words words;
    bool hardware_alone = true;
    for (const FactorNeed& need : combination) {
      words.push_back(need.name);
      hardware_alone = hardware_alone && IsHardwareFactor(need.name);
    }
    StepUp::Words with_call = words;
    with_call.push_back(std::string(kStepUpCall));
    lacking.push_back(check.rule_.fresh_call ? with_call : words);
    // A device proof of the call is no child session's, and a session can't be had in another way.
    if (hardware_alone) in_child.push_back(std::move(with_call));
  }
  if (check.rule_.factors.empty()) {
    in_child.push_back({std::string(kStepUpCall)});
    lacking.push_back({std::string(check.rule_.fresh_call ? kStepUpCall : kStepUpHardware)});
  }
  check.step_up_ = StepUp(std::move(lacking)).Serialize();
  check.child_step_up_ = StepUp(std::move(in_child)).Serialize();
  return check;
}

absl::Status RuleCheck::Authorize(const CallFacts& facts) const {
  bool has_role = rule_.any_role.empty();
  for (const std::string& role : rule_.any_role) has_role = has_role || facts.HasRole(role);
  if (!has_role) {
    return Refuse(Reason::kMethodNotPermitted, "the subject has none of the rule's roles");
  }
  if (rule_.fresh_call && !facts.SignedForThisCall()) {
    return WithStepUp(
        Refuse(Reason::kFactorRequired, "the rule wants hardware to sign this very call"),
        step_up_);
  }
  if (!rule_.child_sessions && facts.FromChildSession()) {
    return WithStepUp(Refuse(Reason::kChildNotAllowed, "the rule takes no child session"),
                      child_step_up_);
  }
  return AuthorizeFactors(facts);
}

absl::Status RuleCheck::AuthorizeFactors(const CallFacts& facts) const {
  bool stale = false;
  if (rule_.factors.empty()) {
    if (rule_.max_age == absl::InfiniteDuration()) return absl::OkStatus();
    const std::optional<absl::Duration> age = HardwareAge(facts);
    if (age && *age <= rule_.max_age) return absl::OkStatus();
    stale = age.has_value();
  }
  for (const FactorCombination& combination : rule_.factors) {
    bool all = true, too_old = false;
    for (const FactorNeed& need : combination) {
      const std::optional<absl::Duration> age = facts.FactorAge(need.name);
      all = all && age.has_value();
      too_old = too_old || (age && *age > need.max_age);
    }
    if (all && !too_old) return absl::OkStatus();
    stale = stale || all;
  }
  if (stale) return WithStepUp(Refuse(Reason::kFactorStale), step_up_);
  return WithStepUp(Refuse(Reason::kFactorRequired, "the rule wants factors that were not proved"),
                    step_up_);
}

}  // namespace forekey
