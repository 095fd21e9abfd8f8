// SPDX-License-Identifier: Apache-2.0
#include "src/agent/refused_keys.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace forekey {
namespace {

constexpr absl::Duration kRests[] = {absl::Minutes(1), absl::Minutes(10), absl::Hours(1)};

}  // namespace

void RefusedKeys::NeedsPerson(const HeldCredential& credential) {
  absl::MutexLock lock(&mutex_);
  keys_[credential.id];
}

void RefusedKeys::Refused(const Candidates& credentials, const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  for (const HeldCredential& credential : credentials) {
    const auto known = keys_.find(credential.id);
    if (known == keys_.end()) continue;
    Key& key = known->second;
    const int rest = std::min<int>(key.refusals++, std::size(kRests) - 1);
    key.until = clock_->BootNow() + kRests[rest];
    key.why = std::string(why.message());
  }
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
  if (known == keys_.end() || known->second.refusals == 0) return absl::OkStatus();
  const BootTime now = clock_->BootNow();
  if (known->second.until <= now) return absl::OkStatus();
  const absl::Time until = clock_->WallNow() + (known->second.until - now);
  absl::Status resting = absl::FailedPreconditionError(absl::StrCat(
      "the gate refused what this token signed last, and you are not asked to use it again before ",
      absl::FormatTime("%H:%M", until, absl::LocalTimeZone()),
      "; to try now, run: forekey login --gate ", audience_, " (", known->second.why, ")"));
  NameCredential(credential, &resting);
  MarkResting(&resting);
  return resting;
}

void RefusedKeys::Forget() {
  absl::MutexLock lock(&mutex_);
  for (auto& [id, key] : keys_) key = Key();
}

}  // namespace forekey
