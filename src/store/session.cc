// SPDX-License-Identifier: Apache-2.0
#include "src/store/session.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
Session::WipedKey::WipedKey(absl::string_view key) {
  bytes_.fill(0);
  std::memcpy(bytes_.data(), key.data(), std::min(key.size(), bytes_.size()));
}

Session::WipedKey::~WipedKey() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

Session::Session(Tag, Parts parts, std::shared_ptr<const std::string> channel_binding)
    : last_used_(parts.opened_at),
      has_further_factors_(parts.factors_version.has_value()),
      idle_nanos_(absl::ToInt64Nanoseconds(parts.idle)),
      expires_at_(parts.opened_at + parts.absolute),
      parent_(std::move(parts.parent)),
      factors_version_(parts.factors_version.value_or(0)),
      sessions_epoch_(parts.sessions_epoch),
      credentials_(std::move(parts.credentials)),
      window_(parts.window),
      mac_key_(parts.key),
      channel_binding_(std::move(channel_binding)),
      key_(parts.key),
      factors_(parts.factors.begin(), parts.factors.end()),
      opened_at_(parts.opened_at),
      lineage_(std::move(parts.lineage)) {
  std::copy_n(parts.id.data(), id_.size(), id_.data());  // SessionTable looked at its size
  if (parent_ != nullptr) {
    expires_at_ = std::min(expires_at_, parent_->expires_at_);
  }
}

bool Session::Expired(BootTime now) const {
  return now >= expires_at_ || now >= last_used().PlusNanos(idle_nanos_);
}

absl::Status Session::CheckAlive(BootTime now) const {
  const Unusable why = WhyUnusable(now, State::kOpen);
  return why == Unusable::kNo ? absl::OkStatus() : Refusal(why);
}

absl::Status Session::CheckLiveCall(BootTime now) const {
  const Unusable why = WhyUnusable(now, State::kMovedOn);
  return why == Unusable::kNo ? absl::OkStatus() : Refusal(why);
}

Session::Unusable Session::WhyUnusable(BootTime now, State most) const {
  // Revocation before expiry: of several reasons the administrator wants to read the gravest.
  for (const auto& credential : credentials_) {
    if (credential->revoked()) return Unusable::kCredentialRevoked;
  }
  const LiveSubject& subject = this->subject();
  if (subject.disabled()) return Unusable::kSubjectDisabled;
  if (state_.load(std::memory_order_acquire) > most) return Unusable::kEnded;
  if (sessions_epoch_ < subject.sessions_epoch()) return Unusable::kSubjectWasDisabled;
  if (has_further_factors_ && factors_version_ != subject.factors_version()) {
    return Unusable::kFactorsChanged;
  }
  if (Expired(now)) return Unusable::kExpired;
  // The parent's credentials too: a child may have been opened with fewer.
  return parent_ == nullptr ? Unusable::kNo : parent_->WhyUnusable(now, most);
}

absl::Status Session::Refusal(Unusable why) {
  switch (why) {
    case Unusable::kNo:
      break;
    case Unusable::kCredentialRevoked:
      return Refuse(Reason::kCredentialRevoked);
    case Unusable::kSubjectDisabled:
      return Refuse(Reason::kSubjectDisabled);
    case Unusable::kEnded:
      return Refuse(Reason::kSessionEnded);
    case Unusable::kSubjectWasDisabled:
      return Refuse(Reason::kSessionEnded, "the subject was disabled meanwhile");
    case Unusable::kFactorsChanged:
      return Refuse(Reason::kSessionEnded,
                    "the password or the identity that it proved was changed");
    case Unusable::kExpired:
      return Refuse(Reason::kSessionExpired);
  }
  return absl::OkStatus();
}

absl::Status Session::AcceptSequence(uint64_t sequence, BootTime now) const {
  absl::MutexLock lock(&mutex_);
  FOREKEY_RETURN_IF_ERROR(CheckAlive(now));
  FOREKEY_RETURN_IF_ERROR(window_.Accept(sequence));
  if (now > last_used()) {
    last_used_.store(now, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

bool Session::SequenceUsed(uint64_t sequence) const {
  absl::MutexLock lock(&mutex_);
  return !window_.IsFresh(sequence);
}

}  // namespace forekey
