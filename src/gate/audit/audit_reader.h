// SPDX-License-Identifier: Apache-2.0
// Reads an audit log's file without copying it, and finds lines in it.
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_READER_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_READER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace forekey {

// A file mapped into memory, as it was when it was opened. A log is only ever appended to.
class AuditReader {
 public:
  static absl::StatusOr<std::unique_ptr<AuditReader>> Open(const std::string& path);
  ~AuditReader();
  AuditReader(const AuditReader&) = delete;
  AuditReader& operator=(const AuditReader&) = delete;
  absl::string_view content() const { return absl::string_view(data_, size_); }

 private:
  AuditReader(const char* data, size_t size) : data_(data), size_(size) {}
  const char* const data_;
  const size_t size_;
};

// Clocks of machines are put right by small steps now and then: lines that much earlier are looked
// at.
inline constexpr absl::Duration kClockSteps = absl::Minutes(5);

// When a line says that it was written.
std::optional<absl::Time> AuditTimeOf(absl::string_view line);

struct AuditQuery {
  std::string subject, reference, reason;  // exact; empty: any
  std::optional<absl::Time> since, until;  // both inclusive
  // With `subject`: credentials and sessions of that subject, in hex. Lines that name one of them
  // match, too: refusals that only claimed it, and changes of it.
  std::set<std::string> ids;
};

// Sessions of the subject that the lines name, in hex: for AuditQuery::ids.
void AddSessionsOf(absl::string_view content, const std::string& subject,
                   std::set<std::string>& ids);

// What the log says was taken away from credentials, invites and subjects, by administrators, by
// rechecks, by recoveries and by use: for a registry that is older than the log.
struct LoggedRevocations {
  struct Credential {
    std::string id;  // raw
    std::string why;
    absl::Time at;
    bool enrolled_since = false;  // a later line says that it was enrolled again
  };
  std::vector<Credential> credentials;   // in the order of their revocations
  std::map<std::string, bool> subjects;  // disabled, as it was said last
  // Those that are good no more, by their raw ids: "used", "cancelled".
  std::map<std::string, std::string> invites;

  // What an administrator said last of a subject, which can't be done again by the log.
  struct Change {
    std::string what;  // the line's detail
    absl::Time at;
  };
  std::map<std::string, Change> roles;                            // by subject; `what` is "a,b"
  std::map<std::pair<std::string, std::string>, Change> factors;  // by subject and method
};
void AddRevocations(absl::string_view content, LoggedRevocations& found);

// Calls `found` with each line that matches, oldest first. Lines are in the order of time, so those
// before `since` are skipped by bisection; the rest is searched for the texts before anything is
// parsed.
void SearchAudit(absl::string_view content, const AuditQuery& query,
                 const std::function<void(absl::string_view line)>& found);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_READER_H_
