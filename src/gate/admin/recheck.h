// SPDX-License-Identifier: Apache-2.0
// Enrolled credentials, verified once more by what enrolments are verified by now: a certificate
// that was revoked since, a model that was reported, a CA that is not trusted any more.
//
// What can't be told is no reason to take anything away: a list that expired or is missing, a
// certificate that is past its time, a policy that was changed are reported, and never revoke. Nor
// does a CA that is missing where a file of the trust folders was left out: it may be in that file.
#ifndef FOREKEY_SRC_GATE_ADMIN_RECHECK_H_
#define FOREKEY_SRC_GATE_ADMIN_RECHECK_H_

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "forekey/v1/admin.pb.h"
#include "src/gate/admin/gate_state.h"
#include "src/gate/config/config.h"
#include "src/gate/token/gate_tokens.h"
#include "src/store/session_table.h"

namespace forekey {

// Safe from any thread. It takes as long as so many certificate paths.
class CredentialRecheck {
 public:
  // All are borrowed. `sessions`: null where no gate runs. `when_trust_changes`: what
  // RecheckWanted() does.
  CredentialRecheck(std::string audience, GateConfig::Recheck when_trust_changes, GateState& state,
                    const GateTokens& tokens, SessionTable* sessions);
  ~CredentialRecheck();

  // For an administrator, of all kinds. Each credential that would be refused is a line of the
  // audit log; with `revoke` those whose trust was withdrawn are revoked, and their sessions ended.
  absl::StatusOr<v1::RecheckCredentialsResponse> Recheck(
      const v1::RecheckCredentialsRequest& request, absl::string_view actor);

  // The trust of this kind was read again: RecheckWanted() has something to do.
  void Want(TokenKind kind);
  // Rechecks the kinds that were wanted since the last time; what was told once is not told again.
  void RecheckWanted();
  // Has a thread of its own do so whenever it is wanted, until this is destroyed.
  void Start();

 private:
  struct Run {
    std::set<TokenKind> kinds;
    bool revoke = false;
    std::string actor;                         // empty: the gate itself
    std::set<std::string>* told = nullptr;     // ids that need no line; null: all get one
    v1::RecheckCredentialsResponse* response;  // what was found
  };
  absl::Status RecheckAll(const Run& run);
  absl::Status RecheckOne(const Run& run, const std::string& id);
  // Revokes where the run does so, and says to the audit log and the answer what was found.
  // `left_out`: of the reading that refused, or an earlier one.
  absl::Status Conclude(const Run& run, const CredentialRecord& record, const absl::Status& refusal,
                        const std::vector<std::string>& left_out);
  void Audit(const Run& run, const CredentialRecord& record, Reason reason, absl::string_view what);
  void Wait();

  const std::string audience_;
  const GateConfig::Recheck when_trust_changes_;
  GateState& state_;
  const GateTokens& tokens_;
  SessionTable* const sessions_;

  std::atomic<bool> stop_{false};
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<TokenKind> wanted_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex one_run_;  // after the other
  std::set<std::string> told_ ABSL_GUARDED_BY(one_run_);
  std::thread thread_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ADMIN_RECHECK_H_
