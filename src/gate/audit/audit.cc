// SPDX-License-Identifier: Apache-2.0
#include "src/gate/audit/audit.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/standard_error.h"
#include "src/base/status.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr absl::Duration kComplaintInterval = absl::Minutes(1);
constexpr size_t kReferenceBytes = 8;

}  // namespace

absl::string_view AuditEventName(AuditEvent event) {
  switch (event) {
    case AuditEvent::kCall:
      return "call";
    case AuditEvent::kSessionOpened:
      return "session-opened";
    case AuditEvent::kSessionEnded:
      return "session-ended";
    case AuditEvent::kEnrollment:
      return "enrollment";
    case AuditEvent::kAdmin:
      return "admin";
    case AuditEvent::kGate:
      return "gate";
    case AuditEvent::kLog:
      return "log";
  }
  return "unknown";
}

std::string NewReference() {
  // Drawn ahead: asking the generator for so little costs as much as all the rest of a refusal
  // here.
  struct Drawn {
    std::string bytes;
    size_t used = 0;
  };
  thread_local Drawn drawn;
  if (drawn.used == drawn.bytes.size()) drawn = {RandomBytes(64 * kReferenceBytes)};
  drawn.used += kReferenceBytes;
  return absl::BytesToHexString(
      absl::string_view(drawn.bytes).substr(drawn.used - kReferenceBytes, kReferenceBytes));
}

AuditLog::AuditLog(std::unique_ptr<AuditSink> sink, AuditOptions options, const Clock& clock)
    : sink_(std::move(sink)), options_(std::move(options)), clock_(clock) {
  for (size_t i = 0; i <= kReasonCount; ++i) {
    refusals_.push_back(
        std::make_unique<Refusals>(options_.refusals_per_second, options_.refusal_burst));
  }
}

AuditLog::Refusals& AuditLog::RefusalsOf(std::optional<Reason> reason) {
  return *refusals_[reason ? static_cast<size_t>(*reason) : kReasonCount];
}

absl::Status AuditLog::Write(const Decision& decision) {
  absl::Status status;
  if (const uint64_t untold = untold_.exchange(0, std::memory_order_relaxed); untold > 0) {
    // A hole in the log is itself a line of it.
    Decision hole = NewLine();
    hole.event = AuditEvent::kLog;
    hole.detail = "lines could not be written";
    hole.unwritten = untold;
    status = sink_->Write(hole);
    if (!status.ok()) untold_.fetch_add(untold, std::memory_order_relaxed);
  }
  if (status.ok()) status = sink_->Write(decision);
  if (!status.ok()) {
    untold_.fetch_add(1, std::memory_order_relaxed);
    CountFailure(status);
  }
  return status;
}

Decision AuditLog::NewLine() const {
  Decision decision;
  decision.reference = NewReference();
  decision.replica = options_.replica;
  decision.time = clock_.WallNow();
  return decision;
}

Decision AuditLog::NewDecision(AuditEvent event) const {
  Decision decision = NewLine();
  decision.event = event;
  return decision;
}

absl::Status AuditLog::Admit(const Decision& decision) {
  const absl::Status status = Write(decision);
  if (status.ok() || !options_.fail_closed) return absl::OkStatus();
  return Refuse(Reason::kAuditUnavailable, status.message());
}

bool AuditLog::TakeRefusal(std::optional<Reason> reason) {
  Refusals& refusals = RefusalsOf(reason);
  if (refusals.bucket.Take(clock_.BootNow())) return true;
  refusals.suppressed.fetch_add(1, std::memory_order_relaxed);
  suppressed_total_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

void AuditLog::WriteRefusal(Decision decision) {
  decision.suppressed =
      RefusalsOf(decision.reason).suppressed.exchange(0, std::memory_order_relaxed);
  Write(decision).IgnoreError();
}

void AuditLog::Refused(Decision decision) {
  if (TakeRefusal(decision.reason)) WriteRefusal(std::move(decision));
}

void AuditLog::Maintain() {
  for (size_t i = 0; i < refusals_.size(); ++i) {
    Refusals& refusals = *refusals_[i];
    if (refusals.suppressed.load(std::memory_order_relaxed) == 0 ||
        !refusals.bucket.Take(clock_.BootNow())) {
      continue;
    }
    Decision decision = NewLine();
    if (i < kReasonCount) decision.reason = static_cast<Reason>(i);
    decision.detail = "refusals that were not written one by one";
    WriteRefusal(std::move(decision));
  }
  if (absl::Status status = sink_->Maintain(); !status.ok()) CountFailure(status);
}

void AuditLog::CountFailure(const absl::Status& status) {
  const uint64_t failures = failed_writes_.fetch_add(1, std::memory_order_relaxed) + 1;
  const BootTime now = clock_.BootNow();
  BootTime next = next_complaint_.load(std::memory_order_relaxed);
  if (now < next || !next_complaint_.compare_exchange_strong(next, now + kComplaintInterval)) {
    return;
  }
  // A complaint that nobody reads must not hold up the call that it is about.
  WriteStandardError(
      absl::StrCat(
          "forekey: the audit log can't be written (", failures, " times so far; ",
          options_.fail_closed ? "what needs a line is refused" : "going on, as configured",
          "): ", status.message(), "\n"),
      absl::ZeroDuration())
      .IgnoreError();
}

}  // namespace forekey
