// SPDX-License-Identifier: Apache-2.0
// Challenges that were used. In memory: challenges die with the process that issued them, because
// their HMAC key does.
#ifndef FOREKEY_SRC_STORE_REPLAY_H_
#define FOREKEY_SRC_STORE_REPLAY_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/base/boot_time.h"

namespace forekey {

class ReplayStore {
 public:
  virtual ~ReplayStore() = default;
  // Remembers `nonce` (16 to 64 bytes: the challenge's random bytes at least) until
  // `expires_at`. Atomic: of two calls with one nonce exactly one gets OK. Refuses with
  // kChallengeReplayed; with kReplayStoreFull rather than forget one that has not expired; with
  // kChallengeExpired when the nonce may have been forgotten already, also where the caller's `now`
  // is an old one. InvalidArgument for another size. A nonce must come with the same expiry each
  // time: both are under the challenge's HMAC. Called only after a signature verified, so strangers
  // cannot fill it.
  virtual absl::Status Consume(absl::string_view nonce, BootTime now, BootTime expires_at) = 0;
};

// Sharded; at most `capacity` nonces; expired ones are dropped as others come. Sixteen bytes of a
// nonce are kept: the bytes themselves where there are 16 (the gate made them, nobody can aim at
// another's), else their SHA-256, cut.
std::unique_ptr<ReplayStore> NewMemoryReplayStore(size_t capacity);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_REPLAY_H_
