// SPDX-License-Identifier: Apache-2.0
// Challenges: 64 bytes that the gate issues to anyone and remembers nothing of (docs/PROTOCOL.md,
// "Challenges"). Big endian:
//   version 1 (= 1) || purpose 1 || instance tag 2 || issue time 8 (CLOCK_BOOTTIME, ns) || random
//   20 || HMAC-SHA256 (32) over "forekey/1 challenge" 00 || len2 audience || the first 32 bytes
// The HMAC key is random per process and can't be configured: a restart forgets which challenges
// were used, so it must forget how to recognise them, too.
#ifndef FOREKEY_SRC_GATE_CALL_CHALLENGE_H_
#define FOREKEY_SRC_GATE_CALL_CHALLENGE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/clock.h"
#include "src/crypto/digest.h"

namespace forekey {

// The values are the wire's GetChallengeRequest.Purpose.
enum class ChallengePurpose : uint8_t { kCall = 1, kEnroll = 2 };

inline constexpr absl::Duration kDefaultChallengeLifetime = absl::Seconds(120);

struct CheckedChallenge {
  absl::string_view nonce;  // 16 of the 20 random bytes: a view into the challenge given to Check
  BootTime issued_at;
  BootTime expires_at;  // until then it must be remembered once used
};

// Immutable; safe from any thread.
class ChallengeIssuer {
 public:
  // `clock` must outlive this. `audience`: the gate's own.
  ChallengeIssuer(absl::string_view audience, const Clock& clock,
                  absl::Duration lifetime = kDefaultChallengeLifetime);

  std::string Issue(ChallengePurpose purpose) const;

  // The HMAC is checked before anything in the challenge is believed. Refuses with kChallengeForged
  // (not by this process, for another audience, of another size, or issued in the future),
  // kChallengeWrongPurpose, kChallengeExpired. Whether it was used before is for the ReplayStore.
  absl::StatusOr<CheckedChallenge> Check(absl::string_view challenge,
                                         ChallengePurpose purpose) const;
  // As Check, whatever the age: for a proof that was admitted before.
  absl::StatusOr<CheckedChallenge> CheckAnyAge(absl::string_view challenge,
                                               ChallengePurpose purpose) const;

  absl::Duration lifetime() const { return lifetime_; }

 private:
  const Clock& clock_;
  const absl::Duration lifetime_;
  const std::string mac_prefix_;  // label 00 || len2 audience
  const std::string instance_tag_;
  const HmacSha256 key_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CALL_CHALLENGE_H_
