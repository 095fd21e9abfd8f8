// SPDX-License-Identifier: Apache-2.0
#include "src/gate/call/challenge.h"

#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/random.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kInstanceTagSize = 2;
constexpr size_t kNonceSize = 20;
constexpr size_t kHeadSize = 32;  // all that the HMAC covers of the challenge
constexpr size_t kNonceOffset = kHeadSize - kNonceSize;
constexpr size_t kRememberedNonceSize = 16;  // ReplayStore keeps as much, and hashes what is longer
static_assert(1 + 1 + kInstanceTagSize + 8 + kNonceSize == kHeadSize);
static_assert(kHeadSize + kSha256Size == kChallengeSize);

}  // namespace

ChallengeIssuer::ChallengeIssuer(absl::string_view audience, const Clock& clock,
                                 absl::Duration lifetime)
    : clock_(clock),
      lifetime_(lifetime),
      mac_prefix_(ByteWriter().Raw(label::kChallenge).U8(0).Len2(audience).bytes()),
      instance_tag_(RandomBytes(kInstanceTagSize)),
      key_(Secret(RandomBytes(kSha256Size)).view()) {}

std::string ChallengeIssuer::Issue(ChallengePurpose purpose) const {
  ByteWriter writer;
  writer.Reserve(kChallengeSize);
  writer.U8(kVersion)
      .U8(static_cast<uint8_t>(purpose))
      .Raw(instance_tag_)
      .U64(static_cast<uint64_t>(clock_.BootNow().nanos()))
      .Raw(RandomBytes(kNonceSize));
  const auto mac = key_.Mac({mac_prefix_, writer.bytes()});
  writer.Raw(View(mac.data(), mac.size()));
  return std::move(writer).bytes();
}

absl::StatusOr<CheckedChallenge> ChallengeIssuer::CheckAnyAge(absl::string_view challenge,
                                                              ChallengePurpose purpose) const {
  if (challenge.size() != kChallengeSize) return Refuse(Reason::kChallengeForged, "its size");
  const absl::string_view head = challenge.substr(0, kHeadSize);
  if (!key_.Matches({mac_prefix_, head}, challenge.substr(kHeadSize))) {
    return Refuse(Reason::kChallengeForged);
  }
  ByteReader reader(head);
  // Version, tag and time are this process's own from here on; they are asked all the same, so that
  // a later version can't be taken for this one.
  if (reader.U8() != kVersion) return Refuse(Reason::kChallengeForged, "its version");
  if (reader.U8() != static_cast<uint8_t>(purpose)) return Refuse(Reason::kChallengeWrongPurpose);
  if (reader.Raw(kInstanceTagSize) != instance_tag_) {
    return Refuse(Reason::kChallengeForged, "its instance");
  }
  CheckedChallenge checked;
  checked.issued_at = BootTime::FromNanos(static_cast<int64_t>(reader.U64()));
  checked.expires_at = checked.issued_at + lifetime_;
  checked.nonce = head.substr(kNonceOffset, kRememberedNonceSize);
  return checked;
}

absl::StatusOr<CheckedChallenge> ChallengeIssuer::Check(absl::string_view challenge,
                                                        ChallengePurpose purpose) const {
  FOREKEY_ASSIGN_OR_RETURN(CheckedChallenge checked, CheckAnyAge(challenge, purpose));
  const BootTime now = clock_.BootNow();
  if (checked.issued_at > now) {
    return Refuse(Reason::kChallengeForged, "issued in the future");
  }
  if (checked.expires_at <= now) return Refuse(Reason::kChallengeExpired);
  return checked;
}

}  // namespace forekey
