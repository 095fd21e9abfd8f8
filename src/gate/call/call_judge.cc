// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/call_judge.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

// Whose a prefix says that it is. Nothing of it is proved.
void DescribeClaim(const CallInput& input, Decision& decision) {
  if (input.prefixes.size() != 1) return;
  const absl::StatusOr<Prefix> prefix = Prefix::Parse(input.prefixes[0]);
  if (!prefix.ok()) return;
  if (prefix->session() != nullptr) {
    decision.claimed_session = std::string(prefix->session()->session_id);
    return;
  }
  if (prefix->device() == nullptr) return;  // a ticket names nobody
  for (const AssertionView& assertion : prefix->device()->assertions) {
    decision.claimed_credential_ids.emplace_back(assertion.credential_id);
  }
}

}  // namespace

CallJudge::CallJudge(CallJudgeNeeds needs) : needs_(std::move(needs)) {}

Judgement CallJudge::Judge(const CallInput& input) {
  Judgement judgement;
  if (needs_.policy->IsExempt(input.path)) {
    needs_.counters->exempt.fetch_add(1, std::memory_order_relaxed);
    judgement.exempt = true;
    return judgement;
  }
  const BootTime begun = needs_.clock->BootNow();
  Verdict verdict = needs_.verifier->Verify(input, begun);
  const VerifiedCall* const call = verdict.proved();
  const bool verified = verdict.status().ok();
  // A resumption is not told as admitted before the registry agreed to it, which is asked where the
  // session is opened: that has a line of its own.
  const bool counts = verified && call->resumption() == nullptr;
  absl::Status unwritten;
  if (counts && (call->session() == nullptr || needs_.audit->all_calls())) {
    unwritten = AuditAdmitted(input, *call, begun);
  }
  if (verified && unwritten.ok()) {
    if (counts) CountAdmitted(*call, begun);
    judgement.call.emplace(std::move(verdict).TakeCaller());
    return judgement;
  }
  const absl::Status& why = verified ? unwritten : verdict.status();
  judgement.reason = ReasonOf(why);
  judgement.status = AnswerRefused(input, call, begun, why, judgement.reason);
  return judgement;
}

void CallJudge::CountAdmitted(const VerifiedCall& call, BootTime begun) {
  GateCounters& counters = *needs_.counters;
  LatencyHistogram* latency = &counters.device_latency;
  if (call.session() != nullptr) {
    const uint64_t before = counters.session_calls.fetch_add(1, std::memory_order_relaxed);
    if (before % GateCounters::kTimedSessionCall != 0) return;
    latency = &counters.session_latency;
  }
  latency->Add(needs_.clock->BootNow().NanosSince(begun));
}

absl::Status CallJudge::AuditAdmitted(const CallInput& input, const VerifiedCall& call,
                                      BootTime begun) {
  Decision decision = needs_.audit->NewDecision(AuditEvent::kCall);
  decision.admitted = true;
  decision.method = std::string(input.path);
  decision.peer = std::string(input.peer);
  decision.latency_nanos = needs_.clock->BootNow().NanosSince(begun);
  DescribeCaller(call, decision);
  if (call.device() != nullptr) {
    decision.proof = DecisionProof{needs_.audience, std::string(input.prefixes[0])};
  }
  return needs_.audit->Admit(decision);
}

// A refusal in a flood of its kind is counted and answered, and costs nothing beyond that.
absl::Status CallJudge::AnswerRefused(const CallInput& input, const VerifiedCall* proved,
                                      BootTime begun, const absl::Status& why,
                                      std::optional<Reason> reason) {
  needs_.refusals->Count(reason);
  needs_.counters->refused_latency.Add(needs_.clock->BootNow().NanosSince(begun));
  const std::string reference = NewReference();
  if (needs_.audit->TakeRefusal(reason)) {
    Decision decision = needs_.audit->NewDecision(AuditEvent::kCall);
    decision.reference = reference;
    decision.method = std::string(input.path);
    decision.peer = std::string(input.peer);
    decision.reason = reason;
    decision.latency_nanos = needs_.clock->BootNow().NanosSince(begun);
    if (proved != nullptr) {
      DescribeCaller(*proved, decision);
      if (proved->device() != nullptr) {
        decision.proof = DecisionProof{needs_.audience, std::string(input.prefixes[0])};
      }
    } else {
      DescribeClaim(input, decision);
    }
    decision.detail = std::string(why.message());
    needs_.audit->WriteRefusal(std::move(decision));
  }
  return Refusals::PublicStatus(why, reason, reference);
}

absl::StatusOr<VerifiedCall> CallJudge::Recall(absl::Span<const absl::string_view> prefixes,
                                               absl::string_view path) {
  if (needs_.policy->IsExempt(path)) {
    return Refuse(Reason::kPrefixMissing, "the method is exempt: it has no caller");
  }
  return needs_.verifier->Recall(prefixes, path);
}

absl::Status CallJudge::CheckLive(const VerifiedCall& call, absl::string_view path) const {
  const BootTime now = needs_.clock->BootNow();
  if (call.session() != nullptr) {
    const absl::Status alive = call.session()->CheckLiveCall(now);
    // Who ends a session is told so, though the call's own session is the one that ended.
    if (path == kEndSessionMethod && ReasonOf(alive) == Reason::kSessionEnded &&
        now < call.session()->expires_at()) {
      return absl::OkStatus();
    }
    FOREKEY_RETURN_IF_ERROR(alive);
    call.session()->KeepUsed(now);
  } else {
    // Hardware signed this very call: it lasts no longer than a session of that signature would.
    for (const ProvedFactor& factor : call.factors()) {
      if (now - factor.proved_boot > needs_.longest_device_call) {
        return Refuse(Reason::kSessionExpired, "the call outlived [sessions] absolute");
      }
    }
  }
  return needs_.verifier->StillAllowed(call, path);
}

void CallJudge::AuditEndedCall(const VerifiedCall& call, absl::string_view path,
                               const absl::Status& why) {
  Decision decision = needs_.audit->NewDecision(AuditEvent::kCall);
  decision.method = std::string(path);
  DescribeCaller(call, decision);
  decision.reason = ReasonOf(why);
  decision.detail = absl::StrCat("a live call was ended: ", why.message());
  needs_.audit->Refused(std::move(decision));
}

}  // namespace forekey
