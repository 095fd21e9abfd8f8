// SPDX-License-Identifier: Apache-2.0
// The algorithms of credentials, and the only ones that Forekey verifies them with: one table, from
// which everybody takes names, numbers, curves and sizes.
#ifndef FOREKEY_SRC_CRYPTO_ALGORITHM_H_
#define FOREKEY_SRC_CRYPTO_ALGORITHM_H_

#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace forekey {

// The values are COSE's (RFC 9053, RFC 9864), and what the registry stores.
enum class Algorithm : int {
  kEs256 = -7,    // ECDSA P-256 SHA-256, signature DER (RFC 3279)
  kEdDsa = -8,    // Ed25519, 64 bytes
  kEs384 = -35,   // ECDSA P-384 SHA-384, signature DER
  kEs512 = -36,   // ECDSA P-521 SHA-512, signature DER; no other curve (WebAuthn section 5.8.5)
  kEd448 = -53,   // Ed448, 114 bytes
  kRs256 = -257,  // RSASSA-PKCS1-v1_5 SHA-256, 2048 to 4096 bits, e = 65537
};

enum class KeyFamily { kRsa, kNistCurve, kEdwards };

struct AlgorithmFacts {
  Algorithm algorithm;
  absl::string_view name;  // "ES256"
  KeyFamily family;
  absl::string_view curve;    // "P-256", "Ed25519"; empty for RSA
  int nid = 0;                // OpenSSL's, of a NIST curve
  int cose_curve = 0;         // RFC 9053 table 18
  size_t size = 0;            // bytes of a coordinate, or of an Edwards key
  size_t signature_size = 0;  // of an Edwards signature
  // SubjectPublicKeyInfo up to the point's or the key's own bytes, in the only encoding that each
  // curve has: RFC 5480 with a named curve and an uncompressed point, RFC 8410.
  absl::string_view spki_head;
};

// Most wanted first: what nearly every token has and verifies fastest.
absl::Span<const AlgorithmFacts> AllAlgorithms();
const AlgorithmFacts& FactsOf(Algorithm algorithm);

absl::string_view AlgorithmName(Algorithm algorithm);  // "ES256"
std::optional<Algorithm> AlgorithmFromCose(int value);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_ALGORITHM_H_
