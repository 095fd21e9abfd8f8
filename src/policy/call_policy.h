// SPDX-License-Identifier: Apache-2.0
// Who may call what, asked last, once a call is verified. The seam is CallPolicy; the rules of the
// configuration (docs/CONFIG.md, "Rules") are what implements it.
#ifndef FOREKEY_SRC_POLICY_CALL_POLICY_H_
#define FOREKEY_SRC_POLICY_CALL_POLICY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/policy/method_rules.h"

namespace forekey {

// What a policy may ask about a verified call. Asked lazily, so that a rule that needs no roles
// costs no look-up of roles.
class CallFacts {
 public:
  virtual ~CallFacts() = default;
  virtual absl::string_view subject() const = 0;
  virtual bool HasRole(absl::string_view role) const = 0;
  // How long ago this factor was last proved, by a clock that does not step; nullopt where it was
  // not.
  virtual std::optional<absl::Duration> FactorAge(absl::string_view factor) const = 0;
  // Hardware signed the statement of this very call: not a session proof.
  virtual bool SignedForThisCall() const = 0;
  // A session proof of a session that another session opened.
  virtual bool FromChildSession() const = 0;
};

// What a policy says of one method, for people.
struct RuleMatch {
  std::optional<MethodRule> rule;  // nullopt: no rule matches
  std::string pattern;
  bool permit_unlisted = false;
};

// Immutable; safe from any thread.
class CallPolicy {
 public:
  virtual ~CallPolicy() = default;
  // True for methods that need no prefix at all. Exact names alone.
  virtual bool IsExempt(absl::string_view method) const = 0;
  // OK, kMethodNotPermitted, kChildNotAllowed, kFactorRequired or kFactorStale; where a stronger or
  // fresher proof by the same subject would do, with StepUpOf(). Asked only for verified calls,
  // never for exempt ones. Allocates nothing when it is OK.
  virtual absl::Status Authorize(absl::string_view method, const CallFacts& facts) const = 0;
  virtual RuleMatch Match(absl::string_view method) const = 0;
};

// What the refused caller lacks, as src/wire/step_up.h writes it; empty where no step-up would
// help.
std::string StepUpOf(const absl::Status& refusal);

// The methods that the gate itself serves to anyone: always exempt.
inline constexpr absl::string_view kGetChallengeMethod = "/forekey.v1.Gate/GetChallenge";
inline constexpr absl::string_view kBeginEnrollmentMethod = "/forekey.v1.Gate/BeginEnrollment";
inline constexpr absl::string_view kFinishEnrollmentMethod = "/forekey.v1.Gate/FinishEnrollment";

// Forekey's own methods are never ruled here, by patterns neither: which proof they take is part of
// the protocol. InvalidArgument for a method or pattern that is malformed, in two rules, both
// exempt and ruled by its exact name, or Forekey's own; for patterns that cross
// (src/policy/method_pattern.h); and for combinations that no caller can have.
absl::StatusOr<std::unique_ptr<CallPolicy>> NewMethodPolicy(MethodPolicyOptions options);

}  // namespace forekey

#endif  // FOREKEY_SRC_POLICY_CALL_POLICY_H_
