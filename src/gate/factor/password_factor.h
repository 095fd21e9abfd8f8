// SPDX-License-Identifier: Apache-2.0
// The password as a further factor of a session ([factors.password]).
//
// Threats, and what meets each:
//   guessing             only who signed with an enrolled credential gets to try, `tries` times in
//                        `per`; counted durably before the password is looked at, so that neither
//                        tries at once nor a restart slip by
//   locking somebody out tries are counted by credential: nobody else's tries count
//   finding out who has one   a subject without a password costs what one with a password costs
//   exhausting memory    `concurrent` checks at once; a few wait, of each subject fewer, the others
//                        are refused at once, which costs them no try; who waits too long is
//                        refused
//   a stolen registry    Argon2id, with a salt each
#ifndef FOREKEY_SRC_GATE_FACTOR_PASSWORD_FACTOR_H_
#define FOREKEY_SRC_GATE_FACTOR_PASSWORD_FACTOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/gate/factor/factor.h"
#include "src/gate/factor/factor_lane.h"
#include "src/gate/factor/factor_tries.h"
#include "src/gate/factor/password_config.h"
#include "src/store/registry.h"

namespace forekey {

// Safe from any thread. Check() and Hash() take long on purpose.
class PasswordFactor final : public Factor {
 public:
  // Both are borrowed.
  PasswordFactor(const PasswordPolicy& policy, Registry& registry, const Clock& clock);

  // kPasswordWrong (also where the subject has none), kPasswordTriesUsed, kFactorBusy,
  // kStoreUnavailable. A right password gives the tries of those who signed back.
  absl::StatusOr<CheckedFactor> Check(const FactorAttempt& attempt,
                                      const Secret& password) override;
  absl::string_view name() const override;
  size_t MostThreads() const override;

  // What the registry keeps. InvalidArgument for less than 8 bytes, or too many.
  absl::StatusOr<std::string> Hash(const Secret& password);

 private:
  absl::Status Enter();
  void Leave();

  const PasswordPolicy policy_;
  Registry& registry_;
  const Clock& clock_;
  FactorTries tries_;
  FactorLane lane_;
  absl::Mutex mutex_;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_PASSWORD_FACTOR_H_
