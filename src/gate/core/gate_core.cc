#include "src/gate/core/gate_core.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/core/tpm_enrollment.h"
#include "src/store/sqlite_registry.h"

namespace forekey {
namespace {

constexpr absl::Duration kMaintenanceInterval = absl::Seconds(1);

absl::Status Named(absl::string_view what, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

absl::StatusOr<TrustAnchors> LoadAnchors(const std::string& folder, absl::string_view key) {
  std::vector<std::string> skipped;
  absl::StatusOr<TrustAnchors> anchors = TrustAnchors::FromDirectory(folder, &skipped);
  if (!anchors.ok()) return Named(key, anchors.status());
  if (anchors->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        key, ": ", folder, " holds no certificate", skipped.empty() ? "" : ": ", absl::StrJoin(skipped, "; ")));
  }
  return anchors;
}

}  // namespace

GateCore::GateCore(GateConfig config, const Clock* clock)
    : config_(std::move(config)), clock_(clock) {}

GateCore::~GateCore() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (maintenance_.joinable()) maintenance_.join();
}

absl::StatusOr<std::unique_ptr<GateCore>> GateCore::New(GateConfig config) {
  return New(std::move(config), Parts());
}

absl::StatusOr<std::unique_ptr<GateCore>> GateCore::New(GateConfig config, Parts parts) {
  auto core = std::unique_ptr<GateCore>(new GateCore(std::move(config), parts.clock));
  const bool maintenance_thread = parts.maintenance_thread;
  FOREKEY_RETURN_IF_ERROR(core->Build(std::move(parts)));
  if (maintenance_thread) core->maintenance_ = std::thread([core = core.get()] { core->RunMaintenance(); });
  return core;
}

