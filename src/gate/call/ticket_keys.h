// SPDX-License-Identifier: Apache-2.0
// The keys that tickets are sealed under (docs/PROTOCOL.md, "Resumption"). The gates that share a
// registry and an identity share them: they lie in the registry, sealed under a key that is derived
// from the gate's identity, and are replaced once a day.
//
//   ticket = key id (8) || AEAD(key, SessionTicket, "forekey/1 ticket" 00 || len2 audience ||
//            key id)
//   state  = identity fingerprint (32) || AEAD(state key, keys, "forekey/1 ticket-keys" 00 ||
//            len2 audience)
//   state key = HKDF(identity, info = "forekey/1 ticket-keys" 00 || len2 audience, 32 bytes)
//   keys   = version (1, = 1) || latest time 8 || n (1) || n * (key id (8) || made at 8 || key
//            (32))
//
// Threats, and what meets each:
//   a ticket altered, made up, of another gate      AEAD, with the audience beside it
//   who has the registry reads tickets              the state opens with the identity alone
//   a stolen identity opens what is made later      a rotation of the identity makes new keys
//   an old ticket opens for ever                    keys go when no ticket under them can be good
//   the clock is set back, so tickets live longer   the state has the latest time that was seen; a
//                                                   clock behind it makes all tickets void
//   a replica's clock is wrong, and voids tickets   where the store has a clock, all go by it: one
//                                                   that is off it notes, resumes nothing
//   made-up key ids have the registry read          once a second at most
#ifndef FOREKEY_SRC_GATE_CALL_TICKET_KEYS_H_
#define FOREKEY_SRC_GATE_CALL_TICKET_KEYS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/gate/call/session_ticket.h"
#include "src/store/registry.h"

namespace forekey {

// What the identity gives: GateIdentity has both.
struct TicketIdentity {
  std::string fingerprint;  // 32 bytes
  Secret private_key;       // 32 bytes
};

struct TicketKeysNeeds {
  std::string audience;
  const Clock* clock = nullptr;  // borrowed, as all pointers here
  Registry* registry = nullptr;
  std::function<TicketIdentity()> identity;  // the current one
  absl::Duration longest;                    // that a ticket can be good: [sessions] idle
  // For the audit log: that all tickets became void though nobody asked for it, or that nothing is
  // resumed here for a while, and why.
  std::function<void(const std::string& what)> tell = [](const std::string&) {};
};

// How far the wall clocks of hosts may lie apart, and how far one may be set back, before nothing
// is resumed. Nothing lives longer by it: times are counted from the latest that was seen.
inline constexpr absl::Duration kMaxClockSkew = absl::Seconds(30);
// How far a gate's clock may lie from that of a store that several share (TicketState::store_time):
// half as far, so that two gates never lie further apart than the above. One that does resumes
// nothing and hands out no ticket until its clock is right, and the others do not notice.
inline constexpr absl::Duration kMaxStoreSkew = absl::Seconds(15);

// Safe from any thread. Seal and Open take no disk and no network, but for a key that this process
// has not seen.
class TicketKeys {
 public:
  // Reads the keys, or makes them. kStoreUnavailable, Unimplemented: the registry's.
  static absl::StatusOr<std::unique_ptr<TicketKeys>> New(TicketKeysNeeds needs);
  // Where nothing is resumed: forgets the keys that were left, so that no ticket comes back.
  // kStoreUnavailable where other gates go on making new ones.
  static absl::Status Forget(Registry& registry);

  // Empty where it would be longer than a prefix takes, or this gate's clock is wrong.
  std::string Seal(const SessionTicket& ticket) const;
  // Refuses with kTicketInvalid, kTicketClock, kTicketExpired; what FindTicketState() refuses with.
  // `sealed`: any bytes.
  absl::StatusOr<SessionTicket> Open(absl::string_view sealed);

  // What ages and lives of tickets are counted from: the wall clock, but never before the latest
  // time that the registry or this ticket saw.
  absl::Time Now(const SessionTicket& ticket) const;

  // The wall clock, or the latest time that the registry saw. No ticket of this moment that was
  // made by another gate is later by more than kMaxClockSkew.
  absl::Time Latest() const;

  // The latest time that the registry has: what is forgotten because its time is over goes by this
  // one. A clock that was wrongly ahead for a moment makes nothing forgotten that a ticket still
  // needs.
  absl::Time Noted() const;

  // Called once a second: makes the next key when its day has come, notes the time every minute,
  // and takes what another gate changed. The last keys stay where the registry can't be asked.
  absl::Status Maintain();

 private:
  struct Key {
    std::string id;  // 8 bytes
    absl::Time made_at;
    Secret key;
  };
  struct Keys {
    uint64_t version = 0;  // the registry's
    std::string fingerprint;
    absl::Time latest = absl::InfinitePast();
    std::vector<Key> keys;  // the newest comes last; never empty in `keys_`
  };

  explicit TicketKeys(TicketKeysNeeds needs) : needs_(std::move(needs)) {}
  std::string Associated(absl::string_view label, absl::string_view key_id) const;
  Secret StateKey(const TicketIdentity& identity) const;
  std::string SealState(const Keys& keys, const TicketIdentity& identity) const;
  // No keys, and why, where it is another identity's or does not open.
  absl::StatusOr<Keys> OpenState(const Registry::TicketState& state,
                                 const TicketIdentity& identity) const;
  static absl::StatusOr<Keys> ParseState(absl::string_view plain);
  // Reads the state and changes what is due; another gate that does so at the same time wins.
  absl::Status Update();
  // Update(), at most once a second: false where it was less than a second ago, be it for a key id
  // that a stranger made up. Refuses where another thread is at it.
  absl::StatusOr<bool> ReadAgain();
  // Asked of one that is not there: another gate may have made it since the keys were read. Not
  // where they were read after it was first asked of, nor where no other gate shares the registry.
  bool MayBeNew(absl::string_view key_id);
  // Whether something of them is due, which is then changed.
  bool Renew(Keys& keys) const;
  absl::StatusOr<SessionTicket> TryToOpen(absl::string_view sealed) const;
  absl::Status CheckTimes(const SessionTicket& ticket) const;
  // True where the clock is right, by what the store said between the two instants; tells when that
  // changes.
  bool ClockIsRight(absl::Time asked, absl::Time answered, std::optional<absl::Time> store_time);

  const TicketKeysNeeds needs_;
  absl::Mutex updating_;  // one at a time; no lock of what calls need is held over it
  BootTime read_at_ ABSL_GUARDED_BY(updating_);
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Keys> keys_ ABSL_GUARDED_BY(mutex_);
  bool of_several_gates_ ABSL_GUARDED_BY(mutex_) = false;  // the store has a clock of its own
  uint64_t reads_ ABSL_GUARDED_BY(mutex_) = 0;
  // Ids of keys that were not there, and how often the keys had been read by then.
  absl::flat_hash_map<std::string, uint64_t> asked_for_ ABSL_GUARDED_BY(mutex_);
  std::string clock_error_ ABSL_GUARDED_BY(mutex_);  // empty: the clock is right
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_TICKET_KEYS_H_
