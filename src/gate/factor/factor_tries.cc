// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/factor_tries.h"

#include <utility>

#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMaxTriers = 100'000;
constexpr absl::string_view kTooMany = "too many tries with this credential lately";

}  // namespace

FactorTries::FactorTries(FactorTriesOptions options, Registry& registry, const Clock& clock)
    : options_(std::move(options)), registry_(registry), clock_(clock) {}

absl::Status FactorTries::TakeInMemory(absl::Span<const std::string> credential_ids) {
  const BootTime now = clock_.BootNow();
  absl::MutexLock lock(&mutex_);
  if (used_.size() + credential_ids.size() > kMaxTriers) {
    absl::erase_if(used_,
                   [&](const auto& entry) { return now - entry.second.since >= options_.per; });
    if (used_.size() + credential_ids.size() > kMaxTriers) {
      return Refuse(options_.reason, "too many credentials try further factors");
    }
  }
  for (const std::string& id : credential_ids) {
    Used& used = used_[id];
    if (now - used.since >= options_.per) used = Used{0, now};
    if (used.tries >= options_.tries) return Refuse(options_.reason, kTooMany);
  }
  for (const std::string& id : credential_ids) ++used_[id].tries;
  return absl::OkStatus();
}

absl::Status FactorTries::Take(absl::Span<const std::string> credential_ids) {
  FOREKEY_RETURN_IF_ERROR(TakeInMemory(credential_ids));
  FOREKEY_ASSIGN_OR_RETURN(const bool had,
                           registry_.TakeFactorTry({{credential_ids.begin(), credential_ids.end()},
                                                    options_.factor,
                                                    options_.tries,
                                                    options_.per,
                                                    clock_.WallNow()}));
  return had ? absl::OkStatus() : Refuse(options_.reason, kTooMany);
}

void FactorTries::GiveBack(absl::Span<const std::string> credential_ids) {
  {
    absl::MutexLock lock(&mutex_);
    for (const std::string& id : credential_ids) used_.erase(id);
  }
  registry_.GiveFactorTriesBack(credential_ids, options_.factor).IgnoreError();
}

}  // namespace forekey