absl::Status GateCore::Build(Parts parts) {
  FOREKEY_RETURN_IF_ERROR(EnsurePrivateDirectory(config_.state.directory));
  FOREKEY_ASSIGN_OR_RETURN(policy_, NewMethodPolicy(config_.rules));
  if (parts.audit == nullptr) {
    if (config_.audit.file == "stderr") {
      parts.audit = NewStderrAuditSink();
    } else {
      FOREKEY_ASSIGN_OR_RETURN(parts.audit, OpenAuditFile(config_.AuditPath()));
    }
  }
  audit_ = std::make_unique<AuditLog>(std::move(parts.audit), config_.audit.options, *clock_);
  FOREKEY_ASSIGN_OR_RETURN(identities_, GateIdentities::Open(config_.state.IdentityDirectory(), *clock_,
                                                             config_.identity.overlap));
  FOREKEY_ASSIGN_OR_RETURN(
      certificates_,
      AcceptedCertificates::New(
          AcceptedCertificatesOptions{{config_.tls.certificate},
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
  strangers_ = std::make_unique<StrangerLimit>(config_.limits.stranger_proofs_per_second,
                                               config_.limits.stranger_proof_burst);

  // Where token kinds are listed: how each signs a call. How each is enrolled: BuildEnrollment.
  assertions_[TokenKind::kTpm] = NewPlainAssertionVerifier();
  assertions_[TokenKind::kPiv] = NewPlainAssertionVerifier();

  verifier_ = std::make_unique<CallVerifier>(CallVerifierParts{
      config_.audience, clock_, challenges_.get(), certificates_.get(), credentials_.get(),
      replay_.get(), sessions_.get(), policy_.get(), &assertions_, strangers_.get()});
  opener_ = std::make_unique<SessionOpener>(config_.sessions, *clock_, *identities_, *certificates_,
                                            *sessions_);
  return BuildEnrollment(std::move(parts.kinds));
}

absl::Status GateCore::BuildEnrollment(EnrollmentKinds kinds) {
  const GateConfig::TpmAttestation& tpm = config_.tpm;
  TpmEnrollmentOptions options;
  if (!tpm.trust.empty()) {
    FOREKEY_ASSIGN_OR_RETURN(options.trust, LoadAnchors(tpm.trust, "attestation.tpm.trust"));
  }
  if (tpm.insecure_simulators) {
    FOREKEY_ASSIGN_OR_RETURN(options.simulators,
                             LoadAnchors(tpm.simulator_trust, "attestation.tpm.simulator_trust"));
  }
  for (const std::string& hash : tpm.ek_allow_list) {
    options.allowed_ek_hashes.push_back(absl::HexStringToBytes(hash));
  }
  if (!options.trust.empty() || !options.simulators.empty() || !options.allowed_ek_hashes.empty()) {
    kinds_[TokenKind::kTpm] = NewTpmEnrollment(std::move(options));
  }
  for (auto& [kind, enrollment] : kinds) kinds_[kind] = std::move(enrollment);
  enrollment_ = std::make_unique<EnrollmentAuthority>(EnrollmentParts{
      config_.audience, clock_, challenges_.get(), certificates_.get(), identities_.get(),
      credentials_.get(), replay_.get(), &kinds_, tpm.one_subject_a_device});
  return absl::OkStatus();
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
  audit_->FlushSuppressed();
  const absl::Status reloaded = certificates_->Reload();
  absl::MutexLock lock(&maintenance_mutex_);
  if (reloaded.message() == certificate_error_) return;
  // Told once for each new error, and when it is over: the last good set stays meanwhile.
  certificate_error_ = std::string(reloaded.message());
  Decision decision = NewDecision(AuditEvent::kGate);
  decision.admitted = reloaded.ok();
  decision.detail = reloaded.ok() ? "the TLS certificates were read again"
                                  : absl::StrCat("TLS certificates can't be read again; those read last "
                                                 "stay accepted: ", certificate_error_);
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

absl::Status GateCore::PublicStatus(const absl::Status& why, absl::string_view reference) {
  const std::optional<Reason> reason = ReasonOf(why);
  // What is no refusal is our own failure: nobody is let in by it, and nobody learns what it was.
  return absl::Status(reason ? PublicCode(*reason) : absl::StatusCode::kUnavailable,
                      absl::StrCat("forekey: refused, reference ", reference));
}

absl::Status GateCore::RefusePublicly(Decision decision, const absl::Status& why) {
  counters_.refused.fetch_add(1, std::memory_order_relaxed);
  decision.admitted = false;
  decision.reason = ReasonOf(why);
  decision.detail = std::string(why.message());
  absl::Status status = PublicStatus(why, decision.reference);
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

namespace {

void Describe(const VerifiedCall& call, Decision& decision) {
  decision.subject = call.subject().name();
  for (const auto& credential : call.credentials()) {
    decision.credential_ids.push_back(credential->record().id);
  }
  for (const ProvedFactor& factor : call.factors()) decision.factors.push_back(factor.name);
  if (call.session() != nullptr) decision.session = call.session()->id();
}

}  // namespace

Judgement GateCore::Judge(const CallInput& input) {
  Judgement judgement;
  if (policy_->IsExempt(input.path)) {
    counters_.exempt.fetch_add(1, std::memory_order_relaxed);
    judgement.exempt = true;
    return judgement;
  }
  const int64_t begun = clock_->BootNanos();
  absl::StatusOr<VerifiedCall> call = verifier_->Verify(input);
  absl::Status why = call.status();
  if (why.ok() && (call->session() == nullptr || audit_->all_calls())) {
    Decision decision = NewDecision(AuditEvent::kCall);
    decision.admitted = true;
    decision.method = std::string(input.path);
    decision.peer = std::string(input.peer);
    decision.latency_nanos = clock_->BootNanos() - begun;
    Describe(*call, decision);
    why = audit_->Admit(decision);
  }
  if (why.ok()) {
    counters_.admitted.fetch_add(1, std::memory_order_relaxed);
    judgement.call = *std::move(call);
    return judgement;
  }
  Decision decision = NewDecision(AuditEvent::kCall);
  decision.method = std::string(input.path);
  decision.peer = std::string(input.peer);
  decision.latency_nanos = clock_->BootNanos() - begun;
  judgement.status = RefusePublicly(std::move(decision), why);
  return judgement;
}

absl::StatusOr<VerifiedCall> GateCore::Recall(absl::Span<const absl::string_view> prefixes,
                                              absl::string_view path) {
  if (policy_->IsExempt(path)) {
    return Refuse(Reason::kPrefixMissing, "the method is exempt: it has no caller");
  }
  return verifier_->Recall(prefixes, path);
}

// ---- The Gate service ----

absl::StatusOr<v1::GetChallengeResponse> GateCore::GetChallenge(const v1::GetChallengeRequest& request) {
  ChallengePurpose purpose;
  switch (request.purpose()) {
    case v1::GetChallengeRequest::PURPOSE_CALL: purpose = ChallengePurpose::kCall; break;
    case v1::GetChallengeRequest::PURPOSE_ENROLL: purpose = ChallengePurpose::kEnroll; break;
    default: return absl::InvalidArgumentError("purpose must be PURPOSE_CALL or PURPOSE_ENROLL");
  }
  v1::GetChallengeResponse response;
  response.set_challenge(challenges_->Issue(purpose));
  response.set_lifetime_s(static_cast<uint32_t>(absl::ToInt64Seconds(challenges_->lifetime())));
  return response;
}

absl::StatusOr<v1::BeginEnrollmentResponse> GateCore::BeginEnrollment(
    const v1::BeginEnrollmentRequest& request, absl::string_view peer) {
  absl::StatusOr<BegunEnrollment> begun = enrollment_->Begin(request);
  Decision decision = NewDecision(AuditEvent::kEnrollment);
  decision.method = std::string(kBeginEnrollmentMethod);
  decision.peer = std::string(peer);
  if (!begun.ok()) return RefusePublicly(std::move(decision), begun.status());
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
  absl::StatusOr<FinishedEnrollment> finished = enrollment_->Finish(request);
  if (!finished.ok()) return RefusePublicly(std::move(decision), finished.status());
  size_t ended = 0;
  if (!finished->replaced_credential.empty()) {
    ended = sessions_->EndByCredential(finished->replaced_credential);
  }
  decision.admitted = true;
  decision.subject = finished->credential.subject;
  decision.credential_ids = {finished->credential.id};
  decision.factors = finished->credential.factors;
  decision.detail =
      finished->replaced_credential.empty()
          ? absl::StrCat("enrolled: ", finished->credential.proved_json)
          : absl::StrCat("recovery: enrolled, and revoked ",
                         absl::BytesToHexString(finished->replaced_credential), " with ", ended,
                         " sessions: ", finished->credential.proved_json);
  // It is in the registry already, so the client must be told: a failing audit log is counted, and the
  // first call by this credential meets it again.
  (void)audit_->Admit(decision);
  return std::move(finished->response);
}

absl::StatusOr<v1::OpenSessionResponse> GateCore::AnswerOpening(absl::StatusOr<OpenedSession> opened,
                                                                const VerifiedCall& call,
                                                                absl::string_view method,
                                                                absl::string_view peer) {
  Decision decision = NewDecision(AuditEvent::kSessionOpened);
  decision.method = std::string(method);
  decision.peer = std::string(peer);
  Describe(call, decision);
  if (!opened.ok()) return RefusePublicly(std::move(decision), opened.status());
  if (opened->session->parent() != nullptr) {
    decision.detail = absl::StrCat("child of ", absl::BytesToHexString(call.session()->id()));
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
  for (const std::string& role : *call.subject().roles()) response.add_roles(role);
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
