// SPDX-License-Identifier: Apache-2.0
// The gate's long-term X25519 identity. Agents pin its fingerprint at enrolment, so that whoever
// ends TLS in between can neither learn session keys nor pose as the gate.
//
// Rotation: Rotate() makes a new current key and keeps the old one as "previous" for the overlap. A
// client that opens a session with the previous identity is told the current one in a response that
// only the holder of the previous one can confirm: that is the cross-signature. What was previous
// before a rotation is forgotten, so two rotations in a row drop a stolen key at once.
#ifndef FOREKEY_SRC_GATE_SESSION_IDENTITY_H_
#define FOREKEY_SRC_GATE_SESSION_IDENTITY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/crypto/key_agreement.h"

namespace forekey {

// SHA-256 of a raw X25519 public key, 32 bytes.
std::string IdentityFingerprint(absl::string_view public_key);

class GateIdentity {
 public:
  GateIdentity(X25519PrivateKey key, absl::Time created_at);
  const X25519PrivateKey& key() const { return key_; }
  const std::string& public_key() const { return key_.public_key(); }  // 32 bytes
  const std::string& fingerprint() const { return fingerprint_; }      // 32 bytes
  absl::Time created_at() const { return created_at_; }

 private:
  X25519PrivateKey key_;
  std::string fingerprint_;
  absl::Time created_at_;
};

// Safe from any thread.
class GateIdentities {
 public:
  // Reads <directory>/keys (mode 0600), or makes it with a new key at the first start; the folder
  // is made or checked with EnsurePrivateDirectory. A file that does not read is an error, never a
  // reason to make a new identity: that would lock every enrolled agent out.
  static absl::StatusOr<std::unique_ptr<GateIdentities>> Open(const std::string& directory,
                                                              const Clock& clock,
                                                              absl::Duration overlap);

  std::shared_ptr<const GateIdentity> current() const;
  // The current identity, or the previous one within its overlap. kGateIdentityUnknown otherwise.
  absl::StatusOr<std::shared_ptr<const GateIdentity>> Find(absl::string_view fingerprint) const;
  // What to announce to a client that pinned `used`: the current public key (32 bytes) where `used`
  // is the previous one, else empty.
  std::string NextFor(const GateIdentity& used) const;

  // Durable when it returns OK.
  absl::Status Rotate();

 private:
  GateIdentities(std::string path, const Clock& clock, absl::Duration overlap);
  absl::Status Load();
  absl::Status Save(const GateIdentity& current, const GateIdentity* previous,
                    absl::Time retired_at) const;

  const std::string path_;
  const Clock& clock_;
  const absl::Duration overlap_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const GateIdentity> current_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const GateIdentity> previous_ ABSL_GUARDED_BY(mutex_);
  absl::Time retired_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_SESSION_IDENTITY_H_
