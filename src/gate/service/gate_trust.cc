// What GateCore enrols by: each kind's trust, read at the start, and again while the gate runs.
#include <cstdio>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status.h"
#include "src/gate/service/gate_core.h"
#include "src/gate/token/fido2_enrollment.h"
#include "src/gate/token/piv_enrollment.h"
#include "src/gate/token/tpm_enrollment.h"

namespace forekey {

absl::Status GateCore::BuildEnrollment(EnrollmentKinds kinds) {
  const GateConfig::TpmAttestation& tpm = config_.tpm;
  std::vector<TrustSource> sources;
  if (!tpm.trust.empty() || tpm.insecure_simulators || !tpm.ek_allow_list.empty()) {
    std::vector<std::string> allowed;
    for (const std::string& hash : tpm.ek_allow_list)
      allowed.push_back(absl::HexStringToBytes(hash));
    sources.push_back(TpmTrustSource(tpm.trust, tpm.insecure_simulators ? tpm.simulator_trust : "",
                                     std::move(allowed)));
  }
  if (config_.fido2.Enrols()) {
    sources.push_back(
        Fido2TrustSource(config_.fido2, config_.audience, config_.state.directory, *clock_));
  }
  if (config_.piv.Enrols()) sources.push_back(PivTrustSource(config_.piv));
  for (TrustSource& source : sources) {
    FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<LiveTrust> trust, LiveTrust::New(std::move(source)));
    FOREKEY_RETURN_IF_ERROR(ReportTrust(*trust));
    trust_.push_back(trust.get());
    WantRecheck(trust->kind());  // it may have changed while no gate ran
    kinds_[trust->kind()] = std::move(trust);
  }
  for (auto& [kind, enrollment] : kinds) {
    auto& held = kinds_[kind];
    std::erase_if(trust_, [&held](LiveTrust* trust) { return trust == held.get(); });
    held = std::move(enrollment);
  }
  enrollment_ = std::make_unique<EnrollmentAuthority>(EnrollmentParts{
      config_.audience, clock_, challenges_.get(), certificates_.get(), identities_.get(),
      credentials_.get(), replay_.get(), &kinds_, tpm.one_subject_a_device});
  return absl::OkStatus();
}

absl::Status GateCore::ReportTrust(const LiveTrust& trust) {
  Decision decision = NewDecision(AuditEvent::kGate);
  decision.admitted = true;
  decision.detail = absl::StrCat(trust.name(), ": ", trust.detail());
  if (!trust.left_out().empty()) {
    absl::StrAppend(&decision.detail, "; left out: ", absl::StrJoin(trust.left_out(), "; "));
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
  }
  return audit_->Admit(decision);
}

absl::Status GateCore::ReloadTrust(LiveTrust& trust) {
  Decision decision = NewDecision(AuditEvent::kGate);
  decision.method = "ReloadTrust";
  absl::StatusOr<TrustReading> read = trust.Read();
  absl::Status failed = read.status();
  if (failed.ok()) {
    decision.admitted = true;
    decision.detail = absl::StrCat(trust.name(), " read again: ", read->detail);
    if (!read->left_out.empty()) {
      absl::StrAppend(&decision.detail, "; left out: ", absl::StrJoin(read->left_out, "; "));
    }
    failed = audit_->Admit(decision);  // what can't be written is not done
  }
  if (!failed.ok()) {
    decision.admitted = false;
    decision.detail =
        absl::StrCat(trust.name(), ": what was read before stays: ", failed.message());
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
    audit_->Refused(std::move(decision));
    return failed;
  }
  trust.Use(*std::move(read));
  WantRecheck(trust.kind());
  return absl::OkStatus();
}

absl::Status GateCore::ReloadTrust() {
  absl::MutexLock reloading(&trust_mutex_);
  absl::Status first;
  for (LiveTrust* trust : trust_) first.Update(ReloadTrust(*trust));
  return first;
}

void GateCore::WatchTrust() {
  absl::MutexLock reloading(&trust_mutex_);
  for (LiveTrust* trust : trust_) {
    if (trust->Changed()) (void)ReloadTrust(*trust);  // it says by itself what is wrong
  }
}

}  // namespace forekey
