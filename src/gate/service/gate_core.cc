#include "src/gate/service/gate_core.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/audit/audit_chain.h"
#include "src/gate/token/fido2_assertions.h"
#include "src/store/sqlite_registry.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

constexpr absl::Duration kMaintenanceInterval = absl::Seconds(1);

}  // namespace

GateCore::GateCore(GateConfig config, const Clock* clock)
    : config_(std::move(config)), clock_(clock) {}

GateCore::~GateCore() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  recheck_stop_ = true;
  if (maintenance_.joinable()) maintenance_.join();
  if (recheck_.joinable()) recheck_.join();
}

absl::StatusOr<std::unique_ptr<GateCore>> GateCore::New(GateConfig config) {
  return New(std::move(config), Parts());
}

absl::StatusOr<std::unique_ptr<GateCore>> GateCore::New(GateConfig config, Parts parts) {
  auto core = std::unique_ptr<GateCore>(new GateCore(std::move(config), parts.clock));
  const bool maintenance_thread = parts.maintenance_thread;
  FOREKEY_RETURN_IF_ERROR(core->Build(std::move(parts)));
  if (maintenance_thread) {
    core->maintenance_ = std::thread([core = core.get()] { core->RunMaintenance(); });
    core->recheck_ = std::thread([core = core.get()] { core->RunRecheck(); });
  }
  return core;
}

absl::Status GateCore::Build(Parts parts) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config_.state.directory));
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<CallPolicy> rules, NewMethodPolicy(config_.rules));
  policy_ = std::make_unique<LiveRules>(std::move(rules));
  {
    absl::MutexLock reloading(&reload_mutex_);
    rules_signature_ = config_.file_signature;
  }
  if (parts.audit == nullptr) {
    if (config_.audit.file == "stderr") {
      parts.audit = NewStderrAuditSink(config_.audit.options);
    } else {
      FOREKEY_ASSIGN_OR_RETURN(parts.audit,
                               OpenAuditFile(config_.AuditPath(), config_.audit.options));
    }
  }
  audit_ = std::make_unique<AuditLog>(std::move(parts.audit), config_.audit.options, *clock_);
  FOREKEY_ASSIGN_OR_RETURN(identities_, GateIdentities::Open(config_.state.IdentityDirectory(),
                                                             *clock_, config_.identity.overlap));
  FOREKEY_ASSIGN_OR_RETURN(
      certificates_,
      AcceptedCertificates::New(AcceptedCertificatesOptions{{config_.tls.certificate},
                                                            config_.tls.accepted_certificates,
                                                            config_.tls.replaced_lifetime},
                                *clock_));
  if (parts.registry == nullptr) {
    FOREKEY_ASSIGN_OR_RETURN(parts.registry, OpenSqliteRegistry(config_.state.RegistryPath()));
  }
  credentials_ = std::make_unique<LiveCredentials>(std::move(parts.registry));
  challenges_ =
      std::make_unique<ChallengeIssuer>(config_.audience, *clock_, config_.challenges.lifetime);
  replay_ = NewMemoryReplayStore(config_.challenges.remembered);
  sessions_ = std::make_unique<SessionTable>(config_.sessions.limits);
  strangers_ = std::make_unique<StrangerLimit>(config_.limits.proofs);
  enrolling_strangers_ = std::make_unique<StrangerLimit>(config_.limits.enrollments);

  // Where token kinds are listed: how each signs a call. How each is enrolled: gate_trust.cc.
  assertions_[TokenKind::kTpm] = NewPlainAssertionVerifier();
  assertions_[TokenKind::kPiv] = NewPlainAssertionVerifier();
  assertions_[TokenKind::kFido2] = NewFido2AssertionVerifier(
      {config_.fido2.policy.require_user_verification, config_.fido2.policy.allow_backup_eligible,
       config_.fido2.refuse_clones});

  verifier_ = std::make_unique<CallVerifier>(CallVerifierParts{
      config_.audience, clock_, challenges_.get(), certificates_.get(), credentials_.get(),
      replay_.get(), sessions_.get(), policy_.get(), &assertions_, strangers_.get()});
  opener_ = std::make_unique<SessionOpener>(config_.sessions, *clock_, *identities_, *certificates_,
                                            *sessions_);
  FOREKEY_RETURN_IF_ERROR(BuildFactors(parts.fetch_keys));
  return BuildEnrollment(std::move(parts.kinds));
}

