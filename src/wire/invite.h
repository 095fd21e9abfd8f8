// SPDX-License-Identifier: Apache-2.0
// An invite: what `forekey-gate invite` prints and `forekey enroll` takes. One line of text:
// "forekey-invite:" and the base64url of version (1 byte, 1) || len1 audience || len2 address ||
// identity fingerprint (32) || seed (16) || len2 CA certificates (DER, each with len2; may be
// empty)
// || the first 4 bytes of SHA-256 over all of it (typing errors are told from wrong invites).
// The invite is a secret: whoever holds it can enrol as its subject, until it is used or expires.
#ifndef FOREKEY_SRC_WIRE_INVITE_H_
#define FOREKEY_SRC_WIRE_INVITE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"
#include "src/crypto/public_key.h"

namespace forekey {

inline constexpr size_t kInviteSeedSize = 16;
inline constexpr size_t kMaxInviteCaSize = 16384;  // all CA certificates, each with its 2 of length
inline constexpr size_t kMaxInviteTextSize = 32768;

struct Invite {
  std::string audience;
  std::string address;                       // "host:port"
  std::string identity_fingerprint;          // 32 bytes: SHA-256 of the gate's X25519 public key
  Secret seed;                               // 16 bytes
  std::vector<std::string> ca_certificates;  // DER; empty: the system's

  // White space around `text` is dropped. InvalidArgument, with what is wrong in words for the user
  // (never with any byte of the invite).
  static absl::StatusOr<Invite> Parse(absl::string_view text);
  // Empty when Validate() refuses.
  std::string Serialize() const;
  // Audience and address well-formed, sizes right, CA certificates within kMaxInviteCaSize.
  absl::Status Validate() const;

  // The Ed25519 key: seed = HKDF-SHA256(key = seed, salt = "", info = "forekey/1 invite-key" 00 ||
  // audience, 32 bytes).
  absl::StatusOr<SoftwareKey> SigningKey() const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_INVITE_H_
