// SPDX-License-Identifier: Apache-2.0
// COSE_Key (RFC 9052 section 7, RFC 9053 section 7) of a credential: WebAuthn Level 3 sections
// 5.8.5 and 6.5.1. Only the algorithms of src/crypto/algorithm.h.
#ifndef FOREKEY_SRC_WIRE_COSE_KEY_H_
#define FOREKEY_SRC_WIRE_COSE_KEY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/public_key.h"
#include "src/wire/cbor.h"

namespace forekey {

struct CoseKeyOptions {
  // Keys of U2F tokens, written by the browser, come without crv and in any order; they can only be
  // P-256 (webauthn_quirks.h).
  bool from_u2f = false;
};

struct CoseKey {
  PublicKey key;
  std::string x;  // the coordinates of an EC key, padded; empty for other keys
  std::string y;

  // Refuses: kEvidenceMalformed for another shape (a parameter missing, of another type or size, a
  // private or optional one there), kKeyAlgorithm for an algorithm or a curve that is not accepted
  // (RS1 included) and for one that does not fit the key type.
  static absl::StatusOr<CoseKey> FromCbor(const CborValue& map, const CoseKeyOptions& options = {});
  // The whole of `bytes` is one key in CTAP2 canonical CBOR.
  static absl::StatusOr<CoseKey> Parse(absl::string_view bytes);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_COSE_KEY_H_
