// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/ticket_keys.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/random.h"
#include "src/wire/prefix.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint8_t kStateVersion = 1;
constexpr size_t kKeyIdSize = 8;
constexpr size_t kTicketKeySize = 32;
constexpr size_t kFingerprintSize = 32;
constexpr size_t kMaxKeys = 255;
constexpr absl::Duration kKeyLifetime = absl::Hours(24);
constexpr absl::Duration kNoteTimeEvery = absl::Minutes(1);
constexpr absl::Duration kReadAtMostEvery = absl::Seconds(1);
constexpr absl::Duration kReadAtLeastEvery = absl::Seconds(10);
constexpr int kUpdateAttempts = 4;
constexpr size_t kMostAskedFor = 1024;

}  // namespace

std::string TicketKeys::Associated(absl::string_view label, absl::string_view key_id) const {
  return ByteWriter().Raw(label).U8(0).Len2(needs_.audience).Raw(key_id).bytes();
}

Secret TicketKeys::StateKey(const TicketIdentity& identity) const {
  return HkdfSha256(identity.private_key.view(), "", Associated(label::kTicketKeys, ""),
                    kTicketKeySize);
}

std::string TicketKeys::SealState(const Keys& keys, const TicketIdentity& identity) const {
  ByteWriter plain;
  plain.Reserve(16 + keys.keys.size() * (kKeyIdSize + sizeof(uint64_t) + kTicketKeySize));
  plain.U8(kStateVersion)
      .U64(static_cast<uint64_t>(absl::ToUnixNanos(keys.latest)))
      .U8(static_cast<uint8_t>(keys.keys.size()));
  for (const Key& key : keys.keys) {
    plain.Raw(key.id)
        .U64(static_cast<uint64_t>(absl::ToUnixNanos(key.made_at)))
        .Raw(key.key.view());
  }
  const Secret secret(std::move(plain).bytes());
  return absl::StrCat(identity.fingerprint, AeadSeal(StateKey(identity), secret.view(),
                                                     Associated(label::kTicketKeys, "")));
}

absl::StatusOr<TicketKeys::Keys> TicketKeys::ParseState(absl::string_view plain) {
  ByteReader reader(plain);
  Keys keys;
  const uint8_t version = reader.U8();
  keys.latest = absl::FromUnixNanos(static_cast<int64_t>(reader.U64()));
  const size_t count = reader.U8();
  for (size_t i = 0; i < count; ++i) {
    Key key;
    key.id = std::string(reader.Raw(kKeyIdSize));
    key.made_at = absl::FromUnixNanos(static_cast<int64_t>(reader.U64()));
    key.key = Secret::CopyOf(reader.Raw(kTicketKeySize));
    keys.keys.push_back(std::move(key));
  }
  if (!reader.Finished() || version != kStateVersion) {
    return absl::InvalidArgumentError("the keys of tickets in the registry do not parse");
  }
  return keys;
}

absl::StatusOr<TicketKeys::Keys> TicketKeys::OpenState(const Registry::TicketState& state,
                                                       const TicketIdentity& identity) const {
  if (absl::string_view(state.sealed).substr(0, kFingerprintSize) != identity.fingerprint) {
    return absl::InvalidArgumentError("the gate's identity is another one now");
  }
  auto plain =
      AeadOpen(StateKey(identity), absl::string_view(state.sealed).substr(kFingerprintSize),
               Associated(label::kTicketKeys, ""));
  if (!plain.ok()) {
    return absl::InvalidArgumentError("the keys of tickets in the registry do not open");
  }
  FOREKEY_ASSIGN_OR_RETURN(Keys keys, ParseState(plain->view()));
  if (const absl::Duration behind = keys.latest - needs_.clock->WallNow(); behind > kMaxClockSkew) {
    return absl::InvalidArgumentError(
        absl::StrCat("the clock is ", absl::FormatDuration(behind), " behind what it was before"));
  }
  return keys;
}

bool TicketKeys::Renew(Keys& keys) const {
  const absl::Time now = std::max(needs_.clock->WallNow(), keys.latest);
  const size_t had = keys.keys.size();
  // Of several keys the older ones open what they sealed until that is over.
  std::erase_if(keys.keys, [&](const Key& key) {
    return key.made_at + kKeyLifetime + needs_.longest + kMaxClockSkew < now;
  });
  bool changed = keys.keys.size() != had;
  if (keys.keys.empty() || keys.keys.back().made_at + kKeyLifetime <= now) {
    if (keys.keys.size() == kMaxKeys) keys.keys.erase(keys.keys.begin());
    keys.keys.push_back({RandomBytes(kKeyIdSize), now, Secret(RandomBytes(kTicketKeySize))});
    changed = true;
  }
  if (!changed && now < keys.latest + kNoteTimeEvery) return false;
  keys.latest = now;
  return true;
}

