// SPDX-License-Identifier: Apache-2.0
#include "src/gate/config/config_rules.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/policy/call_policy.h"

namespace forekey {
namespace {

// "fido2+uv", or with an age of its own: "password:15m".
FactorNeed ParseFactorNeed(ConfigTable& rule, const std::string& text, absl::Duration rule_age) {
  FactorNeed need;
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  need.name = parts.first;
  need.max_age = rule_age;
  if (text.find(':') == std::string::npos) return need;
  if (auto age = ParseConfigDuration(parts.second)) {
    need.max_age = *age;
  } else {
    rule.Error("factors", absl::StrCat("\"", text,
                                       "\": after the colon must stand a duration such as "
                                       "\"15m\""));
  }
  return need;
}

void ReadFreshness(ConfigTable& table, MethodRule& rule) {
  std::string fresh;
  table.String("fresh", &fresh);
  if (!table.Has("fresh")) return;
  rule.fresh_call = fresh == "call";
  if (rule.fresh_call) return;
  if (auto age = ParseConfigDuration(fresh); age && *age > absl::ZeroDuration()) {
    rule.max_age = *age;
  } else {
    table.Error("fresh", "must be \"call\" or a duration such as \"15m\"");
  }
}

MethodRule ReadRule(ConfigTable& table) {
  MethodRule rule;
  rule.line = table.LineOf("methods");
  table.Strings("methods", &rule.methods);
  table.Strings("any_role", &rule.any_role);
  table.Bool("child_sessions", &rule.child_sessions);
  table.Bool("reauthenticate", &rule.reauthenticate);
  ReadFreshness(table, rule);
  std::vector<std::vector<std::string>> factors;
  table.StringLists("factors", &factors);
  for (const std::vector<std::string>& together : factors) {
    FactorCombination combination;
    for (const std::string& text : together) {
      combination.push_back(ParseFactorNeed(table, text, rule.max_age));
    }
    rule.factors.push_back(std::move(combination));
  }
  if (rule.reauthenticate && rule.fresh_call) {
    table.Error("reauthenticate",
                "is for calls that a session proves: with fresh = \"call\" hardware signs each");
  }
  if (rule.methods.empty()) table.Error("methods", "must name at least one method");
  if (table.Has("any_role") && rule.any_role.empty()) {
    table.Error("any_role", "is empty: leave it out to permit any verified subject");
  }
  if (table.Has("factors") && rule.factors.empty()) {
    table.Error("factors", "is empty: leave it out to take any");
  }
  return rule;
}

// What is wrong with this rule alone.
absl::Status CheckAlone(const MethodRule& rule) {
  return NewMethodPolicy(MethodPolicyOptions{{}, {rule}, true}).status();
}

}  // namespace

void ReadRules(ConfigTable& root, MethodPolicyOptions& options) {
  ConfigTable table = root.Table("rules");
  std::string unlisted;
  table.Strings("exempt", &options.exempt);
  table.String("unlisted", &unlisted);
  if (table.Has("unlisted")) {
    if (unlisted != "permit" && unlisted != "refuse") {
      table.Error("unlisted", "must be \"permit\" or \"refuse\"");
    }
    options.permit_unlisted = unlisted == "permit";
  }
  if (absl::Status status = NewMethodPolicy(MethodPolicyOptions{options.exempt, {}, true}).status();
      !status.ok()) {
    table.Error("exempt", status.message());
    options.exempt.clear();
  }
  std::vector<std::pair<ConfigTable, MethodRule>> rules;
  for (ConfigTable& rule : root.Tables("rule")) {
    MethodRule read = ReadRule(rule);
    if (absl::Status status = CheckAlone(read); !status.ok()) {
      rule.Error("methods", status.message());
    } else {
      options.rules.push_back(read);
      rules.emplace_back(rule, std::move(read));
    }
  }
  // Together: only where that fails is it worth finding out with which rule it begins to.
  if (NewMethodPolicy(options).ok()) return;
  MethodPolicyOptions so_far{options.exempt, {}, options.permit_unlisted};
  absl::Status last;
  ConfigTable* at = nullptr;
  for (auto& [rule, read] : rules) {
    so_far.rules.push_back(read);
    absl::Status status = NewMethodPolicy(so_far).status();
    // A later rule may be the one that settles a crossing: the first that is never settled counts.
    if (status.ok()) {
      at = nullptr;
    } else if (at == nullptr || status != last) {
      if (at == nullptr) at = &rule;
      last = status;
    }
  }
  if (at != nullptr) at->Error("methods", last.message());
}

}  // namespace forekey
