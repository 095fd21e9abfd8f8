// SPDX-License-Identifier: Apache-2.0
#include "src/gate/admin/recheck.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/enroll/enrollment.h"

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
    case Reason::kFirmwareWeak:
      return true;
    default:
      return false;
  }
}

// What a CA that could not be read looks like as well; the others are an authority's word.
bool MayBeLeftOut(Reason reason) {
  return reason == Reason::kCertificateUntrusted || reason == Reason::kEkCertificateMissing;
}

std::string WhyItStays(const std::vector<std::string>& left_out) {
  return absl::StrCat(
      "the trust of its kind was not read whole, and it stays good (left out: ", left_out.front(),
      left_out.size() == 1 ? "" : absl::StrCat(" and ", left_out.size() - 1, " more"), "): ");
}

}  // namespace

CredentialRecheck::CredentialRecheck(std::string audience, GateConfig::Recheck when_trust_changes,
                                     GateState& state, const GateTokens& tokens,
                                     SessionTable* sessions)
    : audience_(std::move(audience)),
      when_trust_changes_(when_trust_changes),
      state_(state),
      tokens_(tokens),
      sessions_(sessions) {}

CredentialRecheck::~CredentialRecheck() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

absl::Status CredentialRecheck::RecheckOne(const Run& run, const std::string& id) {
  absl::StatusOr<CredentialRecord> found = state_.registry().FindCredential(id);
  if (ReasonOf(found.status()) == Reason::kCredentialUnknown) return absl::OkStatus();
  FOREKEY_RETURN_IF_ERROR(found.status());
  const CredentialRecord& record = *found;
  // First: a reading that was whole is not followed by one that is less.
  const std::vector<std::string> left_out = tokens_.LeftOut(record.kind);
  const std::shared_ptr<const TokenVerifier> verifier = tokens_.FindEnrolling(record.kind);
  if (record.revoked_at || (run.kinds.count(record.kind) == 0 && verifier != nullptr)) {
    return absl::OkStatus();
  }
  v1::RecheckCredentialsResponse& response = *run.response;
  const absl::StatusOr<StoredEvidence> evidence = ParseEvidence(record.evidence);
  if (verifier == nullptr || !evidence.ok()) {
    response.set_unchecked(response.unchecked() + 1);
    return absl::OkStatus();
  }
  response.set_checked(response.checked() + 1);
  const absl::Status now =
      RecheckEvidence(*verifier, audience_, record, *evidence, state_.clock().WallNow());
  if (!ReasonOf(now)) return now;  // OK, or no verdict
  return Conclude(run, record, now, left_out);
}

absl::Status CredentialRecheck::Conclude(const Run& run, const CredentialRecord& record,
                                         const absl::Status& refusal,
                                         const std::vector<std::string>& left_out) {
  const Reason reason = *ReasonOf(refusal);
  const bool withdrawn = IsWithdrawn(reason);
  v1::RecheckCredentialsResponse& response = *run.response;
  response.set_refused(response.refused() + 1);
  const bool held_back = !left_out.empty() && MayBeLeftOut(reason);
  bool revoked = false;
  if (withdrawn && run.revoke && !held_back) {
    FOREKEY_ASSIGN_OR_RETURN(
        revoked,
        state_.credentials().Revoke(record.id, absl::StrCat("rechecked: ", ReasonName(reason)),
                                    state_.clock().WallNow()));
    if (sessions_ != nullptr) (void)sessions_->EndByCredential(record.id);
  }
  const std::string what = revoked     ? "revoked: "
                           : held_back ? WhyItStays(left_out)
                           : withdrawn ? "its trust was withdrawn, and it stays good: "
                                       : "would not be enrolled now, and stays good: ";
  if (run.told == nullptr || run.told->insert(record.id).second || revoked) {
    Audit(run, record, reason, absl::StrCat(what, refusal.message()));
  }
  if (response.credentials_size() == kMostListed) return absl::OkStatus();
  v1::RecheckedCredential* listed = response.add_credentials();
  listed->set_credential_id(record.id);
  listed->set_subject(record.subject);
  listed->set_kind(record.kind);
  listed->set_label(record.label);
  listed->set_reason(std::string(ReasonName(reason)));
  listed->set_detail(absl::StrCat(held_back ? what : "", refusal.message()));
  listed->set_withdrawn(withdrawn);
  listed->set_revoked(revoked);
  return absl::OkStatus();
}

void CredentialRecheck::Audit(const Run& run, const CredentialRecord& record, Reason reason,
                              absl::string_view what) {
  Decision decision =
      state_.audit().NewDecision(run.actor.empty() ? AuditEvent::kGate : AuditEvent::kAdmin);
  decision.peer = run.actor;
  decision.method = "RecheckCredentials";
  decision.reason = reason;
  decision.subject = record.subject;
  decision.credential_ids = {record.id};
  decision.tokens = {DescribeToken(record)};
  decision.detail = std::string(what);
  (void)state_.audit().Admit(decision);  // a revocation is never held up
}

absl::Status CredentialRecheck::RecheckAll(const Run& run) {
  std::string after;
  for (;;) {
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                             state_.registry().ListLiveCredentialIds(after, kPage));
    if (ids.empty()) return absl::OkStatus();
    for (const std::string& id : ids) {
      if (stop_) return absl::CancelledError("the gate is ending");
      FOREKEY_RETURN_IF_ERROR(RecheckOne(run, id));
    }
    after = ids.back();
  }
}

absl::StatusOr<v1::RecheckCredentialsResponse> CredentialRecheck::Recheck(
    const v1::RecheckCredentialsRequest& request, absl::string_view actor) {
  v1::RecheckCredentialsResponse response;
  Run run;
  for (TokenKind kind : tokens_.EnrollingKinds()) run.kinds.insert(kind);
  run.revoke = request.revoke();
  run.actor = std::string(actor);
  run.response = &response;
  absl::MutexLock one(&one_run_);
  FOREKEY_RETURN_IF_ERROR(RecheckAll(run));
  return response;
}

void CredentialRecheck::Want(TokenKind kind) {
  absl::MutexLock lock(&mutex_);
  if (when_trust_changes_ != GateConfig::Recheck::kOff) wanted_.insert(kind);
}

void CredentialRecheck::RecheckWanted() {
  v1::RecheckCredentialsResponse response;
  Run run;
  run.revoke = when_trust_changes_ == GateConfig::Recheck::kRevoke;
  run.response = &response;
  absl::MutexLock one(&one_run_);
  run.told = &told_;
  {
    absl::MutexLock lock(&mutex_);
    run.kinds = std::exchange(wanted_, {});
  }
  if (run.kinds.empty()) return;
  const absl::Status done = RecheckAll(run);
  if (absl::IsCancelled(done) || (done.ok() && response.checked() == 0)) return;
  Decision decision = state_.audit().NewDecision(AuditEvent::kGate);
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
  (void)state_.audit().Admit(decision);
}

void CredentialRecheck::Start() {
  thread_ = std::thread([this] { Wait(); });
}

void CredentialRecheck::Wait() {
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !wanted_.empty();
  };
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wanted));
      if (stopping_) return;
    }
    RecheckWanted();
  }
}

}  // namespace forekey
