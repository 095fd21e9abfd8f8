// SPDX-License-Identifier: Apache-2.0
// The keys by which a gate signs who calls (caller_token.h), and the JWK Set (RFC 7517, section 5)
// by which services check it. They sign nothing else.
//
// One key a file, PKCS#8 PEM in a private folder, named after the second in which it was made. A
// new one is made every `rotation`; it is published at once and signs an hour later, so that
// services that keep the set have it by then; the one before is published for an hour more. Whoever
// suspects a key removes its file: the gate goes on without it, at the latest a minute later, also
// where it can write nothing; the key that it makes then is saved once that goes again.
#ifndef FOREKEY_SRC_GATE_CALLER_CALLER_KEYS_H_
#define FOREKEY_SRC_GATE_CALLER_CALLER_KEYS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/crypto/openssl.h"

namespace forekey {

// How long a key is published before it signs, and after the next one does.
inline constexpr absl::Duration kCallerKeyOverlap = absl::Hours(1);

// Immutable.
class CallerKey {
 public:
  CallerKey(EvpPkeyPtr key, absl::Time made_at);   // P-256
  const std::string& id() const { return id_; }    // RFC 7638: the key's thumbprint
  const std::string& jwk() const { return jwk_; }  // JSON
  absl::Time made_at() const { return made_at_; }
  // A compact JWS (RFC 7515) of those claims, ES256.
  std::string Sign(absl::string_view claims_json) const;

 private:
  friend class CallerKeys;  // saves it
  const EvpPkeyPtr key_;
  const absl::Time made_at_;
  std::string id_;
  std::string jwk_;
  std::string header_;  // base64url, with its dot
};

// Safe from any thread.
class CallerKeys {
 public:
  // Makes the folder and its first key. A file that does not read is an error.
  static absl::StatusOr<std::unique_ptr<CallerKeys>> Open(const std::string& directory,
                                                          absl::Duration rotation,
                                                          const Clock& clock);

  // The one that signs now.
  std::shared_ptr<const CallerKey> current() const;
  // {"keys":[...]}: those that may have signed what is still good, and the one that comes next.
  std::string JwkSet() const;

  // Reads the folder again, makes a key that is due and removes one that is over. Once a minute or
  // so. On an error the keys whose files are there stay.
  absl::Status Look();

 private:
  CallerKeys(std::string directory, absl::Duration rotation, const Clock& clock)
      : directory_(std::move(directory)), rotation_(rotation), clock_(clock) {}
  using Keys = std::vector<std::shared_ptr<const CallerKey>>;  // the oldest first
  absl::Status LookOnce(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(looking_);
  absl::StatusOr<Keys> Read() const;
  // On any error: a key whose file is gone signs nothing more all the same.
  void DropRemoved(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(looking_);
  static std::shared_ptr<const CallerKey> Make(absl::Time now);
  absl::Status Save(const CallerKey& key) const;
  std::string PathOf(absl::Time made_at) const;

  const std::string directory_;
  const absl::Duration rotation_;
  const Clock& clock_;
  absl::Mutex looking_ ABSL_ACQUIRED_BEFORE(mutex_);
  // Signs although it could not be saved yet: it has no file that could be missed.
  std::shared_ptr<const CallerKey> unsaved_ ABSL_GUARDED_BY(looking_);
  mutable absl::Mutex mutex_;
  Keys keys_ ABSL_GUARDED_BY(mutex_);  // never empty
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALLER_CALLER_KEYS_H_
