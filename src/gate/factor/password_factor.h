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
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/gate/factor/factor_lane.h"
#include "src/gate/factor/factor_tries.h"
#include "src/store/registry.h"

namespace forekey {

struct PasswordPolicy {
  bool enabled = false;
  size_t memory_mib = 64;
  size_t passes = 3;
  size_t concurrent = 2;  // checks at once: memory_mib each
  size_t tries = 5;       // of one credential ...
  absl::Duration per = absl::Minutes(15);
};

// Safe from any thread. Check() and Hash() take long on purpose.
class PasswordFactor {
 public:
  // Both are borrowed.
  PasswordFactor(const PasswordPolicy& policy, Registry& registry, const Clock& clock);

  // kPasswordWrong (also where the subject has none), kPasswordTriesUsed, kFactorBusy,
  // kStoreUnavailable. `credential_ids`: who signed; a right password gives their tries back.
  absl::Status Check(absl::string_view subject, absl::Span<const std::string> credential_ids,
                     const Secret& password);

  // Threads that Check() may hold at once: one that finds no place among them is refused at once.
  static size_t MostThreads(const PasswordPolicy& policy);

  // What the registry keeps. InvalidArgument for less than 8 bytes, or too many.
  absl::StatusOr<std::string> Hash(const Secret& password);

 private:
  absl::Status Enter();
  void Leave();

  const PasswordPolicy policy_;
  Registry& registry_;
  FactorTries tries_;
  FactorLane lane_;
  absl::Mutex mutex_;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_PASSWORD_FACTOR_H_
