// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/refusals.h"

#include <string>
#include <utility>

#include "absl/strings/str_join.h"
#include "src/base/reason.h"
#include "src/gate/call/call_verifier.h"
#include "src/wire/step_up.h"

namespace forekey {

void DescribeCaller(const VerifiedCall& call, Decision& decision) {
  decision.subject = call.subject().name();
  for (const auto& credential : call.credentials()) {
    decision.credential_ids.push_back(credential->record().id);
    decision.tokens.push_back(credential->description());
  }
  for (const ProvedFactor& factor : call.factors()) decision.factors.push_back(factor.name.str());
  if (call.session() != nullptr) decision.session = std::string(call.session()->id());
  // The one that the ticket is of; where it goes on, the new one's takes its place.
  if (call.resumption() != nullptr) decision.session = call.resumption()->ticket->session_id;
  if (call.device() != nullptr) decision.detail = absl::StrJoin(call.device()->remarks, "; ");
}

absl::Status Refusals::PublicStatus(const absl::Status& why, std::optional<Reason> reason,
                                    absl::string_view reference) {
  // Only a caller that is known gets a step-up. Its code is the one that clients try again after.
  if (const std::string step_up = StepUpOf(why); !step_up.empty()) {
    return absl::UnauthenticatedError(RefusalMessage(reference, step_up));
  }
  // What is no refusal is our own failure: nobody is let in by it, and nobody learns what it was.
  return absl::Status(reason ? PublicCode(*reason) : absl::StatusCode::kUnavailable,
                      RefusalMessage(reference, ""));
}

void Refusals::Count(std::optional<Reason> reason) {
  counters_.refused.fetch_add(1, std::memory_order_relaxed);
  counters_.refused_for[reason ? static_cast<size_t>(*reason) : kReasonCount].fetch_add(
      1, std::memory_order_relaxed);
}

absl::Status Refusals::Tell(Decision decision, const absl::Status& why) {
  decision.admitted = false;
  decision.reason = ReasonOf(why);
  Count(decision.reason);
  decision.detail = std::string(why.message());
  absl::Status status = PublicStatus(why, decision.reason, decision.reference);
  if (decision.reason) status = WithReason(std::move(status), *decision.reason);
  audit_.Refused(std::move(decision));
  return status;
}

absl::Status Refusals::Tell(const absl::Status& why, absl::string_view method,
                            absl::string_view peer) {
  Decision decision = audit_.NewDecision(AuditEvent::kCall);
  decision.method = std::string(method);
  decision.peer = std::string(peer);
  return Tell(std::move(decision), why);
}

}  // namespace forekey
