// SPDX-License-Identifier: Apache-2.0
// The audit log: what the gate decided, about whom, and exactly why. Peers get a coarse code and a
// reference number; the number finds the line here (LAW 6). No secret is ever in it.
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/base/reason.h"
#include "src/gate/audit/audit_options.h"
#include "src/gate/limits/token_bucket.h"
#include "src/store/token_description.h"

namespace forekey {

enum class AuditEvent { kCall, kSessionOpened, kSessionEnded, kEnrollment, kAdmin, kGate, kLog };
absl::string_view AuditEventName(
    AuditEvent event);  // "call", "session-opened", ...; "log": the log's own

// A device proof, whole: with the decision's method, subject and tokens it can be checked again,
// long after (src/gate/audit/audit_verify.h). Proofs are no secret: they were good for one call.
struct DecisionProof {
  std::string audience;
  std::string prefix;  // as it came
};

struct Decision {
  std::string reference;  // 16 hex digits: 64 random bits
  std::string replica;    // AuditOptions::replica
  absl::Time time;
  AuditEvent event = AuditEvent::kCall;
  bool admitted = false;
  std::optional<Reason> reason;  // of a refusal; nullopt for failures that are not refusals
  std::string detail;            // for people; untrusted text may be in it: sinks escape
  std::string peer;
  std::string method;
  std::string subject;
  std::vector<std::string> credential_ids;  // raw, 32 bytes each; proved
  // Of credential_ids, in their order. Their keys are written beside a device proof alone.
  std::vector<std::shared_ptr<const TokenDescription>> tokens;
  std::optional<DecisionProof> proof;
  std::string session;          // raw, 16 bytes, or empty; proved
  std::string resumed_session;  // of one that goes on in `session`; raw
  std::string invite;           // of a finished enrolment: which was used; raw, 32 bytes
  // Whom a refused call claimed to come from, without having proved it.
  std::vector<std::string> claimed_credential_ids;
  std::string claimed_session;
  std::vector<std::string> factors;
  int64_t latency_nanos = 0;
  uint64_t suppressed =
      0;                   // refusals that were not written since the last line, for want of tokens
  uint64_t unwritten = 0;  // lines that the sink could not take since the last one
};

std::string NewReference();

// One JSON object in printable ASCII, whatever the strings hold: no newline, no terminal escape, no
// look-alike letter. Bytes that are not UTF-8 are replaced; long texts are cut.
std::string DecisionToJson(const Decision& decision);

class AuditSink {
 public:
  virtual ~AuditSink() = default;
  // Must not be lost once OK is returned, short of the machine's end. Safe from any thread.
  virtual absl::Status Write(const Decision& decision) = 0;
  // Once a second or so, off the calls' way.
  virtual absl::Status Maintain() { return absl::OkStatus(); }
};

// To stderr: where a service manager collects it. A line that nobody takes within options.slow is
// an error, and while that goes on the next ones are errors at once.
std::unique_ptr<AuditSink> NewStderrAuditSink(const AuditOptions& options = {});

// What the gate calls. Safe from any thread.
class AuditLog {
 public:
  AuditLog(std::unique_ptr<AuditSink> sink, AuditOptions options, const Clock& clock);

  bool all_calls() const { return options_.all_calls; }
  // A decision of now, with a reference of its own.
  Decision NewDecision(AuditEvent event) const;
  // Writes an admission (or a change). An error means: do not go on (fail_closed and the sink
  // failed).
  absl::Status Admit(const Decision& decision);
  // Writes a refusal, as far as tokens allow. Never an error: it is a refusal already.
  void Refused(Decision decision);
  // The same in two steps, so that a refusal that gets no line costs nothing to describe: false
  // where it is counted alone. After true, WriteRefusal() must follow, with that reason.
  bool TakeRefusal(std::optional<Reason> reason);
  void WriteRefusal(Decision decision);

  // Writes a line for what was suppressed and has had no line since, and lets the sink do its own.
  void Maintain();

  uint64_t failed_writes() const { return failed_writes_.load(std::memory_order_relaxed); }
  uint64_t suppressed() const { return suppressed_total_.load(std::memory_order_relaxed); }

 private:
  struct Refusals {
    Refusals(double per_second, double burst) : bucket(per_second, burst) {}
    TokenBucket bucket;
    std::atomic<uint64_t> suppressed{0};
  };
  Refusals& RefusalsOf(std::optional<Reason> reason);
  absl::Status Write(const Decision& decision);
  Decision NewLine() const;
  void CountFailure(const absl::Status& status);

  const std::unique_ptr<AuditSink> sink_;
  const AuditOptions options_;
  const Clock& clock_;
  std::vector<std::unique_ptr<Refusals>> refusals_;  // by reason; the last: none
  std::atomic<uint64_t> suppressed_total_{0};
  std::atomic<uint64_t> failed_writes_{0};
  std::atomic<uint64_t> untold_{0};  // failed since the last line that was written
  std::atomic<BootTime> next_complaint_{};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_H_