bool TicketKeys::ClockIsRight(absl::Time asked, absl::Time answered,
                              std::optional<absl::Time> store_time) {
  std::string error;
  if (store_time && asked - *store_time > kMaxStoreSkew) {
    error = absl::StrCat("the clock is ", absl::FormatDuration(asked - *store_time),
                         " ahead of the registry's");
  }
  if (store_time && *store_time - answered > kMaxStoreSkew) {
    error = absl::StrCat("the clock is ", absl::FormatDuration(*store_time - answered),
                         " behind the registry's");
  }
  const bool right = error.empty();
  std::string told;
  {
    absl::MutexLock lock(&mutex_);
    if (keys_ == nullptr) keys_ = std::make_shared<const Keys>();
    if (right == clock_error_.empty()) return right;
    told = right ? "sessions are resumed again: the clock is right"
                 : absl::StrCat("no session is resumed here: ", error);
    clock_error_ = std::move(error);
  }
  needs_.tell(told);
  return right;
}

absl::Status TicketKeys::Update() {
  for (int attempt = 0; attempt < kUpdateAttempts; ++attempt) {
    const TicketIdentity identity = needs_.identity();
    const absl::Time asked = needs_.clock->WallNow();
    FOREKEY_ASSIGN_OR_RETURN(const Registry::TicketState state, needs_.registry->FindTicketState());
    // A wrong clock is not to be noted, nor held against the one that was.
    if (!ClockIsRight(asked, needs_.clock->WallNow(), state.store_time)) return absl::OkStatus();
    auto keys = std::make_shared<Keys>();
    std::string void_because;
    if (!state.sealed.empty()) {
      absl::StatusOr<Keys> opened = OpenState(state, identity);
      if (opened.ok()) {
        *keys = *std::move(opened);
      } else {
        void_because = std::string(opened.status().message());
      }
    }
    keys->version = state.version;
    keys->fingerprint = identity.fingerprint;
    if (Renew(*keys)) {
      FOREKEY_ASSIGN_OR_RETURN(const bool swapped, needs_.registry->SwapTicketState(
                                                       state.version, SealState(*keys, identity)));
      if (!swapped) continue;
      ++keys->version;
      if (!void_because.empty()) {
        needs_.tell(absl::StrCat("no session of before is resumed: ", void_because));
      }
    }
    absl::MutexLock lock(&mutex_);
    keys_ = std::move(keys);
    ++reads_;
    of_several_gates_ = state.store_time.has_value();
    return absl::OkStatus();
  }
  return Refuse(Reason::kStoreUnavailable, "other gates change the keys of tickets all the time");
}

absl::StatusOr<std::unique_ptr<TicketKeys>> TicketKeys::New(TicketKeysNeeds needs) {
  std::unique_ptr<TicketKeys> keys(new TicketKeys(std::move(needs)));
  absl::MutexLock lock(&keys->updating_);
  keys->read_at_ = keys->needs_.clock->BootNow();
  FOREKEY_RETURN_IF_ERROR(keys->Update());
  return keys;
}

absl::Status TicketKeys::Forget(Registry& registry) {
  for (int attempt = 0; attempt < kUpdateAttempts; ++attempt) {
    const absl::StatusOr<Registry::TicketState> state = registry.FindTicketState();
    if (absl::IsUnimplemented(state.status())) return absl::OkStatus();
    if (!state.ok() || state->sealed.empty()) return state.status();
    FOREKEY_ASSIGN_OR_RETURN(const bool swapped, registry.SwapTicketState(state->version, ""));
    if (swapped) return absl::OkStatus();
  }
  return Refuse(
      Reason::kStoreUnavailable,
      "other gates make new keys of tickets: [sessions] resumption is on at all gates of a "
      "registry, or at none");
}

absl::Status TicketKeys::Maintain() {
  absl::MutexLock updating(&updating_);
  const BootTime now = needs_.clock->BootNow();
  const TicketIdentity identity = needs_.identity();
  {
    absl::MutexLock lock(&mutex_);
    // A clock that was set back is looked at at once, as a new identity is.
    const bool same = keys_->fingerprint == identity.fingerprint &&
                      needs_.clock->WallNow() + kMaxClockSkew >= keys_->latest;
    if (same && now < read_at_ + kReadAtLeastEvery) return absl::OkStatus();
  }
  read_at_ = now;
  return Update();
}

