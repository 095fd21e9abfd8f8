// SPDX-License-Identifier: Apache-2.0
// A session: what turns one hardware signature into many calls. SessionTable makes and keeps them.
#ifndef FOREKEY_SRC_STORE_SESSION_H_
#define FOREKEY_SRC_STORE_SESSION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/base/boot_time.h"
#include "src/crypto/digest.h"
#include "src/store/live_credentials.h"
#include "src/store/proved_factor.h"
#include "src/store/replay_window.h"

namespace forekey {

inline constexpr size_t kSessionIdBytes = 16;

// What resumption (docs/PROTOCOL.md, "Resumption") has to know of a session besides what it is.
struct SessionLineage {
  std::string family;   // 16 bytes: of all sessions that are resumed from one opening
  uint64_t serial = 0;  // the first has 0
  // Of the subject (SubjectRecord), read before what they count was proved.
  uint64_t sessions_epoch = 0;
  uint64_t factors_epoch = 0;
  absl::Time ends_at;  // the opening's absolute end on the wall clock; no resumption moves it
};

// A session is safe from any thread. Who holds the shared_ptr may use it after it left the table;
// it is ended then.
class Session {
 private:
  // Only SessionTable makes one; the tag lets it use make_shared.
  struct Tag {
    explicit Tag() = default;
  };

 public:
  // What a session is made of; immutable once it is in the table.
  struct Parts {
    std::string id;               // 16 bytes
    absl::string_view key;        // 32 bytes; borrowed, copied into memory that is wiped
    std::string channel_binding;  // 32 bytes
    absl::InlinedVector<std::shared_ptr<const LiveCredential>, 1> credentials;  // 1..3, one subject
    std::vector<ProvedFactor> factors;
    // Of the subject, read before the password was checked; where `factors` has one.
    std::optional<uint64_t> factors_version;
    uint64_t sessions_epoch = 0;  // of the subject, read before anything was proved
    BootTime opened_at;
    absl::Duration idle;
    absl::Duration absolute;
    uint32_t window = 1024;
    std::shared_ptr<const Session> parent;  // depth 1
    // Null where it can't be resumed: the gate resumes none, or it is a child.
    std::shared_ptr<const SessionLineage> lineage;
  };

  Session(Tag, Parts parts, std::shared_ptr<const std::string> channel_binding);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  absl::string_view id() const { return absl::string_view(id_.data(), id_.size()); }
  const HmacSha256& mac_key() const { return mac_key_; }
  absl::string_view key() const { return key_.view(); }  // a child's key schedule needs it
  const std::string& channel_binding() const { return *channel_binding_; }
  const LiveSubject& subject() const { return credentials_.front()->subject(); }
  absl::Span<const std::shared_ptr<const LiveCredential>> credentials() const {
    return credentials_;
  }
  absl::Span<const ProvedFactor> factors() const { return factors_; }
  BootTime opened_at() const { return opened_at_; }
  // Absolute; a child's is at most its parent's.
  BootTime expires_at() const { return expires_at_; }
  const Session* parent() const { return parent_.get(); }
  const SessionLineage* lineage() const { return lineage_.get(); }
  uint64_t sessions_epoch() const { return sessions_epoch_; }
  absl::Duration idle() const { return absl::Nanoseconds(idle_nanos_); }
  // True where it proved a password or an identity at an identity provider.
  bool has_further_factors() const { return has_further_factors_; }
  // When it was last used by a call of its own; a child's calls do not count for its parent.
  BootTime last_used() const { return last_used_.load(std::memory_order_relaxed); }

  // OK, or why it can't be used at `now`: kSessionEnded (also where the password that it proved was
  // changed, or its subject was disabled since and is enabled again), kSessionExpired (idle or
  // absolute, its own or its parent's), kCredentialRevoked, kSubjectDisabled.
  absl::Status CheckAlive(BootTime now) const;
  // The same for a call that was admitted while the session could be used: it goes on, too, where
  // the session went on in another process and this one lets its live calls finish.
  absl::Status CheckLiveCall(BootTime now) const;
  // After the MAC verified: asks CheckAlive() again (a revocation may have come while the MAC was
  // computed), takes the sequence and, when OK, moves the idle deadline; that of this session
  // alone, so a child never keeps its parent alive. Of many threads with one sequence exactly one
  // gets OK.
  absl::Status AcceptSequence(uint64_t sequence, BootTime now) const;
  // False: AcceptSequence() could still say OK to it, so no call with it was admitted. True: it was
  // accepted, or it never will be, as it lies before the window or is 0.
  bool SequenceUsed(uint64_t sequence) const;
  // A live call is a use of its session: it does not idle meanwhile. Nothing that expired comes
  // back.
  void KeepUsed(BootTime now) const {
    BootTime last = last_used();
    while (last < now && !last_used_.compare_exchange_weak(last, now, std::memory_order_relaxed)) {
    }
  }
  void End() const { state_.store(State::kEnded, std::memory_order_release); }

 private:
  friend class SessionTable;

  class WipedKey {
   public:
    explicit WipedKey(absl::string_view key);  // 32 bytes
    ~WipedKey();
    WipedKey(const WipedKey&) = delete;
    WipedKey& operator=(const WipedKey&) = delete;
    absl::string_view view() const { return absl::string_view(bytes_.data(), bytes_.size()); }

   private:
    std::array<char, 32> bytes_;
  };
  enum class State : uint8_t { kOpen, kMovedOn, kEnded };
  // No call is admitted any more, and those that live may finish.
  void MoveOn() const {
    State open = State::kOpen;
    state_.compare_exchange_strong(open, State::kMovedOn, std::memory_order_acq_rel);
  }
  // Every call asks twice, so the answer is a number, and words are found for it where it is no.
  enum class Unusable : uint8_t {
    kNo,
    kCredentialRevoked,
    kSubjectDisabled,
    kEnded,
    kSubjectWasDisabled,
    kFactorsChanged,
    kExpired,
  };
  // `most`: how far it may have gone.
  Unusable WhyUnusable(BootTime now, State most) const;
  static absl::Status Refusal(Unusable why);
  bool Expired(BootTime now) const;

  // What every call reads comes first, in as few cache lines as may be (bench prints the size).
  mutable std::atomic<BootTime> last_used_;
  mutable std::atomic<State> state_{State::kOpen};
  const bool has_further_factors_;  // here it takes no room
  const int64_t idle_nanos_;
  BootTime expires_at_;
  const std::shared_ptr<const Session> parent_;
  const uint64_t factors_version_;  // where there are any
  const uint64_t sessions_epoch_;
  const absl::InlinedVector<std::shared_ptr<const LiveCredential>, 1> credentials_;
  mutable absl::Mutex mutex_;
  mutable ReplayWindow window_ ABSL_GUARDED_BY(mutex_);
  const HmacSha256 mac_key_;
  const std::shared_ptr<const std::string> channel_binding_;  // one string for all sessions of it
  std::array<char, kSessionIdBytes> id_;
  const WipedKey key_;
  const absl::InlinedVector<ProvedFactor, 1> factors_;
  const BootTime opened_at_;
  const std::shared_ptr<const SessionLineage> lineage_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SESSION_H_
