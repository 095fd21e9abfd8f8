// Enrolled credentials, verified once more by what enrolments are verified by now: a certificate
// that was revoked since, a model that was reported, a CA that is not trusted any more.
//
// What can't be told is no reason to take anything away: a list that expired or is missing, a
// certificate that is past its time, a policy that was changed are reported, and never revoke.
#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/service/gate_core.h"

namespace forekey {
namespace {

constexpr size_t kPage = 256;  // ids that one look at the registry gives
constexpr int kMostListed = 1000;

// An authority said so, or the administrator took it out of what is trusted.
bool IsWithdrawn(Reason reason) {
  switch (reason) {
    case Reason::kCertificateRevoked:
    case Reason::kCertificateUntrusted:
    case Reason::kEkCertificateMissing:
    case Reason::kAuthenticatorStatus:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status GateCore::RecheckOne(const Recheck& recheck, const std::string& id) {
  absl::StatusOr<CredentialRecord> found = credentials_->registry().FindCredential(id);
  if (ReasonOf(found.status()) == Reason::kCredentialUnknown) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(found.status());
  const CredentialRecord& record = *found;
  const TokenKind token_kind = static_cast<TokenKind>(record.kind);
  if (record.revoked_at ||
      (recheck.kinds.count(token_kind) == 0 && kinds_.count(token_kind) != 0)) {
    return absl::OkStatus();
  }
  v1::RecheckCredentialsResponse& response = *recheck.response;
  const auto kind = kinds_.find(token_kind);
  const absl::StatusOr<StoredEvidence> evidence = ParseEvidence(record.evidence);
  if (kind == kinds_.end() || !evidence.ok()) {
    response.set_unchecked(response.unchecked() + 1);
    return absl::OkStatus();
  }
  response.set_checked(response.checked() + 1);
  const absl::Status now =
      kind->second->Recheck(evidence->opening, evidence->proof,
                            EnrollmentContext{config_.audience, evidence->enrollment_id,
                                              record.subject, evidence->opening.channel_binding(),
                                              evidence->opening.challenge(), clock_->WallNow()});
  const std::optional<Reason> reason = ReasonOf(now);
  if (!reason) return now;  // OK, or no verdict
  const bool withdrawn = IsWithdrawn(*reason);
  response.set_refused(response.refused() + 1);
  bool revoked = false;
  if (withdrawn && recheck.revoke) {
    FOREKEY_ASSIGN_OR_RETURN(
        revoked, credentials_->Revoke(id, absl::StrCat("rechecked: ", ReasonName(*reason)),
                                      clock_->WallNow()));
    (void)sessions_->EndByCredential(id);
  }
  if (recheck.told == nullptr || recheck.told->insert(id).second || revoked) {
    Decision decision = NewDecision(recheck.actor.empty() ? AuditEvent::kGate : AuditEvent::kAdmin);
    decision.peer = recheck.actor;
    decision.method = "RecheckCredentials";
    decision.reason = reason;
    decision.subject = record.subject;
    decision.credential_ids = {id};
    decision.tokens = {TokenOf(record)};
    decision.detail = absl::StrCat(revoked     ? "revoked: "
                                   : withdrawn ? "its trust was withdrawn, and it stays good: "
                                               : "would not be enrolled now, and stays good: ",
                                   now.message());
    (void)audit_->Admit(decision);  // a revocation is never held up
  }
  if (response.credentials_size() == kMostListed) return absl::OkStatus();
  v1::RecheckedCredential* listed = response.add_credentials();
  listed->set_credential_id(id);
  listed->set_subject(record.subject);
  listed->set_kind(static_cast<v1::TokenKind>(record.kind));
  listed->set_label(record.label);
  listed->set_reason(std::string(ReasonName(*reason)));
  listed->set_detail(std::string(now.message()));
  listed->set_withdrawn(withdrawn);
  listed->set_revoked(revoked);
  return absl::OkStatus();
}

absl::Status GateCore::RecheckAll(const Recheck& recheck) {
  std::string after;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                             credentials_->registry().ListLiveCredentialIds(after, kPage));
    if (ids.empty()) return absl::OkStatus();
    for (const std::string& id : ids) {
      if (recheck_stop_) return absl::CancelledError("the gate is ending");
      FOREKEY_RETURN_IF_ERROR(RecheckOne(recheck, id));
    }
    after = ids.back();
  }
}

absl::StatusOr<v1::RecheckCredentialsResponse> GateCore::RecheckCredentials(
    const v1::RecheckCredentialsRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(
      AuditChange(actor, "RecheckCredentials", "",
                  request.revoke() ? "and revokes what is withdrawn" : "only looks"));
  v1::RecheckCredentialsResponse response;
  Recheck recheck;
  for (const auto& [kind, enrollment] : kinds_) recheck.kinds.insert(kind);
  recheck.revoke = request.revoke();
  recheck.actor = std::string(actor);
  recheck.response = &response;
  absl::MutexLock one(&recheck_mutex_);
  FOREKEY_RETURN_IF_ERROR(RecheckAll(recheck));
  return response;
}

void GateCore::WantRecheck(TokenKind kind) {
  absl::MutexLock lock(&mutex_);
  if (config_.recheck != GateConfig::Recheck::kOff) recheck_wanted_.insert(kind);
}

void GateCore::RecheckWhatChanged() {
  v1::RecheckCredentialsResponse response;
  Recheck recheck;
  recheck.revoke = config_.recheck == GateConfig::Recheck::kRevoke;
  recheck.response = &response;
  absl::MutexLock one(&recheck_mutex_);
  recheck.told = &recheck_told_;
  {
    absl::MutexLock lock(&mutex_);
    recheck.kinds = std::exchange(recheck_wanted_, {});
  }
  if (recheck.kinds.empty()) return;
  const absl::Status done = RecheckAll(recheck);
  if (absl::IsCancelled(done) || (done.ok() && response.checked() == 0)) return;
  Decision decision = NewDecision(AuditEvent::kGate);
  decision.method = "RecheckCredentials";
  decision.admitted = done.ok();
  const auto withdrawn =
      std::count_if(response.credentials().begin(), response.credentials().end(),
                    [](const auto& credential) { return credential.withdrawn(); });
  const auto revoked = std::count_if(response.credentials().begin(), response.credentials().end(),
                                     [](const auto& credential) { return credential.revoked(); });
  decision.detail =
      done.ok()
          ? absl::StrCat(response.checked(),
                         " enrolled credentials checked again: ", response.refused(),
                         " would be refused now, of the first ", kMostListed, " of them ",
                         withdrawn, " because trust was withdrawn, ", revoked, " were revoked")
          : absl::StrCat("enrolled credentials could not be checked again: ", done.message());
  if (response.refused() > 0 || !done.ok())
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
  (void)audit_->Admit(decision);
}

void GateCore::RunRecheck() {
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !recheck_wanted_.empty();
  };
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wanted));
      if (stopping_) return;
    }
    RecheckWhatChanged();
  }
}

}  // namespace forekey
