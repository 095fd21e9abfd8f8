// SPDX-License-Identifier: Apache-2.0
// What the configuration says of the audit log ([audit], docs/CONFIG.md).
#ifndef FOREKEY_SRC_GATE_AUDIT_AUDIT_OPTIONS_H_
#define FOREKEY_SRC_GATE_AUDIT_AUDIT_OPTIONS_H_

#include <string>

#include "absl/time/time.h"

namespace forekey {

struct AuditOptions {
  // A sink that fails: true refuses what could not be written (kAuditUnavailable); false goes on,
  // counts it, and says so on stderr once in a while.
  bool fail_closed = true;
  // True: a line a call. False: calls by a session's proof are counted alone; every device proof,
  // opening, ending, enrolment, change and (rate-limited) refusal is still written.
  bool all_calls = false;
  // Refusals: at most this many lines a second on average for each reason, so that a flood of one
  // kind neither fills the disk nor hides another; what is left out is counted in the reason's next
  // line.
  double refusals_per_second = 20;
  double refusal_burst = 200;
  // A line that the sink keeps waiting for so long counts as one that can't be written.
  absl::Duration slow = absl::Seconds(2);
  // Where the chain's head is noted at intervals: on another machine's mount, or behind an
  // append-only flag, so that who can change the log can't change this. Empty: nowhere.
  std::string heads_file;
  absl::Duration heads_interval = absl::Minutes(1);
  // Which of several gates that share a registry writes: in each line. Empty: in none. (Not
  // configured here: [cluster] name.)
  std::string replica;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_AUDIT_AUDIT_OPTIONS_H_
