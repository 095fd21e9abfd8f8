// SPDX-License-Identifier: Apache-2.0
// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) to OpenSSL's keys and back, for the keys that
// nearly all are: points of P-256, P-384 and P-521, Edwards keys, and RSA. OpenSSL's decoder would
// set up a chain of all its providers' decoders for each of them, some 200 us; these take 10 to 30.
//
// What these can't tell for certain is left to OpenSSL, so that no key is read otherwise than it
// reads it.
#ifndef FOREKEY_SRC_CRYPTO_SPKI_H_
#define FOREKEY_SRC_CRYPTO_SPKI_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "src/crypto/openssl.h"

namespace forekey {

// Null unless the whole buffer is one key that OpenSSL knows. Checks what OpenSSL's decoder does:
// that a point lies on its curve. Both leave OpenSSL's error queue empty.
EvpPkeyPtr KeyOfSpki(absl::string_view spki);

// The same, for the canonical encodings of the keys named above alone: nullopt for anything else, a
// null key where the encoding is one of them and there is no such key.
std::optional<EvpPkeyPtr> KeyOfCanonicalSpki(absl::string_view spki);

// As OpenSSL encodes the key; empty where it can't.
std::string SpkiOfKey(EVP_PKEY* key);

// `modulus` big endian. Null where OpenSSL can't.
EvpPkeyPtr RsaKey(absl::string_view modulus, uint32_t exponent);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_SPKI_H_
