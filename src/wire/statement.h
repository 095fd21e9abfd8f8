// SPDX-License-Identifier: Apache-2.0
// What is signed and what is MACed (docs/PROTOCOL.md, "Signed bytes"). Both sides build these bytes
// from what they know; nobody ever parses them. Integers are big endian; lenN is an N-byte length.
#ifndef FOREKEY_SRC_WIRE_STATEMENT_H_
#define FOREKEY_SRC_WIRE_STATEMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/crypto/digest.h"
#include "src/wire/token_kind.h"

namespace forekey {

inline constexpr size_t kChallengeSize = 64;
inline constexpr size_t kChannelBindingSize = 32;
inline constexpr size_t kCredentialIdSize = 32;
inline constexpr size_t kKeyShareSize = 32;
inline constexpr size_t kRequestDigestSize = 32;
inline constexpr size_t kSessionIdSize = 16;
inline constexpr size_t kSessionKeySize = 32;
inline constexpr size_t kCallMacSize = 16;
inline constexpr size_t kResumptionMacSize = 32;
inline constexpr size_t kSessionFamilySize = 16;
inline constexpr size_t kEnrollmentIdSize = 16;
inline constexpr size_t kMaxAudienceSize = 255;
inline constexpr size_t kMaxSubjectSize = 255;
inline constexpr size_t kMaxMethodSize = 512;

// One a role, never shared. Each is followed by a zero byte.
namespace label {
inline constexpr absl::string_view kOpen = "forekey/1 open";
inline constexpr absl::string_view kCallDevice = "forekey/1 call-device";
inline constexpr absl::string_view kEnroll = "forekey/1 enroll";
inline constexpr absl::string_view kCall = "forekey/1 call";
inline constexpr absl::string_view kSession = "forekey/1 session";
inline constexpr absl::string_view kConfirm = "forekey/1 confirm";
inline constexpr absl::string_view kCredential = "forekey/1 credential";
inline constexpr absl::string_view kInviteBegin = "forekey/1 invite-begin";
inline constexpr absl::string_view kInviteFinish = "forekey/1 invite-finish";
inline constexpr absl::string_view kInviteKey = "forekey/1 invite-key";
inline constexpr absl::string_view kEnrollConfirm = "forekey/1 enroll-confirm";
inline constexpr absl::string_view kChallenge = "forekey/1 challenge";
inline constexpr absl::string_view kFactors = "forekey/1 factors";
inline constexpr absl::string_view kIdToken = "forekey/1 id-token";
inline constexpr absl::string_view kResume = "forekey/1 resume";
inline constexpr absl::string_view kTicket = "forekey/1 ticket";
inline constexpr absl::string_view kTicketKeys = "forekey/1 ticket-keys";
}  // namespace label

// The full names of Forekey's own methods.
inline constexpr absl::string_view kOpenSessionMethod = "/forekey.v1.Gate/OpenSession";
inline constexpr absl::string_view kResumeSessionMethod = "/forekey.v1.Gate/ResumeSession";
inline constexpr absl::string_view kOpenChildSessionMethod = "/forekey.v1.Gate/OpenChildSession";
inline constexpr absl::string_view kEndSessionMethod = "/forekey.v1.Gate/EndSession";
inline constexpr absl::string_view kWhoAmIMethod = "/forekey.v1.Gate/WhoAmI";
inline constexpr absl::string_view kReauthenticateCallMethod =
    "/forekey.v1.Gate/ReauthenticateCall";
inline constexpr absl::string_view kGetRequirementsMethod = "/forekey.v1.Gate/GetRequirements";

inline constexpr absl::string_view kPrefixMetadataKey = "forekey-prefix-bin";

// A method is exactly /[A-Za-z0-9_.]+/[A-Za-z0-9_]+ and at most kMaxMethodSize bytes.
bool IsWellFormedMethod(absl::string_view method);
// 1..255 bytes of printable ASCII without space, quotes, backslash, slash or '#' (audiences go into
// origins and into files).
bool IsWellFormedAudience(absl::string_view audience);
// 1..255 bytes of [A-Za-z0-9._@+-], not beginning with '-' or '.'.
bool IsWellFormedSubject(absl::string_view subject);

// The statement that hardware signs for a call: label 00 || len2 audience || len2 method ||
// challenge || channel_binding || n (1 byte) || n credential ids || len1 key_share ||
// len1 request_digest. The label is kOpen for OpenSession and kCallDevice for every other method.
// The sizes must be right already: this only builds.
struct CallStatement {
  absl::string_view audience;
  absl::string_view method;
  absl::string_view challenge;
  absl::string_view channel_binding;
  absl::Span<const absl::string_view> credential_ids;  // ascending
  absl::string_view key_share;                         // 32 bytes or empty
  absl::string_view request_digest;                    // 32 bytes or empty
};
std::string BuildStatement(const CallStatement& statement);

// What the new key signs at enrolment, and (as SHA-256) what a TPM certifies: label || 00 ||
// len2 audience || enrollment_id || len2 subject || kind (1 byte, the TokenKind) || len2 spki ||
// channel_binding || challenge. For FIDO2 and PIV the attestation is made before the key's SPKI is
// known to the client: there `spki` is empty in what the attestation covers, and the possession
// signature covers it in full.
struct EnrollStatement {
  absl::string_view audience;
  absl::string_view enrollment_id;
  absl::string_view subject;
  TokenKind kind = v1::TOKEN_KIND_UNSPECIFIED;
  absl::string_view spki;
  absl::string_view channel_binding;
  absl::string_view challenge;
};
std::string BuildStatement(const EnrollStatement& statement);

// What the invite's key signs: label || 00 || len2 audience || SHA-256(payload).
std::string BuildInviteStatement(absl::string_view label, absl::string_view audience,
                                 absl::string_view payload);

// SHA-256(label 00 || len2 audience || len2 subject || len2 spki).
std::string CredentialId(absl::string_view audience, absl::string_view subject,
                         absl::string_view spki);

// The MAC of a call: label 00 || session_id || sequence (8) || age_s (4) || len2 method ||
// channel_binding || request_digest where there is one. Allocates nothing.
struct CallMacInput {
  absl::string_view session_id;
  uint64_t sequence = 0;
  uint32_t age_s = 0;
  absl::string_view method;
  absl::string_view channel_binding;
  absl::string_view request_digest;
};
// The first kCallMacSize bytes.
std::string ComputeCallMac(const HmacSha256& key, const CallMacInput& input);
bool CallMacMatches(const HmacSha256& key, const CallMacInput& input, absl::string_view mac);
// The same bytes as one string: what a child session's key schedule hashes.
std::string BuildCallMacBytes(const CallMacInput& input);

// What is MACed, whole, with the key of the session that is resumed, and hashed by the key schedule
// of the new one: label 00 || len2 audience || len2 method || SHA-256(ticket) || challenge ||
// channel_binding || key_share || request_digest. The sizes must be right already.
struct ResumptionStatement {
  absl::string_view audience;
  absl::string_view method;
  absl::string_view ticket;
  absl::string_view challenge;
  absl::string_view channel_binding;
  absl::string_view key_share;
  absl::string_view request_digest;
};
std::string BuildStatement(const ResumptionStatement& statement);
// kResumptionMacSize bytes.
std::string ComputeResumptionMac(absl::string_view session_key, absl::string_view statement);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_STATEMENT_H_
