// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/policy/call_policy.h"
#include "src/policy/method_pattern.h"
#include "src/policy/rule_check.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::string_view kOwnPackage = "/forekey.v1.";
constexpr absl::string_view kOwnService = "/forekey.v1.Gate/";

bool IsOwnExempt(absl::string_view method) {
  return method == kGetChallengeMethod || method == kBeginEnrollmentMethod ||
         method == kFinishEnrollmentMethod;
}

// Which proof these take is part of the protocol: exempting OpenSession would open the gate.
absl::Status CheckNotOwn(absl::string_view method) {
  if (!absl::StartsWith(method, kOwnPackage)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(method, " is the gate's own: it can be neither exempt nor ruled"));
}

// Exact methods are found by one hash look-up, patterns of one service by another; only patterns
// with an open service are tried one after the other. Since no patterns cross, the first that
// matches, most specific service first, then most specific method, is the most specific of all.
class MethodPolicy final : public CallPolicy {
 public:
  absl::Status Add(MethodPolicyOptions options) {
    permit_unlisted_ = options.permit_unlisted.value_or(options.rules.empty());
    for (const std::string& method : options.exempt) {
      if (!IsWellFormedMethod(method)) {
        return absl::InvalidArgumentError(
            absl::StrCat("\"", method, "\" is not an exact method name, /package.Service/Method"));
      }
      FOREKEY_RETURN_IF_ERROR(CheckNotOwn(method));
      exempt_.insert(method);
    }
    for (MethodRule& rule : options.rules) FOREKEY_RETURN_IF_ERROR(AddRule(std::move(rule)));
    FOREKEY_RETURN_IF_ERROR(CheckCrossings());
    Index();
    return absl::OkStatus();
  }

  bool IsExempt(absl::string_view method) const override {
    return IsOwnExempt(method) || (!exempt_.empty() && exempt_.contains(method));
  }

  absl::Status Authorize(absl::string_view method, const CallFacts& facts) const override {
    if (absl::StartsWith(method, kOwnService)) return absl::OkStatus();
    const Entry* entry = Find(method);
    if (entry != nullptr) return entry->check->Authorize(facts);
    return permit_unlisted_ ? absl::OkStatus()
                            : Refuse(Reason::kMethodNotPermitted, "the method is in no rule");
  }

  RuleMatch Match(absl::string_view method) const override {
    RuleMatch match;
    match.permit_unlisted = permit_unlisted_;
    if (const Entry* entry = Find(method); entry != nullptr) {
      match.rule = entry->check->rule();
      match.pattern = entry->pattern.ToString();
    }
    return match;
  }

 private:
  struct Entry {
    MethodPattern pattern;
    std::shared_ptr<const RuleCheck> check;
  };

  absl::Status AddRule(MethodRule rule) {
    FOREKEY_ASSIGN_OR_RETURN(RuleCheck made, RuleCheck::New(std::move(rule)));
    auto check = std::make_shared<const RuleCheck>(std::move(made));
    for (const std::string& text : check->rule().methods) {
      FOREKEY_ASSIGN_OR_RETURN(MethodPattern pattern, MethodPattern::Parse(text));
      FOREKEY_RETURN_IF_ERROR(CheckNotOwn(text));
      if (exempt_.contains(text)) {
        return absl::InvalidArgumentError(absl::StrCat(text, " is both exempt and ruled"));
      }
      if (!patterns_.insert(text).second) {
        return absl::InvalidArgumentError(absl::StrCat(text, " stands in two rules"));
      }
      entries_.push_back({std::move(pattern), check});
    }
    return absl::OkStatus();
  }

  absl::Status CheckCrossings() const {
    std::vector<const Entry*> open;
    for (const Entry& entry : entries_) {
      if (entry.pattern.service().open || entry.pattern.method().open) open.push_back(&entry);
    }
    for (const Entry* a : open) {
      for (const Entry& b : entries_) {
        const auto shared = MethodPattern::Crossing(a->pattern, b.pattern);
        if (!shared || patterns_.contains(shared->ToString())) continue;
        return absl::InvalidArgumentError(absl::StrCat(
            b.pattern.ToString(), " and ", a->pattern.ToString(),
            a->check->rule().line > 0 ? absl::StrCat(" (line ", a->check->rule().line, ")") : "",
            " cross, and neither is more specific: say which rule is for ", shared->ToString()));
      }
    }
    return absl::OkStatus();
  }

  void Index() {
    const auto more_specific = [](const MethodPattern::Part& a, const MethodPattern::Part& b) {
      if (a.open != b.open) return !a.open;
      return a.text.size() > b.text.size();
    };
    std::sort(entries_.begin(), entries_.end(), [&](const Entry& a, const Entry& b) {
      if (more_specific(a.pattern.service(), b.pattern.service())) return true;
      if (more_specific(b.pattern.service(), a.pattern.service())) return false;
      return more_specific(a.pattern.method(), b.pattern.method());
    });
    for (const Entry& entry : entries_) {
      if (entry.pattern.exact()) {
        exact_.emplace(entry.pattern.ToString(), &entry);
      } else if (!entry.pattern.service().open) {
        of_service_[entry.pattern.service().text].push_back(&entry);
      } else {
        open_.push_back(&entry);
      }
    }
  }

  const Entry* Find(absl::string_view method) const {
    if (entries_.empty()) return nullptr;  // not even the hash of the name is wanted then
    if (auto found = exact_.find(method); found != exact_.end()) return found->second;
    if ((of_service_.empty() && open_.empty()) || !IsWellFormedMethod(method)) return nullptr;
    const MethodParts parts = SplitMethod(method);
    if (auto found = of_service_.find(parts.service); found != of_service_.end()) {
      for (const Entry* entry : found->second) {
        if (entry->pattern.method().Matches(parts.method)) return entry;
      }
    }
    for (const Entry* entry : open_) {
      if (entry->pattern.service().Matches(parts.service) &&
          entry->pattern.method().Matches(parts.method)) {
        return entry;
      }
    }
    return nullptr;
  }

  bool permit_unlisted_ = true;
  absl::flat_hash_set<std::string> exempt_;
  absl::flat_hash_set<std::string> patterns_;
  std::vector<Entry> entries_;  // not changed once it is indexed
  absl::flat_hash_map<std::string, const Entry*> exact_;
  absl::flat_hash_map<std::string, std::vector<const Entry*>> of_service_;
  std::vector<const Entry*> open_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CallPolicy>> NewMethodPolicy(MethodPolicyOptions options) {
  auto policy = std::make_unique<MethodPolicy>();
  FOREKEY_RETURN_IF_ERROR(policy->Add(std::move(options)));
  return policy;
}

}  // namespace forekey