void GateCore::RunMaintenance() {
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kMaintenanceInterval)) {
    mutex_.Unlock();
    Maintain();
    mutex_.Lock();
  }
}

void GateCore::Maintain() {
  sessions_->Sweep(clock_->BootNanos());
  audit_->Maintain();
  WatchRules();
  WatchTrust();
  const absl::Status reloaded = certificates_->Reload();
  absl::MutexLock lock(&maintenance_mutex_);
  if (reloaded.message() == certificate_error_) return;
  // Told once for each new error, and when it is over: the last good set stays meanwhile.
  certificate_error_ = std::string(reloaded.message());
  Decision decision = NewDecision(AuditEvent::kGate);
  decision.admitted = reloaded.ok();
  decision.detail = reloaded.ok() ? "the TLS certificates were read again"
                                  : absl::StrCat(
                                        "TLS certificates can't be read again; those read last "
                                        "stay accepted: ",
                                        certificate_error_);
  (void)audit_->Admit(decision);
}

// ---- The call path ----

Decision GateCore::NewDecision(AuditEvent event) const {
  Decision decision;
  decision.reference = NewReference();
  decision.time = clock_->WallNow();
  decision.event = event;
  return decision;
}

absl::Status GateCore::PublicStatus(const absl::Status& why, std::optional<Reason> reason,
                                    absl::string_view reference) {
  // Only a caller that is known gets a step-up. Its code is the one that clients try again after.
  if (const std::string step_up = StepUpOf(why); !step_up.empty()) {
    return absl::UnauthenticatedError(RefusalMessage(reference, step_up));
  }
  // What is no refusal is our own failure: nobody is let in by it, and nobody learns what it was.
  return absl::Status(reason ? PublicCode(*reason) : absl::StatusCode::kUnavailable,
                      RefusalMessage(reference, ""));
}

void GateCore::CountRefusal(std::optional<Reason> reason) {
  counters_.refused.fetch_add(1, std::memory_order_relaxed);
  counters_.refused_for[reason ? static_cast<size_t>(*reason) : kReasonCount].fetch_add(
      1, std::memory_order_relaxed);
}

absl::Status GateCore::RefusePublicly(Decision decision, const absl::Status& why) {
  decision.admitted = false;
  decision.reason = ReasonOf(why);
  CountRefusal(decision.reason);
  decision.detail = std::string(why.message());
  absl::Status status = PublicStatus(why, decision.reason, decision.reference);
  audit_->Refused(std::move(decision));
  return status;
}

absl::Status GateCore::PublicRefusal(const absl::Status& refusal, absl::string_view method,
                                     absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kCall);
  decision.method = std::string(method);
  decision.peer = std::string(peer);
  return RefusePublicly(std::move(decision), refusal);
}

void GateCore::Describe(const VerifiedCall& call, Decision& decision) {
  decision.subject = call.subject().name();
  for (const auto& credential : call.credentials()) {
    decision.credential_ids.push_back(credential->record().id);
    decision.tokens.push_back(TokenOf(credential->record()));
  }
  for (const ProvedFactor& factor : call.factors()) decision.factors.push_back(factor.name);
  if (call.session() != nullptr) decision.session = call.session()->id();
  if (call.device() != nullptr) decision.detail = absl::StrJoin(call.device()->remarks, "; ");
}

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
  for (const AssertionView& assertion : prefix->device()->assertions) {
    decision.claimed_credential_ids.emplace_back(assertion.credential_id);
  }
}

}  // namespace

Judgement GateCore::Judge(const CallInput& call_input) {
  Judgement judgement;
  if (policy_->IsExempt(call_input.path)) {
    counters_.exempt.fetch_add(1, std::memory_order_relaxed);
    judgement.exempt = true;
    return judgement;
  }
  const int64_t begun = clock_->BootNanos();
  CallTrace trace;
  CallInput input = call_input;
  input.trace = &trace;
  absl::StatusOr<VerifiedCall> call = verifier_->Verify(input);
  absl::Status why = call.status();
  if (why.ok() && (call->session() == nullptr || audit_->all_calls())) {
    Decision decision = NewDecision(AuditEvent::kCall);
    decision.admitted = true;
    decision.method = std::string(input.path);
    decision.peer = std::string(input.peer);
    decision.latency_nanos = clock_->BootNanos() - begun;
    Describe(*call, decision);
    if (call->device() != nullptr) {
      decision.proof = DecisionProof{config_.audience, std::string(input.prefixes[0])};
    }
    why = audit_->Admit(decision);
  }
  if (why.ok()) {
    counters_.admitted.fetch_add(1, std::memory_order_relaxed);
    (call->session() != nullptr ? counters_.session_latency : counters_.device_latency)
        .Add(clock_->BootNanos() - begun);
    judgement.call = *std::move(call);
    return judgement;
  }
  judgement.reason = ReasonOf(why);
  judgement.status = RefuseCall(input, trace, begun, why, judgement.reason);
  return judgement;
}

