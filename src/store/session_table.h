// Sessions: what turns one hardware signature into many calls. In memory alone; a restart ends them.
#ifndef FOREKEY_SRC_STORE_SESSION_TABLE_H_
#define FOREKEY_SRC_STORE_SESSION_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/crypto/digest.h"
#include "src/store/live_credentials.h"

namespace forekey {

struct ProvedFactor {
  std::string name;      // "tpm", ...
  absl::Time proved_at;  // never moved by a child
};

// Sequence numbers that may come out of order within a window (RFC 6479): a ring of 64-bit words.
// Not thread-safe by itself.
class ReplayWindow {
 public:
  explicit ReplayWindow(uint32_t size);  // rounded up to a multiple of 64, 64..65536
  // kSequenceReplayed, kSequenceTooOld, or OK without remembering.
  absl::Status Check(uint64_t sequence) const;
  // Checks, and remembers it when OK. Call it only after the MAC verified.
  absl::Status Accept(uint64_t sequence);
  uint32_t size() const { return size_; }

 private:
  uint32_t size_;
  uint64_t highest_ = 0;
  std::vector<uint64_t> words_;
};

class Session {
 public:
  // What a session is made of; immutable once it is in the table.
  struct Parts {
    std::string id;               // 16 bytes
    absl::string_view key;        // 32 bytes; copied into a wiped HmacSha256 and a Secret
    std::string channel_binding;  // 32 bytes
    absl::InlinedVector<std::shared_ptr<const LiveCredential>, 1> credentials;  // 1..3, one subject
    std::vector<ProvedFactor> factors;
    absl::Time opened_at;         // wall, for people
    int64_t opened_boot_nanos = 0;
    int64_t idle_nanos = 0;
    int64_t absolute_nanos = 0;
    uint32_t window = 1024;
    std::shared_ptr<const Session> parent;  // depth 1
  };

  const std::string& id() const;
  const HmacSha256& mac_key() const;
  absl::string_view key() const;  // a child's key schedule needs it
  const std::string& channel_binding() const;
  const LiveSubject& subject() const;
  absl::Span<const std::shared_ptr<const LiveCredential>> credentials() const;
  const std::vector<ProvedFactor>& factors() const;
  absl::Time opened_at() const;
  int64_t opened_boot_nanos() const;
  int64_t expires_boot_nanos() const;  // absolute; a child's is at most its parent's
  const Session* parent() const;

  // OK, or why it can't be used at `now`: kSessionEnded, kSessionExpired (idle or absolute, its own
  // or its parent's), kCredentialRevoked, kSubjectDisabled.
  absl::Status CheckAlive(int64_t now_boot_nanos) const;
  // After the MAC verified: takes the sequence and, when OK, moves the idle deadline. Thread-safe.
  absl::Status AcceptSequence(uint64_t sequence, int64_t now_boot_nanos) const;
  void End() const;

 private:
  friend class SessionTable;
  explicit Session(Parts parts);
  struct State;  // see session_table.cc: laid out to be small; sizeof is printed by bench
  std::unique_ptr<State> state_;
};

struct SessionLimits {
  size_t total = 200000;
  size_t per_subject = 64;     // children have a cap of their own per parent
  size_t children_per_parent = 64;
};

// Sharded; safe from any thread.
class SessionTable {
 public:
  explicit SessionTable(SessionLimits limits);
  ~SessionTable();

  // Null where there is none. Costs one hash look-up under a shard's reader lock; no allocation.
  std::shared_ptr<const Session> Find(absl::string_view id) const;

  // Inserts under the lock that revocation takes too, after asking every credential again
  // (kCredentialRevoked, kSubjectDisabled; kSessionEnded where the parent has ended): a session can't
  // slip in beside a revocation. At a cap, the same subject's longest idle session goes (expired ones
  // first), never another subject's; where there is none, kSessionTableFull.
  absl::StatusOr<std::shared_ptr<const Session>> Insert(Session::Parts parts, int64_t now_boot_nanos);

  // Ends it and its children. False where there is none.
  bool End(absl::string_view id);
  // Ends every session that a credential opened, or a subject's; returns how many. Called after the
  // registry has the revocation.
  size_t EndByCredential(absl::string_view credential_id);
  size_t EndBySubject(absl::string_view subject);
  // Drops what has expired; called now and then by the gate. Returns how many.
  size_t Sweep(int64_t now_boot_nanos);
  size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_SESSION_TABLE_H_
