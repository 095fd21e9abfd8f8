#include "src/gate/core/factor_tries.h"

namespace forekey {
namespace {

constexpr size_t kMaxTriers = 100'000;

}  // namespace

absl::Status FactorTries::Take(absl::Span<const std::string> credential_ids, int64_t now) {
  absl::MutexLock lock(&mutex_);
  if (used_.size() + credential_ids.size() > kMaxTriers) {
    absl::erase_if(used_, [&](const auto& entry) {
      return now - entry.second.since_boot_nanos >= per_nanos_;
    });
    if (used_.size() + credential_ids.size() > kMaxTriers) {
      return Refuse(reason_, "too many credentials try further factors");
    }
  }
  for (const std::string& id : credential_ids) {
    Used& used = used_[id];
    if (now - used.since_boot_nanos >= per_nanos_) used = Used{0, now};
    if (used.tries >= tries_) return Refuse(reason_, "too many tries with this credential lately");
  }
  for (const std::string& id : credential_ids) ++used_[id].tries;
  return absl::OkStatus();
}

void FactorTries::GiveBack(absl::Span<const std::string> credential_ids) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& id : credential_ids) used_.erase(id);
}

}  // namespace forekey