// A refusal in a flood of its kind is counted and answered, and costs nothing beyond that.
absl::Status GateCore::RefuseCall(const CallInput& input, const CallTrace& trace, int64_t begun,
                                  const absl::Status& why, std::optional<Reason> reason) {
  CountRefusal(reason);
  counters_.refused_latency.Add(clock_->BootNanos() - begun);
  const std::string reference = NewReference();
  if (audit_->TakeRefusal(reason)) {
    Decision decision = NewDecision(AuditEvent::kCall);
    decision.reference = reference;
    decision.method = std::string(input.path);
    decision.peer = std::string(input.peer);
    decision.reason = reason;
    decision.latency_nanos = clock_->BootNanos() - begun;
    if (trace.proved) {
      Describe(*trace.proved, decision);
      if (trace.proved->device() != nullptr) {
        decision.proof = DecisionProof{config_.audience, std::string(input.prefixes[0])};
      }
    } else {
      DescribeClaim(input, decision);
    }
    decision.detail = std::string(why.message());
    audit_->WriteRefusal(std::move(decision));
  }
  return PublicStatus(why, reason, reference);
}

absl::StatusOr<VerifiedCall> GateCore::Recall(absl::Span<const absl::string_view> prefixes,
                                              absl::string_view path) {
  if (policy_->IsExempt(path)) {
    return Refuse(Reason::kPrefixMissing, "the method is exempt: it has no caller");
  }
  return verifier_->Recall(prefixes, path);
}

// ---- The Gate service ----

absl::StatusOr<v1::GetChallengeResponse> GateCore::GetChallenge(
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
  v1::GetChallengeResponse response;
  response.set_challenge(challenges_->Issue(purpose));
  response.set_lifetime_s(static_cast<uint32_t>(absl::ToInt64Seconds(challenges_->lifetime())));
  return response;
}

absl::StatusOr<v1::BeginEnrollmentResponse> GateCore::BeginEnrollment(
    const v1::BeginEnrollmentRequest& request, absl::string_view peer) {
  absl::StatusOr<BegunEnrollment> begun =
      enrolling_strangers_->Allow(peer, clock_->BootNanos())
          ? enrollment_->Begin(request)
          : Refuse(Reason::kRateLimited, "enrolments from callers that showed nothing yet");
  Decision decision = NewDecision(AuditEvent::kEnrollment);
  decision.method = std::string(kBeginEnrollmentMethod);
  decision.peer = std::string(peer);
  if (!begun.ok()) {
    enrolling_strangers_->Failed(peer);
    return RefusePublicly(std::move(decision), begun.status());
  }
  decision.admitted = true;
  decision.subject = begun->subject;
  decision.detail = "begun";
  if (absl::Status written = audit_->Admit(decision); !written.ok()) {
    return RefusePublicly(std::move(decision), written);
  }
  return std::move(begun->response);
}

absl::StatusOr<v1::FinishEnrollmentResponse> GateCore::FinishEnrollment(
    const v1::FinishEnrollmentRequest& request, absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kEnrollment);
  decision.method = std::string(kFinishEnrollmentMethod);
  decision.peer = std::string(peer);
  absl::StatusOr<FinishedEnrollment> finished =
      enrolling_strangers_->Allow(peer, clock_->BootNanos())
          ? enrollment_->Finish(request)
          : Refuse(Reason::kRateLimited, "enrolments from callers that showed nothing yet");
  if (!finished.ok()) {
    enrolling_strangers_->Failed(peer);
    return RefusePublicly(std::move(decision), finished.status());
  }
  enrolling_strangers_->Succeeded(peer);
  size_t ended = 0;
  if (!finished->replaced_credential.empty()) {
    ended = sessions_->EndByCredential(finished->replaced_credential);
  }
  decision.admitted = true;
  decision.subject = finished->credential.subject;
  decision.credential_ids = {finished->credential.id};
  decision.tokens = {TokenOf(finished->credential)};
  decision.factors = finished->credential.factors;
  decision.detail =
      finished->replaced_credential.empty()
          ? absl::StrCat("enrolled: ", finished->credential.proved_json)
          : absl::StrCat("recovery: enrolled, and revoked ",
                         absl::BytesToHexString(finished->replaced_credential), " with ", ended,
                         " sessions: ", finished->credential.proved_json);
  // It is in the registry already, so the client must be told: a failing audit log is counted, and
  // the first call by this credential meets it again.
  (void)audit_->Admit(decision);
  return std::move(finished->response);
}

