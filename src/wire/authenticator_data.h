// SPDX-License-Identifier: Apache-2.0
// Authenticator data (WebAuthn Level 3 section 6.1): what the authenticator itself says, and signs.
//
//   rpIdHash (32) | flags (1) | signCount (4) | attested credential data, with AT | extensions,
//   with ED
//   attested credential data = aaguid (16) | len2 credentialId | COSE_Key
#ifndef FOREKEY_SRC_WIRE_AUTHENTICATOR_DATA_H_
#define FOREKEY_SRC_WIRE_AUTHENTICATOR_DATA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/wire/cbor.h"
#include "src/wire/cose_key.h"

namespace forekey {

inline constexpr size_t kRpIdHashSize = 32;
inline constexpr size_t kAaguidSize = 16;
inline constexpr size_t kMaxWebAuthnCredentialIdSize = 1023;  // section 7.1 step 25
inline constexpr size_t kMaxAuthenticatorDataSize = 16384;

struct AuthenticatorFlags {
  uint8_t raw = 0;
  bool up() const { return raw & 0x01; }  // user present
  bool uv() const { return raw & 0x04; }  // user verified
  bool be() const { return raw & 0x08; }  // backup eligible
  bool bs() const { return raw & 0x10; }  // backed up
  bool at() const { return raw & 0x40; }  // attested credential data follows
  bool ed() const { return raw & 0x80; }  // extensions follow
  // Bits 1 and 5 are reserved for future use.
  bool reserved() const { return raw & 0x22; }
};

// "ab12...": the usual text form, 8-4-4-4-12. `aaguid`: 16 bytes.
std::string AaguidText(absl::string_view aaguid);
// The 16 bytes of that form; nullopt for any other text.
std::optional<std::string> AaguidFromText(absl::string_view text);

struct AttestedCredentialData {
  absl::string_view aaguid;         // 16 bytes
  absl::string_view credential_id;  // 1 to 1023 bytes
  absl::string_view cose_key;       // the CBOR bytes
  CoseKey key;
};

// Views into the bytes given to Parse, which must outlive it.
struct AuthenticatorData {
  absl::string_view rp_id_hash;  // 32 bytes
  AuthenticatorFlags flags;
  uint32_t sign_count = 0;
  std::optional<AttestedCredentialData> attested;
  std::vector<std::string> extensions;  // names of the extension outputs

  // Refuses: kFlagsInvalid for reserved bits and for BS without BE (section 6.1.3);
  // kEvidenceMalformed for bytes too few or too many, a part that the flags announce and that is
  // not there, an empty or too long credential id, extensions that are no map or have names that
  // are no text; and what CoseKey::FromCbor refuses. `options`: how far the credential key may
  // deviate.
  static absl::StatusOr<AuthenticatorData> Parse(absl::string_view bytes,
                                                 const CoseKeyOptions& options = {});
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_AUTHENTICATOR_DATA_H_
