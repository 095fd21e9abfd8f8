// SPDX-License-Identifier: Apache-2.0
#include "src/gate/service/peer_service.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/session/payload.h"
#include "src/wire/statement.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

constexpr size_t kMaxReauthenticatePayload = 64;

bool IsProvedBy(const VerifiedCall& live, const v1::ReauthenticateCallPayload& proof) {
  return live.session() != nullptr && live.sequence() == proof.sequence() &&
         live.session()->id() == proof.session_id();
}

}  // namespace

Decision PeerService::NewDecision(AuditEvent event, absl::string_view method,
                                  absl::string_view peer) const {
  Decision decision = needs_.audit->NewDecision(event);
  decision.method = std::string(method);
  decision.peer = std::string(peer);
  return decision;
}

absl::StatusOr<v1::GetChallengeResponse> PeerService::GetChallenge(
    const v1::GetChallengeRequest& request) {
  ChallengePurpose purpose;
  switch (request.purpose()) {
    case v1::GetChallengeRequest::PURPOSE_CALL:
      purpose = ChallengePurpose::kCall;
      break;
    case v1::GetChallengeRequest::PURPOSE_ENROLL:
      purpose = ChallengePurpose::kEnroll;
      break;
    default:
      return absl::InvalidArgumentError("purpose must be PURPOSE_CALL or PURPOSE_ENROLL");
  }
  // Nobody is to touch a token for a proof that can't be admitted.
  if (const absl::Status lease = needs_.verifier->CheckLease(needs_.clock->BootNow());
      !lease.ok()) {
    return needs_.refusals->Tell(lease, kGetChallengeMethod, "");
  }
  v1::GetChallengeResponse response;
  response.set_challenge(needs_.challenges->Issue(purpose));
  response.set_lifetime_s(
      static_cast<uint32_t>(absl::ToInt64Seconds(needs_.challenges->lifetime())));
  return response;
}

absl::Status PeerService::TellEnrollment(const absl::Status& checked, absl::string_view method,
                                         absl::string_view peer) {
  absl::Status why = checked;
  if (why.ok() && !needs_.enrolling_strangers->AllowLookUp(peer, needs_.clock->BootNow())) {
    why = Refuse(Reason::kRateLimited, "enrolments from an address that showed nothing yet");
  }
  if (why.ok()) return why;
  return needs_.refusals->Tell(NewDecision(AuditEvent::kEnrollment, method, peer), why);
}

absl::Status PeerService::AdmitEnrollment(const v1::BeginEnrollmentRequest& request,
                                          absl::string_view peer) {
  return TellEnrollment(needs_.enrollment->CheckCheaply(request), kBeginEnrollmentMethod, peer);
}

absl::Status PeerService::AdmitEnrollment(const v1::FinishEnrollmentRequest& request,
                                          absl::string_view peer) {
  return TellEnrollment(needs_.enrollment->CheckCheaply(request), kFinishEnrollmentMethod, peer);
}

absl::StatusOr<v1::BeginEnrollmentResponse> PeerService::BeginEnrollment(
    const v1::BeginEnrollmentRequest& request, absl::string_view peer) {
  absl::StatusOr<BegunEnrollment> begun = needs_.enrollment->Begin(request);
  Decision decision = NewDecision(AuditEvent::kEnrollment, kBeginEnrollmentMethod, peer);
  if (!begun.ok()) {
    needs_.enrolling_strangers->Failed(peer, begun.status());
    return needs_.refusals->Tell(std::move(decision), begun.status());
  }
  decision.admitted = true;
  decision.subject = begun->subject;
  decision.detail = "begun";
  if (absl::Status written = needs_.audit->Admit(decision); !written.ok()) {
    return needs_.refusals->Tell(std::move(decision), written);
  }
  return std::move(begun->response);
}

