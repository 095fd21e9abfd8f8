// SPDX-License-Identifier: Apache-2.0
#include "src/agent/refused_keys.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/shell_word.h"

namespace forekey {
namespace {

constexpr absl::Duration kRests[] = {absl::Minutes(1), absl::Minutes(10), absl::Hours(1)};
constexpr absl::Duration kShortRests[] = {absl::Seconds(5), absl::Seconds(30), absl::Minutes(1)};

template <size_t kCount>
absl::Duration NextOf(const absl::Duration (&rests)[kCount], int* times) {
  return rests[std::min<int>((*times)++, kCount - 1)];
}

}  // namespace

void RefusedKeys::NeedsPerson(const HeldCredential& credential) {
  absl::MutexLock lock(&mutex_);
  keys_[credential.id];
}

template <typename Rest>
void RefusedKeys::RestEach(const Candidates& credentials, const absl::Status& why,
                           const Rest& rest) {
  absl::MutexLock lock(&mutex_);
  for (const HeldCredential& credential : credentials) {
    const auto known = keys_.find(credential.id);
    if (known == keys_.end()) continue;
    known->second.until = clock_->BootNow() + rest(known->second);
    known->second.why = std::string(why.message());
  }
}

void RefusedKeys::Refused(const Candidates& credentials, const absl::Status& why) {
  RestEach(credentials, why, [](Key& key) {
    key.failures = 0;
    return NextOf(kRests, &key.refusals);
  });
}

void RefusedKeys::Failed(const Candidates& credentials, const absl::Status& why) {
  RestEach(credentials, why, [](Key& key) { return NextOf(kShortRests, &key.failures); });
}

void RefusedKeys::Taken(const Candidates& credentials) {
  absl::MutexLock lock(&mutex_);
  for (const HeldCredential& credential : credentials) {
    if (const auto known = keys_.find(credential.id); known != keys_.end()) known->second = Key();
  }
}

std::optional<std::string> RefusedKeys::RestOf(const Key& key) const {
  const BootTime now = clock_->BootNow();
  if (key.refusals + key.failures == 0 || key.until <= now) return std::nullopt;
  const absl::Time until = clock_->WallNow() + (key.until - now);
  return absl::StrCat(
      absl::FormatTime(key.failures > 0 ? "%H:%M:%S" : "%H:%M", until, absl::LocalTimeZone()),
      "; to try now, run: forekey login --gate ", ShellWord(audience_));
}

absl::Status RefusedKeys::MayAsk(const HeldCredential& credential) const {
  absl::MutexLock lock(&mutex_);
  const auto known = keys_.find(credential.id);
  if (known == keys_.end()) return absl::OkStatus();
  const Key& key = known->second;
  const std::optional<std::string> rest = RestOf(key);
  if (!rest.has_value()) return absl::OkStatus();
  const bool failed = key.failures > 0;
  absl::Status resting = absl::FailedPreconditionError(
      absl::StrCat(failed ? "the gate opened no session with what this token signed last"
                          : "the gate refused what this token signed last",
                   ", and you are not asked to use it again before ", *rest, " (", key.why, ")"));
  NameCredential(credential, &resting);
  // Another token would come no further at a gate that fails.
  if (!failed) MarkResting(&resting);
  return resting;
}

bool RefusedKeys::ForPerson(const HeldCredential& credential) const {
  absl::MutexLock lock(&mutex_);
  return keys_.contains(credential.id);
}

void RefusedKeys::PasswordFailed(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  password_.until = clock_->BootNow() + NextOf(kShortRests, &password_.failures);
  password_.why = std::string(why.message());
}

void RefusedKeys::PasswordTaken() {
  absl::MutexLock lock(&mutex_);
  password_ = Key();
}

absl::Status RefusedKeys::MayAskPassword() const {
  absl::MutexLock lock(&mutex_);
  const std::optional<std::string> rest = RestOf(password_);
  if (!rest.has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the gate opened no session with the password that was typed last, and you are not asked for "
      "it again before ",
      *rest, " --password (", password_.why, ")"));
}

void RefusedKeys::Forget() {
  absl::MutexLock lock(&mutex_);
  for (auto& [id, key] : keys_) key = Key();
  password_ = Key();
}

}  // namespace forekey
