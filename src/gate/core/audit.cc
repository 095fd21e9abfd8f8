#include "src/gate/core/audit.h"

#include <cstdio>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/status.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr size_t kMaxText = 1024;
constexpr int64_t kComplaintInterval = int64_t{60} * 1'000'000'000;

std::string Bounded(absl::string_view text) {
  return text.size() <= kMaxText ? std::string(text)
                                 : absl::StrCat(text.substr(0, kMaxText), "...(cut)");
}

}  // namespace

absl::string_view AuditEventName(AuditEvent event) {
  switch (event) {
    case AuditEvent::kCall: return "call";
    case AuditEvent::kSessionOpened: return "session-opened";
    case AuditEvent::kSessionEnded: return "session-ended";
    case AuditEvent::kEnrollment: return "enrollment";
    case AuditEvent::kAdmin: return "admin";
    case AuditEvent::kGate: return "gate";
  }
  return "unknown";
}

std::string NewReference() { return absl::BytesToHexString(RandomBytes(8)); }

std::string DecisionToJson(const Decision& decision) {
  nlohmann::ordered_json line = {
      {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", decision.time, absl::UTCTimeZone())},
      {"reference", decision.reference},
      {"event", std::string(AuditEventName(decision.event))},
      {"admitted", decision.admitted},
  };
  if (decision.reason) line["reason"] = std::string(ReasonName(*decision.reason));
  auto add = [&line](const char* key, absl::string_view text) {
    if (!text.empty()) line[key] = Bounded(text);
  };
  add("detail", decision.detail);
  add("peer", decision.peer);
  add("method", decision.method);
  add("subject", decision.subject);
  for (const std::string& id : decision.credential_ids) {
    line["credentials"].push_back(absl::BytesToHexString(id));
  }
  add("session", absl::BytesToHexString(decision.session));
  if (!decision.factors.empty()) line["factors"] = decision.factors;
  if (decision.latency_nanos > 0) line["latency_us"] = decision.latency_nanos / 1000;
  if (decision.suppressed > 0) line["suppressed"] = decision.suppressed;
  // ASCII alone: no newline, no terminal escape, no look-alike letters, whatever a peer sent.
  return line.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

absl::Status MemoryAuditSink::Write(const Decision& decision) {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) decisions_.push_back(decision);
  return failure_;
}

std::vector<Decision> MemoryAuditSink::decisions() const {
  absl::MutexLock lock(&mutex_);
  return decisions_;
}

std::optional<Decision> MemoryAuditSink::Find(absl::string_view reference) const {
  absl::MutexLock lock(&mutex_);
  for (auto decision = decisions_.rbegin(); decision != decisions_.rend(); ++decision) {
    if (decision->reference == reference) return *decision;
  }
  return std::nullopt;
}

void MemoryAuditSink::FailWith(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

AuditLog::AuditLog(std::unique_ptr<AuditSink> sink, AuditOptions options, const Clock& clock)
    : sink_(std::move(sink)), options_(options), clock_(clock) {
  for (size_t i = 0; i <= kReasonCount; ++i) {
    refusals_.push_back(
        std::make_unique<Refusals>(options_.refusals_per_second, options_.refusal_burst));
  }
}

AuditLog::Refusals& AuditLog::RefusalsOf(std::optional<Reason> reason) {
  return *refusals_[reason ? static_cast<size_t>(*reason) : kReasonCount];
}

absl::Status AuditLog::Admit(const Decision& decision) {
  absl::Status status = sink_->Write(decision);
  if (status.ok()) return status;
  CountFailure(status);
  return options_.fail_closed ? Refuse(Reason::kAuditUnavailable, status.message())
                              : absl::OkStatus();
}

void AuditLog::Refused(Decision decision) {
  Refusals& refusals = RefusalsOf(decision.reason);
  if (!refusals.bucket.Take(clock_.BootNanos())) {
    refusals.suppressed.fetch_add(1, std::memory_order_relaxed);
    suppressed_total_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  decision.suppressed = refusals.suppressed.exchange(0, std::memory_order_relaxed);
  if (absl::Status status = sink_->Write(decision); !status.ok()) CountFailure(status);
}

void AuditLog::FlushSuppressed() {
  for (size_t i = 0; i < refusals_.size(); ++i) {
    Refusals& refusals = *refusals_[i];
    if (refusals.suppressed.load(std::memory_order_relaxed) == 0 ||
        !refusals.bucket.Take(clock_.BootNanos())) {
      continue;
    }
    Decision decision;
    decision.reference = NewReference();
    decision.time = clock_.WallNow();
    if (i < kReasonCount) decision.reason = static_cast<Reason>(i);
    decision.detail = "refusals that were not written one by one";
    decision.suppressed = refusals.suppressed.exchange(0, std::memory_order_relaxed);
    if (absl::Status status = sink_->Write(decision); !status.ok()) CountFailure(status);
  }
}

void AuditLog::CountFailure(const absl::Status& status) {
  const uint64_t failures = failed_writes_.fetch_add(1, std::memory_order_relaxed) + 1;
  const int64_t now = clock_.BootNanos();
  int64_t next = next_complaint_boot_nanos_.load(std::memory_order_relaxed);
  if (now < next || !next_complaint_boot_nanos_.compare_exchange_strong(next, now + kComplaintInterval)) {
    return;
  }
  std::fprintf(stderr, "forekey: the audit log can't be written (%llu times so far; %s): %s\n",
               static_cast<unsigned long long>(failures),
               options_.fail_closed ? "what needs a line is refused" : "going on, as configured",
               std::string(status.message()).c_str());
}

}  // namespace forekey
