// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/password_factor.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "src/base/deadline.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/password_hash.h"
#include "src/wire/sealed_factors.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

constexpr size_t kLeastPassword = 8;
constexpr absl::Duration kLongestWait = absl::Seconds(10);
constexpr size_t kPasswordsWaiting = 8;

}  // namespace

PasswordFactor::PasswordFactor(const PasswordPolicy& policy, Registry& registry, const Clock& clock)
    : policy_(policy),
      registry_(registry),
      clock_(clock),
      tries_({std::string(kPasswordFactor), policy.tries, policy.per, Reason::kPasswordTriesUsed},
             registry, clock),
      lane_("passwords", PasswordFactor::MostThreads()) {}

absl::string_view PasswordFactor::name() const { return kPasswordFactor; }

size_t PasswordFactor::MostThreads() const { return policy_.concurrent + kPasswordsWaiting; }

absl::Status PasswordFactor::Enter() {
  absl::MutexLock lock(&mutex_);
  const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return running_ < policy_.concurrent;
  };
  if (!AwaitFor(mutex_, absl::Condition(&free), kLongestWait)) {
    return Refuse(Reason::kFactorBusy, "passwords: none was done in ten seconds");
  }
  ++running_;
  return absl::OkStatus();
}

void PasswordFactor::Leave() {
  absl::MutexLock lock(&mutex_);
  --running_;
}

absl::StatusOr<std::string> PasswordFactor::Hash(const Secret& password) {
  if (password.size() < kLeastPassword || password.size() > kMaxPasswordSize) {
    return absl::InvalidArgumentError("a password has 8 to 1024 bytes");
  }
  FOREKEY_RETURN_IF_ERROR(Enter());
  absl::Cleanup leave = [this] { Leave(); };
  return HashPassword(password, policy_.memory_mib << 20, policy_.passes);
}

absl::StatusOr<CheckedFactor> PasswordFactor::Check(const FactorAttempt& attempt,
                                                    const Secret& password) {
  FOREKEY_ASSIGN_OR_RETURN(std::string hash, registry_.FindPasswordHash(attempt.subject));
  FOREKEY_ASSIGN_OR_RETURN(const FactorLane::Place place, lane_.Enter(attempt.subject));
  FOREKEY_RETURN_IF_ERROR(Enter());
  const absl::Cleanup leave = [this] { Leave(); };
  FOREKEY_RETURN_IF_ERROR(tries_.Take(attempt.credential_ids));
  const bool has_one = !hash.empty();
  bool matches = false;
  if (has_one) {
    matches = PasswordMatches(hash, password);
  } else {
    // Costs what a check costs, and nothing is kept.
    HashPassword(password, policy_.memory_mib << 20, policy_.passes).IgnoreError();
  }
  if (!matches || !has_one) return Refuse(Reason::kPasswordWrong);
  tries_.GiveBack(attempt.credential_ids);
  return CheckedFactor{{std::string(kPasswordFactor), clock_.WallNow(), clock_.BootNow()}, "", {}};
}

}  // namespace forekey
