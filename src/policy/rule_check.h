// SPDX-License-Identifier: Apache-2.0
// One rule, made ready to be asked about the calls that it is for.
#ifndef FOREKEY_SRC_POLICY_RULE_CHECK_H_
#define FOREKEY_SRC_POLICY_RULE_CHECK_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/policy/call_policy.h"

namespace forekey {

class RuleCheck {
 public:
  // InvalidArgument for unknown factors, one twice in a combination, and what a call that hardware
  // signs can't have (`fresh = "call"` with a password).
  static absl::StatusOr<RuleCheck> New(MethodRule rule);

  const MethodRule& rule() const { return rule_; }
  // See CallPolicy::Authorize.
  absl::Status Authorize(const CallFacts& facts) const;

 private:
  explicit RuleCheck(MethodRule rule) : rule_(std::move(rule)) {}
  absl::Status AuthorizeFactors(const CallFacts& facts) const;

  MethodRule rule_;
  std::string step_up_;        // where a factor is lacking
  std::string child_step_up_;  // where a child session came and none may
};

}  // namespace forekey

#endif  // FOREKEY_SRC_POLICY_RULE_CHECK_H_
