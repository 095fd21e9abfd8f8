// GateCore and calls that live long: whether one may go on, and how it is proved again.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/service/gate_core.h"
#include "src/gate/session/payload.h"

namespace forekey {
namespace {

constexpr size_t kMaxReauthenticatePayload = 64;

bool IsProvedBy(const VerifiedCall& live, const v1::ReauthenticateCallPayload& proof) {
  return live.session() != nullptr && live.sequence() == proof.sequence() &&
         live.session()->id() == proof.session_id();
}

}  // namespace

absl::Status GateCore::CheckLive(const VerifiedCall& call, absl::string_view path) const {
  const int64_t now = clock_->BootNanos();
  if (call.session() != nullptr) {
    FOREKEY_RETURN_IF_ERROR(call.session()->CheckAlive(now));
    call.session()->KeepUsed(now);
  } else {
    // Hardware signed this very call: it lasts no longer than a session of that signature would.
    for (const ProvedFactor& factor : call.factors()) {
      if (absl::Nanoseconds(now - factor.proved_boot_nanos) > config_.sessions.absolute) {
        return Refuse(Reason::kSessionExpired, "the call outlived [sessions] absolute");
      }
    }
  }
  return verifier_->StillAllowed(call, path);
}

void GateCore::AuditEndedCall(const VerifiedCall& call, absl::string_view path,
                              const absl::Status& why) {
  Decision decision = NewDecision(AuditEvent::kCall);
  decision.method = std::string(path);
  Describe(call, decision);
  decision.reason = ReasonOf(why);
  decision.detail = absl::StrCat("a live call was ended: ", why.message());
  audit_->Refused(std::move(decision));
}

absl::Status GateCore::MayReauthenticate(const VerifiedCall& live, absl::string_view path,
                                         const VerifiedCall& by) const {
  // One subject, by its name: who knows another's proof must learn nothing of the call.
  if (live.subject().name() != by.subject().name()) return Refuse(Reason::kLiveCallUnknown);
  FOREKEY_RETURN_IF_ERROR(CheckLive(live, path));
  const RuleMatch match = policy_->Match(path);
  if (!match.rule || !match.rule->reauthenticate) return Refuse(Reason::kReauthenticateNotAllowed);
  return verifier_->WouldPermit(path, by, /*as_child=*/false);
}

absl::StatusOr<v1::ReauthenticateCallResponse> GateCore::ReauthenticateCall(
    const VerifiedCall& call, const v1::ReauthenticateCallRequest& request, absl::string_view peer,
    ReplaceLiveCall replace) {
  Decision decision = NewDecision(AuditEvent::kCall);
  decision.method = std::string(kReauthenticateCallMethod);
  decision.peer = std::string(peer);
  Describe(call, decision);
  v1::ReauthenticateCallPayload payload;
  const auto once = [&](bool commit) {
    absl::Status why = Refuse(Reason::kLiveCallUnknown);
    replace(call, [&](const VerifiedCall& live, absl::string_view path) {
      if (!IsProvedBy(live, payload)) return false;
      why = MayReauthenticate(live, path, call);
      decision.detail = absl::StrCat("a live call of ", path, ", sequence ", payload.sequence(),
                                     " of session ", absl::BytesToHexString(payload.session_id()));
      return commit && why.ok();
    });
    return why;
  };
  absl::Status status = call.CheckDigest(request.payload());
  if (status.ok()) status = ParsePayload(request.payload(), kMaxReauthenticatePayload, &payload);
  if (status.ok()) status = once(/*commit=*/false);
  if (status.ok()) {
    // Written before it takes effect, and without a lock on the live calls.
    decision.admitted = true;
    status = audit_->Admit(decision);
  }
  if (status.ok()) status = once(/*commit=*/true);
  if (status.ok()) return v1::ReauthenticateCallResponse();
  decision.admitted = false;
  return RefusePublicly(std::move(decision), status);
}

}  // namespace forekey
