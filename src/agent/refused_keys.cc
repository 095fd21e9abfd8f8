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

absl::Status RefusedKeys::MayAsk(const HeldCredential& credential) const {
  absl::MutexLock lock(&mutex_);
  const auto known = keys_.find(credential.id);
  if (known == keys_.end()) return absl::OkStatus();
  const Key& key = known->second;
  const BootTime now = clock_->BootNow();
  if (key.refusals + key.failures == 0 || key.until <= now) return absl::OkStatus();
  const absl::Time until = clock_->WallNow() + (key.until - now);
  const bool failed = key.failures > 0;
  absl::Status resting = absl::FailedPreconditionError(absl::StrCat(
      failed ? "the gate opened no session with what this token signed last"
             : "the gate refused what this token signed last",
      ", and you are not asked to use it again before ",
      absl::FormatTime(failed ? "%H:%M:%S" : "%H:%M", until, absl::LocalTimeZone()),
      "; to try now, run: forekey login --gate ", ShellWord(audience_), " (", key.why, ")"));
  NameCredential(credential, &resting);
  // Another token would come no further at a gate that fails.
  if (!failed) MarkResting(&resting);
  return resting;
}

void RefusedKeys::Forget() {
  absl::MutexLock lock(&mutex_);
  for (auto& [id, key] : keys_) key = Key();
}

}  // namespace forekey
