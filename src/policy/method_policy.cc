#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/policy/call_policy.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::string_view kOwnService = "/forekey.v1.Gate/";

bool IsOwnExempt(absl::string_view method) {
  return method == kGetChallengeMethod || method == kBeginEnrollmentMethod ||
         method == kFinishEnrollmentMethod;
}

absl::Status CheckName(absl::string_view method) {
  if (!IsWellFormedMethod(method)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", method, "\" is not an exact method name, /package.Service/Method"));
  }
  // Which proof these take is part of the protocol: exempting OpenSession would open the gate.
  if (absl::StartsWith(method, kOwnService)) {
    return absl::InvalidArgumentError(
        absl::StrCat(method, " is the gate's own: it can be neither exempt nor ruled"));
  }
  return absl::OkStatus();
}

struct Rule {
  std::vector<std::string> any_role;
  bool fresh_call = false;
};

class MethodPolicy final : public CallPolicy {
 public:
  absl::Status Add(const MethodPolicyOptions& options) {
    permit_unlisted_ = options.permit_unlisted;
    for (const std::string& method : options.exempt) {
      FOREKEY_RETURN_IF_ERROR(CheckName(method));
      exempt_.insert(method);
    }
    for (const MethodRule& rule : options.rules) {
      auto shared = std::make_shared<const Rule>(Rule{rule.any_role, rule.fresh_call});
      for (const std::string& method : rule.methods) {
        FOREKEY_RETURN_IF_ERROR(CheckName(method));
        if (exempt_.contains(method)) {
          return absl::InvalidArgumentError(absl::StrCat(method, " is both exempt and ruled"));
        }
        if (!rules_.emplace(method, shared).second) {
          return absl::InvalidArgumentError(absl::StrCat(method, " stands in two rules"));
        }
      }
    }
    return absl::OkStatus();
  }

  bool IsExempt(absl::string_view method) const override {
    return IsOwnExempt(method) || (!exempt_.empty() && exempt_.contains(method));
  }

  absl::Status Authorize(absl::string_view method, const CallFacts& facts) const override {
    if (rules_.empty() && permit_unlisted_) return absl::OkStatus();
    if (absl::StartsWith(method, kOwnService)) return absl::OkStatus();
    auto found = rules_.find(method);
    if (found == rules_.end()) {
      return permit_unlisted_ ? absl::OkStatus()
                              : Refuse(Reason::kMethodNotPermitted, "the method is in no rule");
    }
    const Rule& rule = *found->second;
    bool has_role = rule.any_role.empty();
    for (const std::string& role : rule.any_role) has_role = has_role || facts.HasRole(role);
    if (!has_role) {
      return Refuse(Reason::kMethodNotPermitted, "the subject has none of the rule's roles");
    }
    if (rule.fresh_call && !facts.SignedForThisCall()) {
      return Refuse(Reason::kFactorRequired, "the rule wants hardware to sign this very call");
    }
    return absl::OkStatus();
  }

 private:
  bool permit_unlisted_ = true;
  absl::flat_hash_set<std::string> exempt_;
  absl::flat_hash_map<std::string, std::shared_ptr<const Rule>> rules_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CallPolicy>> NewMethodPolicy(MethodPolicyOptions options) {
  auto policy = std::make_unique<MethodPolicy>();
  FOREKEY_RETURN_IF_ERROR(policy->Add(options));
  return policy;
}

}  // namespace forekey