std::string TicketKeys::Seal(const SessionTicket& ticket) const {
  std::shared_ptr<const Keys> keys;
  {
    absl::MutexLock lock(&mutex_);
    if (!clock_error_.empty()) return "";
    keys = keys_;
  }
  // Of a gate whose clock was wrong when it began, and that has had no keys since.
  if (keys->keys.empty()) return "";
  const Key& key = keys->keys.back();
  const Secret plain = ticket.Serialize();
  std::string sealed =
      absl::StrCat(key.id, AeadSeal(key.key, plain.view(), Associated(label::kTicket, key.id)));
  return sealed.size() <= kMaxTicketSize ? sealed : std::string();
}

absl::Time TicketKeys::Now(const SessionTicket& ticket) const {
  absl::MutexLock lock(&mutex_);
  return std::max({needs_.clock->WallNow(), keys_->latest, ticket.issued_at});
}

absl::Time TicketKeys::Latest() const {
  absl::MutexLock lock(&mutex_);
  return std::max(needs_.clock->WallNow(), keys_->latest);
}

absl::Time TicketKeys::Noted() const {
  absl::MutexLock lock(&mutex_);
  return keys_->latest;
}

absl::Status TicketKeys::CheckTimes(const SessionTicket& ticket) const {
  absl::Time latest;
  {
    absl::MutexLock lock(&mutex_);
    latest = std::max(keys_->latest, ticket.issued_at);
  }
  if (const absl::Duration behind = latest - needs_.clock->WallNow(); behind > kMaxClockSkew) {
    return Refuse(Reason::kTicketClock, absl::StrCat("by ", absl::FormatDuration(behind)));
  }
  // Also where sessions may idle for less than when it was made.
  const absl::Time good_until = std::min(ticket.good_until, ticket.issued_at + needs_.longest);
  return Now(ticket) < good_until ? absl::OkStatus() : Refuse(Reason::kTicketExpired);
}

absl::StatusOr<SessionTicket> TicketKeys::TryToOpen(absl::string_view sealed) const {
  const absl::string_view id = sealed.substr(0, kKeyIdSize);
  std::shared_ptr<const Keys> keys;
  {
    absl::MutexLock lock(&mutex_);
    keys = keys_;
  }
  const auto key = std::find_if(keys->keys.begin(), keys->keys.end(),
                                [id](const Key& candidate) { return candidate.id == id; });
  if (key == keys->keys.end()) return absl::NotFoundError("no such key");
  auto plain = AeadOpen(key->key, sealed.substr(id.size()), Associated(label::kTicket, key->id));
  if (!plain.ok()) return Refuse(Reason::kTicketInvalid, "it does not open");
  return SessionTicket::Parse(plain->view());
}

absl::StatusOr<bool> TicketKeys::ReadAgain() {
  // Strangers come here with a key id that they made up: none of them waits for the registry behind
  // another, nor does a read that took long begin anew for each of them.
  if (!updating_.TryLock()) {
    return Refuse(Reason::kStoreUnavailable, "the keys of tickets are being read: try again");
  }
  absl::Status read;
  const bool reads = needs_.clock->BootNow() >= read_at_ + kReadAtMostEvery;
  if (reads) {
    read = Update();
    read_at_ = needs_.clock->BootNow();
  }
  updating_.Unlock();
  if (!read.ok()) return read;
  return reads;
}

bool TicketKeys::MayBeNew(absl::string_view key_id) {
  absl::MutexLock lock(&mutex_);
  if (!of_several_gates_) return false;
  if (asked_for_.size() >= kMostAskedFor) asked_for_.clear();
  const auto [asked, first] = asked_for_.try_emplace(std::string(key_id), reads_);
  return first || reads_ == asked->second;
}

absl::StatusOr<SessionTicket> TicketKeys::Open(absl::string_view sealed) {
  {
    absl::MutexLock lock(&mutex_);
    if (!clock_error_.empty()) return Refuse(Reason::kTicketClock, clock_error_);
  }
  absl::StatusOr<SessionTicket> ticket = TryToOpen(sealed);
  if (absl::IsNotFound(ticket.status())) {
    // Another gate may have made the next key just now.
    FOREKEY_ASSIGN_OR_RETURN(const bool read, ReadAgain());
    ticket = TryToOpen(sealed);
    if (absl::IsNotFound(ticket.status()) && !read && MayBeNew(sealed.substr(0, kKeyIdSize))) {
      return Refuse(Reason::kStoreUnavailable, "the keys of tickets were read just now: try again");
    }
  }
  if (absl::IsNotFound(ticket.status())) {
    return Refuse(Reason::kTicketInvalid,
                  "the key that it was sealed under is not there (any more)");
  }
  if (!ticket.ok()) return ticket.status();
  FOREKEY_RETURN_IF_ERROR(CheckTimes(*ticket));
  return ticket;
}

}  // namespace forekey
