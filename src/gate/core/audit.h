// The audit log: what the gate decided, about whom, and exactly why. Peers get a coarse code and a
// reference number; the number finds the line here (DESIGN LAW 6). No secret is ever in it.
#ifndef FOREKEY_SRC_GATE_CORE_AUDIT_H_
#define FOREKEY_SRC_GATE_CORE_AUDIT_H_

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
#include "src/gate/core/token_bucket.h"

namespace forekey {

enum class AuditEvent { kCall, kSessionOpened, kSessionEnded, kEnrollment, kAdmin, kGate };
absl::string_view AuditEventName(AuditEvent event);  // "call", "session-opened", ...

struct Decision {
  std::string reference;  // 16 hex digits: 64 random bits
  absl::Time time;
  AuditEvent event = AuditEvent::kCall;
  bool admitted = false;
  std::optional<Reason> reason;  // of a refusal; nullopt for failures that are not refusals
  std::string detail;            // for people; untrusted text may be in it: sinks escape
  std::string peer;
  std::string method;
  std::string subject;
  std::vector<std::string> credential_ids;  // raw, 32 bytes each
  std::string session;                      // raw, 16 bytes, or empty
  std::vector<std::string> factors;
  int64_t latency_nanos = 0;
  uint64_t suppressed = 0;  // refusals that were not written since the last line, for want of tokens
};

std::string NewReference();

// One JSON object, no newline in it whatever the strings hold (bytes that are not UTF-8 are replaced).
std::string DecisionToJson(const Decision& decision);

class AuditSink {
 public:
  virtual ~AuditSink() = default;
  // Must not be lost once OK is returned, short of the machine's end. Safe from any thread.
  virtual absl::Status Write(const Decision& decision) = 0;
};

// Appends JSON lines to a file (made with mode 0600; an existing one must be this user's and private):
// one write(2) a line, O_APPEND, so that lines of several processes never mix. After a short write (a
// full disk) the next line begins on a line of its own. A file that was renamed or removed (logrotate)
// is made again within a second.
absl::StatusOr<std::unique_ptr<AuditSink>> OpenAuditFile(const std::string& path);
// To stderr: where a service manager collects it.
std::unique_ptr<AuditSink> NewStderrAuditSink();

// Keeps everything in memory: for tests.
class MemoryAuditSink : public AuditSink {
 public:
  absl::Status Write(const Decision& decision) override;
  std::vector<Decision> decisions() const;
  // The newest decision with this reference.
  std::optional<Decision> Find(absl::string_view reference) const;
  // Every later Write fails with `status`, until it is OK again.
  void FailWith(absl::Status status);

 private:
  mutable absl::Mutex mutex_;
  std::vector<Decision> decisions_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

struct AuditOptions {
  // A sink that fails: true refuses what could not be written (kAuditUnavailable); false goes on,
  // counts it, and says so on stderr once in a while.
  bool fail_closed = true;
  // True: a line a call. False: calls by a session's proof are counted alone; every device proof,
  // opening, ending, enrolment, change and (rate-limited) refusal is still written.
  bool all_calls = false;
  // Refusals: at most this many lines a second on average for each reason, so that a flood of one kind
  // neither fills the disk nor hides another; what is left out is counted in the reason's next line.
  double refusals_per_second = 20;
  double refusal_burst = 200;
};

// What the gate calls. Safe from any thread.
class AuditLog {
 public:
  AuditLog(std::unique_ptr<AuditSink> sink, AuditOptions options, const Clock& clock);

  bool all_calls() const { return options_.all_calls; }
  // Writes an admission (or a change). An error means: do not go on (fail_closed and the sink failed).
  absl::Status Admit(const Decision& decision);
  // Writes a refusal, as far as tokens allow. Never an error: it is a refusal already.
  void Refused(Decision decision);

  // Writes a line for what was suppressed and has had no line since. Called now and then.
  void FlushSuppressed();

  uint64_t failed_writes() const { return failed_writes_.load(std::memory_order_relaxed); }
  uint64_t suppressed() const { return suppressed_total_.load(std::memory_order_relaxed); }

 private:
  struct Refusals {
    Refusals(double per_second, double burst) : bucket(per_second, burst) {}
    TokenBucket bucket;
    std::atomic<uint64_t> suppressed{0};
  };
  Refusals& RefusalsOf(std::optional<Reason> reason);
  void CountFailure(const absl::Status& status);

  const std::unique_ptr<AuditSink> sink_;
  const AuditOptions options_;
  const Clock& clock_;
  std::vector<std::unique_ptr<Refusals>> refusals_;  // by reason; the last: none
  std::atomic<uint64_t> suppressed_total_{0};
  std::atomic<uint64_t> failed_writes_{0};
  std::atomic<int64_t> next_complaint_boot_nanos_{0};
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CORE_AUDIT_H_
