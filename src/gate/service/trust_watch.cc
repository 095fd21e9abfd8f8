// SPDX-License-Identifier: Apache-2.0
#include "src/gate/service/trust_watch.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status.h"

namespace forekey {
namespace {

absl::Status Report(const LiveTrust& trust, AuditLog& audit) {
  Decision decision = audit.NewDecision(AuditEvent::kGate);
  decision.admitted = true;
  decision.detail = absl::StrCat(trust.name(), ": ", trust.detail());
  if (!trust.left_out().empty()) {
    absl::StrAppend(&decision.detail, "; left out: ", absl::StrJoin(trust.left_out(), "; "));
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
  }
  return audit.Admit(decision);
}

}  // namespace

TrustWatch::TrustWatch(std::vector<LiveTrust*> trust, AuditLog& audit,
                       std::function<void(TokenKind)> changed)
    : trust_(std::move(trust)), audit_(audit), changed_(std::move(changed)) {}

absl::Status TrustWatch::ReportFirstReadings() {
  for (const LiveTrust* trust : trust_) FOREKEY_RETURN_IF_ERROR(Report(*trust, audit_));
  return absl::OkStatus();
}

absl::Status TrustWatch::ReloadOne(LiveTrust& trust, bool asked) {
  Decision decision = audit_.NewDecision(AuditEvent::kGate);
  decision.method = "ReloadTrust";
  absl::StatusOr<TrustReading> read = trust.Read();
  absl::Status failed = read.status();
  if (failed.ok()) {
    decision.admitted = true;
    decision.detail = absl::StrCat(trust.name(), " read again: ", read->detail);
    if (!read->left_out.empty()) {
      absl::StrAppend(&decision.detail, "; left out: ", absl::StrJoin(read->left_out, "; "));
    }
    failed = audit_.Admit(decision);  // what can't be written is not done
  }
  if (!failed.ok()) {
    if (!trust.Failed(failed.message()) && !asked) return failed;
    decision.admitted = false;
    decision.detail =
        absl::StrCat(trust.name(), ": what was read before stays: ", failed.message());
    std::fprintf(stderr, "forekey: %s\n", decision.detail.c_str());
    audit_.Refused(std::move(decision));
    return failed;
  }
  trust.Use(*std::move(read));
  changed_(trust.kind());
  return absl::OkStatus();
}

absl::Status TrustWatch::Reload() {
  absl::MutexLock reloading(&mutex_);
  absl::Status first;
  for (LiveTrust* trust : trust_) first.Update(ReloadOne(*trust, true));
  return first;
}

void TrustWatch::Look() {
  absl::MutexLock reloading(&mutex_);
  for (LiveTrust* trust : trust_) {
    if (trust->Changed()) (void)ReloadOne(*trust, false);  // it says by itself what is wrong
  }
}

}  // namespace forekey
