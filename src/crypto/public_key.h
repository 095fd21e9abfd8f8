// SPDX-License-Identifier: Apache-2.0
// Public keys of enrolled credentials, each of one of the algorithms of algorithm.h.
#ifndef FOREKEY_SRC_CRYPTO_PUBLIC_KEY_H_
#define FOREKEY_SRC_CRYPTO_PUBLIC_KEY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/algorithm.h"
#include "src/crypto/openssl.h"

namespace forekey {

// An immutable public key with its algorithm. Copying is cheap (reference counted). Verify() is
// safe from any thread.
class PublicKey {
 public:
  // From DER SubjectPublicKeyInfo, whole buffer. Refuses (kKeyAlgorithm) what none of the
  // algorithms takes: other curves, explicit curve parameters, compressed points, points off the
  // curve, RSA outside 2048..4096 bits or e != 65537, Ed25519 keys outside the prime-order group,
  // Ed448 keys of small order. `spki` must be the canonical encoding, so that one key has one
  // encoding and one credential id.
  static absl::StatusOr<PublicKey> FromSpki(absl::string_view spki);
  // From an OpenSSL key, by its encoding: what FromSpki refuses is refused here too.
  static absl::StatusOr<PublicKey> FromEvp(EVP_PKEY* key);
  // From raw coordinates, big endian, as long as the curve's field: NID_X9_62_prime256v1,
  // NID_secp384r1, NID_secp521r1.
  static absl::StatusOr<PublicKey> FromEcPoint(int nid, absl::string_view x, absl::string_view y);
  // `modulus` big endian, leading zeros allowed.
  static absl::StatusOr<PublicKey> FromRsa(absl::string_view modulus, uint32_t exponent);
  static absl::StatusOr<PublicKey> FromEd25519(absl::string_view raw);
  // From the bytes of RFC 8032: `algorithm` is kEdDsa or kEd448.
  static absl::StatusOr<PublicKey> FromEdwards(Algorithm algorithm, absl::string_view raw);

  Algorithm algorithm() const;
  const std::string& spki() const;  // DER
  EVP_PKEY* evp() const;            // borrowed

  // Refuses with kSignatureInvalid. ECDSA signatures must be strict DER (no trailing bytes, minimal
  // integers); high-S is accepted (tokens make it), so a signature is never an identity. Leaves
  // OpenSSL's error queue as empty as it found it: this runs on threads whose TLS code reads it.
  absl::Status Verify(absl::string_view message, absl::string_view signature) const;

 private:
  struct Data;
  explicit PublicKey(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

// Verifies a signature with an explicit hash, for structures whose algorithm is not a credential's
// (TPM attestations by RSA AKs, attestation statements). RSA keys take PKCS#1 v1.5, or PSS with
// MGF1 of the same hash and a salt of any length (TPMs use the longest); EC keys take ECDSA in
// strict DER. Refuses with kSignatureInvalid, other kinds of key included. Which hashes, curves and
// sizes are good enough is for the caller to say.
absl::Status VerifyWithHash(EVP_PKEY* key, const EVP_MD* md, bool rsa_pss,
                            absl::string_view message, absl::string_view signature);

// True where the exponent of an RSA key is odd, more than 1, and of 32 bits at most: 1 makes
// anybody's signature, and a long one makes each check cost a hundred times what it should.
bool HasSoundRsaExponent(EVP_PKEY* key);

// A private key in software: invites (Ed25519 from a 32-byte seed), tests and simulators.
class SoftwareKey {
 public:
  static absl::StatusOr<SoftwareKey> Ed25519FromSeed(absl::string_view seed);
  static SoftwareKey Generate(Algorithm algorithm);
  const PublicKey& public_key() const { return public_key_; }
  std::string Sign(absl::string_view message) const;
  EVP_PKEY* evp() const { return key_.get(); }

 private:
  SoftwareKey(EvpPkeyPtr key, PublicKey public_key);
  EvpPkeyPtr key_;
  PublicKey public_key_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_PUBLIC_KEY_H_
