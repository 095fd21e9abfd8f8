// SPDX-License-Identifier: Apache-2.0
// Judges calls for the adapters: the exempt list, the verifier, the counters and the audit log in
// one place. What it refuses carries a public status already (src/gate/call/refusals.h).
#ifndef FOREKEY_SRC_GATE_CALL_CALL_JUDGE_H_
#define FOREKEY_SRC_GATE_CALL_CALL_JUDGE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/call_verifier.h"
#include "src/gate/call/gate_counters.h"
#include "src/gate/call/refusals.h"
#include "src/policy/call_policy.h"

namespace forekey {

struct Judgement {
  // OK, or the public status: give it to the peer as it is.
  absl::Status status;
  std::optional<Reason> reason;  // of a refusal; for the gate's own ears
  // The method needs no prefix: strip any that came, the handler has no caller.
  bool exempt = false;
  // Set when status is OK and the method is not exempt.
  std::optional<VerifiedCall> call;
};

// Everything is borrowed and must outlive the judge.
struct CallJudgeNeeds {
  std::string audience;
  // A call that hardware signed lasts no longer than this: as long as a session of that signature.
  absl::Duration longest_device_call;
  const Clock* clock = nullptr;
  const CallPolicy* policy = nullptr;
  CallVerifier* verifier = nullptr;
  AuditLog* audit = nullptr;
  GateCounters* counters = nullptr;
  Refusals* refusals = nullptr;
};

// Safe from any thread; blocks for no longer than the audit log and a FIDO2 counter's disk write.
class CallJudge {
 public:
  explicit CallJudge(CallJudgeNeeds needs);

  // Judges, counts and audits a call; but one of ResumeSession that is let in is counted and
  // audited where it is decided, by PeerService.
  Judgement Judge(const CallInput& input);
  bool IsExempt(absl::string_view path) const { return needs_.policy->IsExempt(path); }
  // See CallVerifier::Recall, and what it leaves to who asks; gives the exact reason.
  // kPrefixMissing for an exempt method: it has no caller.
  absl::StatusOr<VerifiedCall> Recall(absl::Span<const absl::string_view> prefixes,
                                      absl::string_view path);

  // Whether a call that was admitted may go on: OK, or why not (its session ended or is over, a
  // credential was revoked, the rules no longer allow it). A live call keeps its session from
  // idling.
  absl::Status CheckLive(const VerifiedCall& call, absl::string_view path) const;
  // Audits that a live call was ended.
  void AuditEndedCall(const VerifiedCall& call, absl::string_view path, const absl::Status& why);

 private:
  void CountAdmitted(const VerifiedCall& call, BootTime begun);
  // An error: do not go on (AuditLog::Admit).
  absl::Status AuditAdmitted(const CallInput& input, const VerifiedCall& call, BootTime begun);
  absl::Status AnswerRefused(const CallInput& input, const VerifiedCall* proved, BootTime begun,
                             const absl::Status& why, std::optional<Reason> reason);

  const CallJudgeNeeds needs_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_CALL_JUDGE_H_
