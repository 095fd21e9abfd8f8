#include "src/store/session.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

int64_t SaturatedSum(int64_t a, int64_t b) {
  int64_t sum;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

}  // namespace

Session::WipedKey::WipedKey(absl::string_view key) {
  bytes_.fill(0);
  std::memcpy(bytes_.data(), key.data(), std::min(key.size(), bytes_.size()));
}

Session::WipedKey::~WipedKey() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

Session::Session(Tag, Parts parts, std::shared_ptr<const std::string> channel_binding)
    : last_used_boot_nanos_(parts.opened_boot_nanos),
      idle_nanos_(parts.idle_nanos),
      expires_boot_nanos_(SaturatedSum(parts.opened_boot_nanos, parts.absolute_nanos)),
      parent_(std::move(parts.parent)),
      factors_version_(parts.factors_version),
      credentials_(std::move(parts.credentials)),
      window_(parts.window),
      mac_key_(parts.key),
      channel_binding_(std::move(channel_binding)),
      id_(std::move(parts.id)),
      key_(parts.key),
      factors_(std::move(parts.factors)),
      opened_boot_nanos_(parts.opened_boot_nanos),
      opened_at_(parts.opened_at) {
  if (parent_ != nullptr) {
    expires_boot_nanos_ = std::min(expires_boot_nanos_, parent_->expires_boot_nanos_);
  }
}

bool Session::Expired(int64_t now_boot_nanos) const {
  return now_boot_nanos >= expires_boot_nanos_ ||
         now_boot_nanos >= SaturatedSum(last_used_boot_nanos(), idle_nanos_);
}

absl::Status Session::CheckAlive(int64_t now_boot_nanos) const {
  // Revocation before expiry: of several reasons the administrator wants to read the gravest.
  for (const auto& credential : credentials_) {
    if (credential->revoked()) return Refuse(Reason::kCredentialRevoked);
  }
  if (subject().disabled()) return Refuse(Reason::kSubjectDisabled);
  if (ended_.load(std::memory_order_acquire)) return Refuse(Reason::kSessionEnded);
  if (factors_version_ && *factors_version_ != subject().factors_version()) {
    return Refuse(Reason::kSessionEnded, "the password or the identity that it proved was changed");
  }
  if (Expired(now_boot_nanos)) return Refuse(Reason::kSessionExpired);
  // The parent's credentials too: a child may have been opened with fewer.
  return parent_ == nullptr ? absl::OkStatus() : parent_->CheckAlive(now_boot_nanos);
}

absl::Status Session::AcceptSequence(uint64_t sequence, int64_t now_boot_nanos) const {
  absl::MutexLock lock(&mutex_);
  FOREKEY_RETURN_IF_ERROR(CheckAlive(now_boot_nanos));
  FOREKEY_RETURN_IF_ERROR(window_.Accept(sequence));
  if (now_boot_nanos > last_used_boot_nanos()) {
    last_used_boot_nanos_.store(now_boot_nanos, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

bool Session::SequenceUsed(uint64_t sequence) const {
  absl::MutexLock lock(&mutex_);
  return !window_.IsFresh(sequence);
}

}  // namespace forekey