absl::StatusOr<v1::OpenSessionResponse> GateCore::AnswerOpening(
    absl::StatusOr<OpenedSession> opened, const VerifiedCall& call, absl::string_view method,
    absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kSessionOpened);
  decision.method = std::string(method);
  decision.peer = std::string(peer);
  Describe(call, decision);
  if (!opened.ok()) return RefusePublicly(std::move(decision), opened.status());
  if (opened->session->parent() != nullptr) {
    decision.detail = absl::StrCat("child of ", absl::BytesToHexString(call.session()->id()));
  }
  decision.factors.clear();  // those of the session: it may have proved more than the call did
  for (const ProvedFactor& factor : opened->session->factors()) {
    decision.factors.push_back(factor.name);
  }
  if (!opened->remark.empty()) {
    absl::StrAppend(&decision.detail, decision.detail.empty() ? "" : "; ", opened->remark);
  }
  decision.session = opened->session->id();
  decision.admitted = true;
  if (absl::Status written = audit_->Admit(decision); !written.ok()) {
    sessions_->End(opened->session->id());
    return RefusePublicly(std::move(decision), written);
  }
  return std::move(opened->response);
}

absl::StatusOr<v1::OpenSessionResponse> GateCore::OpenSession(const VerifiedCall& call,
                                                              const v1::OpenSessionRequest& request,
                                                              absl::string_view peer) {
  return AnswerOpening(opener_->Open(call, request), call, kOpenSessionMethod, peer);
}

absl::StatusOr<v1::OpenSessionResponse> GateCore::OpenChildSession(
    const VerifiedCall& call, const v1::OpenChildSessionRequest& request, absl::string_view peer) {
  return AnswerOpening(opener_->OpenChild(call, request), call, kOpenChildSessionMethod, peer);
}

absl::StatusOr<v1::EndSessionResponse> GateCore::EndSession(const VerifiedCall& call,
                                                            const v1::EndSessionRequest& request,
                                                            absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kSessionEnded);
  decision.method = std::string(kEndSessionMethod);
  decision.peer = std::string(peer);
  Describe(call, decision);
  if (absl::Status ended = opener_->End(call); !ended.ok()) {
    return RefusePublicly(std::move(decision), ended);
  }
  decision.admitted = true;
  (void)audit_->Admit(decision);  // an end stands, whether it could be written or not
  return v1::EndSessionResponse();
}

absl::StatusOr<v1::WhoAmIResponse> GateCore::WhoAmI(const VerifiedCall& call,
                                                    const v1::WhoAmIRequest& request) {
  v1::WhoAmIResponse response;
  response.set_subject(call.subject().name());
  const auto roles = call.subject().roles();  // held: another thread may change them
  for (const std::string& role : *roles) response.add_roles(role);
  for (const auto& credential : call.credentials()) {
    const CredentialRecord& record = credential->record();
    v1::CredentialInfo* info = response.add_credentials();
    info->set_id(absl::BytesToHexString(record.id));
    info->set_kind(static_cast<v1::TokenKind>(record.kind));
    info->set_label(record.label);
    info->set_device(record.proved_json);
  }
  for (const ProvedFactor& proved : call.factors()) {
    v1::Factor* factor = response.add_factors();
    factor->set_name(proved.name);
    factor->set_proved_at_unix_s(absl::ToUnixSeconds(proved.proved_at));
  }
  if (const Session* session = call.session(); session != nullptr) {
    response.set_session(absl::BytesToHexString(session->id()));
    response.set_child_session(session->parent() != nullptr);
    const int64_t left = session->expires_boot_nanos() - clock_->BootNanos();
    response.set_session_expires_unix_s(
        absl::ToUnixSeconds(clock_->WallNow() + absl::Nanoseconds(left)));
  }
  return response;
}

}  // namespace forekey