absl::StatusOr<v1::FinishEnrollmentResponse> PeerService::FinishEnrollment(
    const v1::FinishEnrollmentRequest& request, absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kEnrollment, kFinishEnrollmentMethod, peer);
  absl::StatusOr<FinishedEnrollment> finished = needs_.enrollment->Finish(request);
  if (!finished.ok()) {
    needs_.enrolling_strangers->Failed(peer, finished.status());
    return needs_.refusals->Tell(std::move(decision), finished.status());
  }
  needs_.enrolling_strangers->Succeeded(peer);
  size_t ended = 0;
  if (!finished->replaced_credential.empty()) {
    ended = needs_.sessions->EndByCredential(finished->replaced_credential);
  }
  decision.admitted = true;
  decision.subject = finished->credential.subject;
  decision.credential_ids = {finished->credential.id};
  decision.invite = finished->invite_id;
  decision.tokens = {DescribeToken(finished->credential)};
  decision.factors = finished->credential.factors;
  decision.detail =
      finished->replaced_credential.empty()
          ? absl::StrCat("enrolled: ", finished->credential.proved_json)
          : absl::StrCat("recovery: enrolled, and revoked ",
                         absl::BytesToHexString(finished->replaced_credential), " with ", ended,
                         " sessions: ", finished->credential.proved_json);
  // It is in the registry already, so the client must be told: a failing audit log is counted, and
  // the first call by this credential meets it again.
  (void)needs_.audit->Admit(decision);
  return std::move(finished->response);
}

absl::StatusOr<v1::OpenSessionResponse> PeerService::AnswerOpening(
    absl::StatusOr<OpenedSession> opened, const VerifiedCall& call, absl::string_view method,
    absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kSessionOpened, method, peer);
  DescribeCaller(call, decision);
  if (!opened.ok()) return needs_.refusals->Tell(std::move(decision), opened.status());
  if (opened->session->parent() != nullptr) {
    decision.detail = absl::StrCat("child of ", absl::BytesToHexString(call.session()->id()));
  }
  decision.factors.clear();  // those of the session: it may have proved more than the call did
  for (const ProvedFactor& factor : opened->session->factors()) {
    decision.factors.push_back(factor.name.str());
  }
  if (!opened->remark.empty()) {
    absl::StrAppend(&decision.detail, decision.detail.empty() ? "" : "; ", opened->remark);
  }
  decision.session = std::string(opened->session->id());
  if (call.resumption() != nullptr) {
    decision.resumed_session = call.resumption()->ticket->session_id;
  }
  decision.admitted = true;
  if (absl::Status written = needs_.audit->Admit(decision); !written.ok()) {
    needs_.sessions->End(opened->session->id());
    return needs_.refusals->Tell(std::move(decision), written);
  }
  return std::move(opened->response);
}

absl::StatusOr<v1::OpenSessionResponse> PeerService::OpenSession(
    const VerifiedCall& call, const v1::OpenSessionRequest& request, absl::string_view peer) {
  return AnswerOpening(needs_.opener->Open(call, request), call, kOpenSessionMethod, peer);
}

absl::StatusOr<v1::OpenSessionResponse> PeerService::ResumeSession(
    const VerifiedCall& call, const v1::ResumeSessionRequest& request, absl::string_view peer) {
  absl::StatusOr<OpenedSession> resumed = needs_.opener->Resume(call, request);
  needs_.rights_changed->Ring();  // what was resumed, or proved to be in two hands, has ended
  absl::StatusOr<v1::OpenSessionResponse> answer =
      AnswerOpening(std::move(resumed), call, kResumeSessionMethod, peer);
  if (!answer.ok()) {
    // The public status has the reason as a payload (Refusals::Tell).
    needs_.strangers->Failed(peer, answer.status());
    return answer;
  }
  needs_.strangers->Succeeded(peer);
  needs_.counters->resumed.fetch_add(1, std::memory_order_relaxed);
  return answer;
}

absl::StatusOr<v1::OpenSessionResponse> PeerService::OpenChildSession(
    const VerifiedCall& call, const v1::OpenChildSessionRequest& request, absl::string_view peer) {
  return AnswerOpening(needs_.opener->OpenChild(call, request), call, kOpenChildSessionMethod,
                       peer);
}

bool PeerService::EndSessionHere(const VerifiedCall& call) {
  const bool ended = needs_.opener->EndHere(call);
  needs_.rights_changed->Ring();
  return ended;
}

absl::StatusOr<v1::EndSessionResponse> PeerService::EndSession(const VerifiedCall& call,
                                                               bool ended_here,
                                                               const v1::EndSessionRequest& request,
                                                               absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kSessionEnded, kEndSessionMethod, peer);
  DescribeCaller(call, decision);
  const absl::Status ended = needs_.opener->End(call, ended_here);
  needs_.rights_changed->Ring();  // it is ended here also where the registry could not be told
  if (!ended.ok()) return needs_.refusals->Tell(std::move(decision), ended);
  decision.admitted = true;
  (void)needs_.audit->Admit(decision);  // an end stands, whether it could be written or not
  return v1::EndSessionResponse();
}

