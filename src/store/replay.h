// Challenges that were used. In memory: challenges die with the process that issued them, because
// their HMAC key does.
#ifndef FOREKEY_SRC_STORE_REPLAY_H_
#define FOREKEY_SRC_STORE_REPLAY_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace forekey {

class ReplayStore {
 public:
  virtual ~ReplayStore() = default;
  // Remembers `nonce` (the challenge's 16 random bytes at least) until `expires_boot_nanos`. Atomic:
  // of two calls with one nonce exactly one gets OK. Refuses with kChallengeReplayed, or with
  // kReplayStoreFull rather than forget one that has not expired. Called only after a signature
  // verified, so strangers cannot fill it.
  virtual absl::Status Consume(absl::string_view nonce, int64_t now_boot_nanos,
                               int64_t expires_boot_nanos) = 0;
};

// Sharded; at most `capacity` nonces; expired ones are dropped as others come.
std::unique_ptr<ReplayStore> NewMemoryReplayStore(size_t capacity);

}  // namespace forekey

#endif  // FOREKEY_SRC_STORE_REPLAY_H_
