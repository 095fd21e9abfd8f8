// SPDX-License-Identifier: Apache-2.0
// A session as its client holds it: a key, and what each call's proof needs besides
// (docs/PROTOCOL.md, "Call MAC").
#ifndef FOREKEY_SRC_CLIENT_CLIENT_SESSION_H_
#define FOREKEY_SRC_CLIENT_CLIENT_SESSION_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/crypto/digest.h"
#include "src/wire/statement.h"

namespace forekey {

// Safe from any thread.
class ClientSession {
 public:
  struct Parts {
    std::string id;               // 16 bytes
    Secret key;                   // 32 bytes
    std::string channel_binding;  // 32 bytes: the connections that the session is good on
    BootTime opened_at;
    uint32_t idle_s = 0;
    uint32_t absolute_s = 0;
    std::string subject;
    std::string next_gate_identity;  // 32 bytes, or empty
    std::string tls_anchors;         // PEM: CAs that the gate announced, or empty
    std::string ticket;              // for GateConnection::ResumeSession; empty: there is none
    std::string affinity;            // that its calls carry beside the prefix; empty: none
  };
  // `clock` outlives the session.
  ClientSession(Parts parts, const Clock* clock);

  const std::string& id() const { return parts_.id; }
  const std::string& channel_binding() const { return parts_.channel_binding; }
  const std::string& subject() const { return parts_.subject; }
  const std::string& next_gate_identity() const { return parts_.next_gate_identity; }
  const std::string& tls_anchors() const { return parts_.tls_anchors; }
  const std::string& affinity() const { return parts_.affinity; }
  const Secret& key() const { return parts_.key; }
  uint32_t idle_s() const { return parts_.idle_s; }
  uint32_t absolute_s() const { return parts_.absolute_s; }
  BootTime opened_at() const { return parts_.opened_at; }
  BootTime expires_at() const { return expires_at_; }
  BootTime last_used() const { return last_used_.load(std::memory_order_relaxed); }

  // The newest ticket, and when the gate can have sealed it at the earliest: it is good for
  // idle_s() from then on.
  struct Ticket {
    std::string bytes;
    BootTime made_at;
  };
  Ticket ticket() const;
  void SetTicket(Ticket ticket) const;

  // The proof for one call: takes the next sequence number and counts as a use.
  // `method`: "/package.Service/Method". `request_digest`: 32 bytes, for Forekey's own methods that
  // have a payload; else empty. `sequence`, where not null: the number that was taken.
  std::string MakePrefix(absl::string_view method, absl::string_view request_digest = {},
                         uint64_t* sequence = nullptr) const;

  // The same, with what the key schedule of a child needs (src/wire/session_keys.h).
  struct Proof {
    std::string prefix;
    uint64_t sequence = 0;
    std::string mac_bytes;  // BuildCallMacBytes
  };
  Proof MakeProof(absl::string_view method, absl::string_view request_digest) const;

  enum class State {
    kFresh,
    kAging,    // still good, and soon not: open another one meanwhile
    kExpired,  // by its lifetime, or idle for too long: the gate would refuse it
  };
  // Both limits are taken a little early, as the gate's clock counts from another instant.
  State state() const;
  // When its lifetime makes it age, whether it idles or not: a live call keeps it from idling.
  BootTime ages_at() const { return ages_at_; }

 private:
  CallMacInput NextCall(absl::string_view method, absl::string_view request_digest) const;
  std::string Serialize(const CallMacInput& input) const;

  const Parts parts_;
  // What every call asks is worked out once.
  const BootTime expires_at_;
  const BootTime given_up_at_;
  const BootTime ages_at_;
  const int64_t idle_nanos_;
  const Clock* const clock_;
  const HmacSha256 mac_key_;
  mutable std::atomic<uint64_t> sequence_{0};
  mutable std::atomic<BootTime> last_used_;
  mutable absl::Mutex ticket_mutex_;
  mutable Ticket ticket_ ABSL_GUARDED_BY(ticket_mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_CLIENT_SESSION_H_
