// Who may call what, asked last, once a call is verified. The seam is CallPolicy: rules that ask for
// factors, their age, or patterns of methods are further implementations of it.
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

namespace forekey {

// What a policy may ask about a verified call. Asked lazily, so that a rule that needs no roles costs
// no look-up of roles.
class CallFacts {
 public:
  virtual ~CallFacts() = default;
  virtual absl::string_view subject() const = 0;
  virtual bool HasRole(absl::string_view role) const = 0;
  // When this factor was last proved; nullopt where it was not.
  virtual std::optional<absl::Time> FactorProvedAt(absl::string_view factor) const = 0;
  // Hardware signed the statement of this very call: not a session proof.
  virtual bool SignedForThisCall() const = 0;
};

// Immutable; safe from any thread.
class CallPolicy {
 public:
  virtual ~CallPolicy() = default;
  // True for methods that need no prefix at all. Exact names alone.
  virtual bool IsExempt(absl::string_view method) const = 0;
  // OK, kMethodNotPermitted or kFactorRequired. Asked only for verified calls, never for exempt ones.
  virtual absl::Status Authorize(absl::string_view method, const CallFacts& facts) const = 0;
};

// The methods that the gate itself serves to anyone: always exempt.
inline constexpr absl::string_view kGetChallengeMethod = "/forekey.v1.Gate/GetChallenge";
inline constexpr absl::string_view kBeginEnrollmentMethod = "/forekey.v1.Gate/BeginEnrollment";
inline constexpr absl::string_view kFinishEnrollmentMethod = "/forekey.v1.Gate/FinishEnrollment";

// The rule of one method, by exact name.
struct MethodRule {
  std::vector<std::string> methods;
  std::vector<std::string> any_role;  // one of these; empty: any verified subject
  bool fresh_call = false;            // only a device proof made for this call
};

struct MethodPolicyOptions {
  std::vector<std::string> exempt;  // besides the gate's own three
  std::vector<MethodRule> rules;    // a method stands in at most one
  bool permit_unlisted = true;      // methods without a rule: any verified subject, or nobody
};

// Forekey's own methods are never ruled here: which proof they take is part of the protocol.
// InvalidArgument for a method that is malformed, in two rules, both exempt and ruled, or Forekey's
// own.
absl::StatusOr<std::unique_ptr<CallPolicy>> NewMethodPolicy(MethodPolicyOptions options);

}  // namespace forekey

#endif  // FOREKEY_SRC_POLICY_CALL_POLICY_H_
