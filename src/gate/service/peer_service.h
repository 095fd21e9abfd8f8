// SPDX-License-Identifier: Apache-2.0
// forekey.v1.Gate without gRPC: what the gate itself answers to peers. Every error that leaves it
// is public already (src/gate/call/refusals.h): give it to the peer as it is.
#ifndef FOREKEY_SRC_GATE_SERVICE_PEER_SERVICE_H_
#define FOREKEY_SRC_GATE_SERVICE_PEER_SERVICE_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/gate/audit/audit.h"
#include "src/gate/call/call_judge.h"
#include "src/gate/call/call_verifier.h"
#include "src/gate/call/challenge.h"
#include "src/gate/call/refusals.h"
#include "src/gate/enroll/enrollment.h"
#include "src/gate/limits/stranger_limit.h"
#include "src/gate/session/session_opener.h"
#include "src/policy/call_policy.h"
#include "src/store/session_table.h"

namespace forekey {

// Everything is borrowed and must outlive the service.
struct PeerServiceNeeds {
  const Clock* clock = nullptr;
  const CallPolicy* policy = nullptr;
  const ChallengeIssuer* challenges = nullptr;
  const CallVerifier* verifier = nullptr;
  const CallJudge* judge = nullptr;
  SessionTable* sessions = nullptr;
  SessionOpener* opener = nullptr;
  EnrollmentAuthority* enrollment = nullptr;
  StrangerLimit* enrolling_strangers = nullptr;
  StrangerLimit* strangers = nullptr;
  AuditLog* audit = nullptr;
  Refusals* refusals = nullptr;
  GateCounters* counters = nullptr;
  Bell* rights_changed = nullptr;  // rings when a session was ended
};

// Safe from any thread. Blocks for the registry's and the audit log's disk writes; OpenSession with
// further factors takes longer: a password on purpose, an ID token for as long as JwksCacheOptions
// let it wait for keys.
class PeerService {
 public:
  explicit PeerService(PeerServiceNeeds needs) : needs_(needs) {}

  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request);
  // What is known of an enrolment's step at no cost, and the limit of its address: asked before it
  // waits for a thread, a disk or a signature. OK, or the public refusal.
  absl::Status AdmitEnrollment(const v1::BeginEnrollmentRequest& request, absl::string_view peer);
  absl::Status AdmitEnrollment(const v1::FinishEnrollmentRequest& request, absl::string_view peer);
  // Both after AdmitEnrollment.
  absl::StatusOr<v1::BeginEnrollmentResponse> BeginEnrollment(
      const v1::BeginEnrollmentRequest& request, absl::string_view peer);
  absl::StatusOr<v1::FinishEnrollmentResponse> FinishEnrollment(
      const v1::FinishEnrollmentRequest& request, absl::string_view peer);

  absl::StatusOr<v1::OpenSessionResponse> OpenSession(const VerifiedCall& call,
                                                      const v1::OpenSessionRequest& request,
                                                      absl::string_view peer);
  absl::StatusOr<v1::OpenSessionResponse> ResumeSession(const VerifiedCall& call,
                                                        const v1::ResumeSessionRequest& request,
                                                        absl::string_view peer);
  absl::StatusOr<v1::OpenSessionResponse> OpenChildSession(
      const VerifiedCall& call, const v1::OpenChildSessionRequest& request, absl::string_view peer);
  // In two steps: EndSessionHere() takes effect in this process at once, and asks no registry; what
  // it says is given to the second one, which may take its time.
  bool EndSessionHere(const VerifiedCall& call);
  absl::StatusOr<v1::EndSessionResponse> EndSession(const VerifiedCall& call, bool ended_here,
                                                    const v1::EndSessionRequest& request,
                                                    absl::string_view peer);
  // Both.
  absl::StatusOr<v1::EndSessionResponse> EndSession(const VerifiedCall& call,
                                                    const v1::EndSessionRequest& request,
                                                    absl::string_view peer) {
    return EndSession(call, EndSessionHere(call), request, peer);
  }

  // Goes through the gate's live calls and puts `by` in the place of the caller of the one that the
  // predicate picks. The predicate is called under a lock, and must not ask for live calls.
  using ReplaceLiveCall = absl::FunctionRef<void(
      const VerifiedCall& by,
      absl::FunctionRef<bool(const VerifiedCall& live, absl::string_view path)> pick)>;
  // A live call of the same subject goes on under `call`'s session, where the rule of its method
  // says so and would permit it to that session.
  absl::StatusOr<v1::ReauthenticateCallResponse> ReauthenticateCall(
      const VerifiedCall& call, const v1::ReauthenticateCallRequest& request,
      absl::string_view peer, ReplaceLiveCall replace);

  // What `call`'s caller lacks for a method, by the rules in force (src/wire/step_up.h).
  absl::StatusOr<v1::GetRequirementsResponse> GetRequirements(
      const VerifiedCall& call, const v1::GetRequirementsRequest& request, absl::string_view peer);
  absl::StatusOr<v1::WhoAmIResponse> WhoAmI(const VerifiedCall& call,
                                            const v1::WhoAmIRequest& request);

 private:
  absl::Status TellEnrollment(const absl::Status& checked, absl::string_view method,
                              absl::string_view peer);
  Decision NewDecision(AuditEvent event, absl::string_view method, absl::string_view peer) const;
  absl::StatusOr<v1::OpenSessionResponse> AnswerOpening(absl::StatusOr<OpenedSession> opened,
                                                        const VerifiedCall& call,
                                                        absl::string_view method,
                                                        absl::string_view peer);
  // `decision` names the caller already. This adds what is done, and audits it before it is done.
  absl::Status Reauthenticate(const VerifiedCall& call,
                              const v1::ReauthenticateCallRequest& request, ReplaceLiveCall replace,
                              Decision& decision);
  absl::Status MayReauthenticate(const VerifiedCall& live, absl::string_view path,
                                 const VerifiedCall& by) const;

  const PeerServiceNeeds needs_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SERVICE_PEER_SERVICE_H_