absl::StatusOr<v1::WhoAmIResponse> PeerService::WhoAmI(const VerifiedCall& call,
                                                       const v1::WhoAmIRequest& request) {
  v1::WhoAmIResponse response;
  response.set_subject(call.subject().name());
  const auto roles = call.subject().roles();  // held: another thread may change them
  for (const std::string& role : *roles) response.add_roles(role);
  for (const auto& credential : call.credentials()) {
    const CredentialRecord& record = credential->record();
    v1::CredentialInfo* info = response.add_credentials();
    info->set_id(absl::BytesToHexString(record.id));
    info->set_kind(record.kind);
    info->set_label(record.label);
    info->set_device(record.proved_json);
  }
  for (const ProvedFactor& proved : call.factors()) {
    v1::Factor* factor = response.add_factors();
    factor->set_name(proved.name.str());
    factor->set_proved_at_unix_s(absl::ToUnixSeconds(proved.proved_at));
  }
  if (const Session* session = call.session(); session != nullptr) {
    response.set_session(absl::BytesToHexString(session->id()));
    response.set_child_session(session->parent() != nullptr);
    const absl::Duration left = session->expires_at() - needs_.clock->BootNow();
    response.set_session_expires_unix_s(absl::ToUnixSeconds(needs_.clock->WallNow() + left));
    response.set_ticket(needs_.opener->TicketFor(*session));
  }
  return response;
}

absl::Status PeerService::MayReauthenticate(const VerifiedCall& live, absl::string_view path,
                                            const VerifiedCall& by) const {
  // One subject, by its name: who knows another's proof must learn nothing of the call.
  if (live.subject().name() != by.subject().name()) return Refuse(Reason::kLiveCallUnknown);
  FOREKEY_RETURN_IF_ERROR(needs_.judge->CheckLive(live, path));
  const RuleMatch match = needs_.policy->Match(path);
  if (!match.rule || !match.rule->reauthenticate) return Refuse(Reason::kReauthenticateNotAllowed);
  return needs_.verifier->WouldPermit(path, by, /*as_child=*/false);
}

absl::StatusOr<v1::ReauthenticateCallResponse> PeerService::ReauthenticateCall(
    const VerifiedCall& call, const v1::ReauthenticateCallRequest& request, absl::string_view peer,
    ReplaceLiveCall replace) {
  Decision decision = NewDecision(AuditEvent::kCall, kReauthenticateCallMethod, peer);
  DescribeCaller(call, decision);
  const absl::Status done = Reauthenticate(call, request, replace, decision);
  if (done.ok()) return v1::ReauthenticateCallResponse();
  decision.admitted = false;
  return needs_.refusals->Tell(std::move(decision), done);
}

absl::Status PeerService::Reauthenticate(const VerifiedCall& call,
                                         const v1::ReauthenticateCallRequest& request,
                                         ReplaceLiveCall replace, Decision& decision) {
  FOREKEY_RETURN_IF_ERROR(call.CheckDigest(request.payload()));
  FOREKEY_ASSIGN_OR_RETURN(
      const v1::ReauthenticateCallPayload payload,
      ParsePayload<v1::ReauthenticateCallPayload>(request.payload(), kMaxReauthenticatePayload));
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
  FOREKEY_RETURN_IF_ERROR(once(/*commit=*/false));
  // Written before it takes effect, and without a lock on the live calls.
  decision.admitted = true;
  FOREKEY_RETURN_IF_ERROR(needs_.audit->Admit(decision));
  return once(/*commit=*/true);
}

absl::StatusOr<v1::GetRequirementsResponse> PeerService::GetRequirements(
    const VerifiedCall& call, const v1::GetRequirementsRequest& request, absl::string_view peer) {
  if (!IsWellFormedMethod(request.method())) {
    return needs_.refusals->Tell(
        Refuse(Reason::kRequestMalformed, "the method is not /package.Service/Method"),
        kGetRequirementsMethod, peer);
  }
  v1::GetRequirementsResponse response;
  if (needs_.policy->IsExempt(request.method())) return response;
  response.set_step_up(
      StepUpOf(needs_.verifier->WouldPermit(request.method(), call, request.child())));
  return response;
}

}  // namespace forekey
