#include "src/gate/core/password_factor.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/password_hash.h"
#include "src/wire/sealed_factors.h"

namespace forekey {
namespace {

constexpr size_t kLeastPassword = 8;
// Entries of credentials that tried lately; full, who is not in it has to wait for the oldest to expire.
constexpr size_t kMaxTriers = 100'000;
constexpr absl::Duration kLongestWait = absl::Seconds(10);

}  // namespace

PasswordFactor::PasswordFactor(const PasswordPolicy& policy, Registry& registry, const Clock& clock)
    : policy_(policy), registry_(registry), clock_(clock) {}

absl::Status PasswordFactor::TakeTry(absl::Span<const std::string> credential_ids) {
  const int64_t now = clock_.BootNanos();
  const int64_t per = absl::ToInt64Nanoseconds(policy_.per);
  absl::MutexLock lock(&mutex_);
  if (tries_.size() + credential_ids.size() > kMaxTriers) {
    absl::erase_if(tries_, [&](const auto& entry) { return now - entry.second.since_boot_nanos >= per; });
    if (tries_.size() + credential_ids.size() > kMaxTriers) {
      return Refuse(Reason::kPasswordTriesUsed, "too many credentials try passwords");
    }
  }
  for (const std::string& id : credential_ids) {
    Tries& tries = tries_[id];
    if (now - tries.since_boot_nanos >= per) tries = Tries{0, now};
    if (tries.used >= policy_.tries) return Refuse(Reason::kPasswordTriesUsed);
  }
  for (const std::string& id : credential_ids) ++tries_[id].used;
  return absl::OkStatus();
}

absl::Status PasswordFactor::Enter() {
  absl::MutexLock lock(&mutex_);
  const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ < policy_.concurrent; };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&free), kLongestWait)) {
    return Refuse(Reason::kRateLimited, "too many passwords are being checked");
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

absl::Status PasswordFactor::Check(absl::string_view subject,
                                   absl::Span<const std::string> credential_ids,
                                   const Secret& password) {
  FOREKEY_ASSIGN_OR_RETURN(std::string hash, registry_.FindPasswordHash(subject));
  FOREKEY_RETURN_IF_ERROR(TakeTry(credential_ids));
  const bool has_one = !hash.empty();
  FOREKEY_RETURN_IF_ERROR(Enter());
  bool matches = false;
  {
    absl::Cleanup leave = [this] { Leave(); };
    if (has_one) {
      matches = PasswordMatches(hash, password);
    } else {
      // Costs what a check costs, and nothing is kept.
      HashPassword(password, policy_.memory_mib << 20, policy_.passes).IgnoreError();
    }
  }
  if (!matches || !has_one) return Refuse(Reason::kPasswordWrong);
  absl::MutexLock lock(&mutex_);
  for (const std::string& id : credential_ids) tries_.erase(id);
  return absl::OkStatus();
}

}  // namespace forekey
