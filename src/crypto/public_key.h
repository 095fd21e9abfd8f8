// Public keys of enrolled credentials, and the only four algorithms that Forekey verifies with.
#ifndef FOREKEY_SRC_CRYPTO_PUBLIC_KEY_H_
#define FOREKEY_SRC_CRYPTO_PUBLIC_KEY_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/openssl.h"

namespace forekey {

// The values are COSE's (RFC 9053), and what the registry stores.
enum class Algorithm : int {
  kEs256 = -7,    // ECDSA P-256 SHA-256, signature DER (RFC 3279)
  kEdDsa = -8,    // Ed25519, 64 bytes
  kEs384 = -35,   // ECDSA P-384 SHA-384, signature DER
  kRs256 = -257,  // RSASSA-PKCS1-v1_5 SHA-256, 2048 to 4096 bits, e = 65537
};

absl::string_view AlgorithmName(Algorithm algorithm);  // "ES256"
std::optional<Algorithm> AlgorithmFromCose(int value);

// An immutable public key with its algorithm. Copying is cheap (reference counted). Verify() is safe
// from any thread.
class PublicKey {
 public:
  // From DER SubjectPublicKeyInfo, whole buffer. Refuses (kKeyAlgorithm) what none of the algorithms
  // takes: other curves, explicit curve parameters, compressed points, RSA outside 2048..4096 bits
  // or e != 65537. `spki` must be the canonical encoding: it is re-encoded and compared.
  static absl::StatusOr<PublicKey> FromSpki(absl::string_view spki);
  // From an OpenSSL key, which it shares.
  static absl::StatusOr<PublicKey> FromEvp(EVP_PKEY* key);
  // From raw coordinates: `x` and `y` of 32 bytes (P-256) or 48 bytes (P-384), big endian.
  static absl::StatusOr<PublicKey> FromEcPoint(int nid, absl::string_view x, absl::string_view y);
  static absl::StatusOr<PublicKey> FromRsa(absl::string_view modulus, uint32_t exponent);
  static absl::StatusOr<PublicKey> FromEd25519(absl::string_view raw);

  Algorithm algorithm() const { return algorithm_; }
  const std::string& spki() const { return spki_; }  // DER
  EVP_PKEY* evp() const { return key_.get(); }       // borrowed

  // Refuses with kSignatureInvalid. ECDSA signatures must be strict DER (no trailing bytes, minimal
  // integers); high-S is accepted (tokens make it), so a signature is never an identity.
  absl::Status Verify(absl::string_view message, absl::string_view signature) const;

 private:
  PublicKey(std::shared_ptr<EVP_PKEY> key, Algorithm algorithm, std::string spki);
  std::shared_ptr<EVP_PKEY> key_;
  Algorithm algorithm_;
  std::string spki_;
};

// Verifies a signature with an explicit hash, for structures whose algorithm is not a credential's
// (TPM attestations by RSA AKs, attestation statements). `md`: "SHA256", ...
absl::Status VerifyWithHash(EVP_PKEY* key, const EVP_MD* md, bool rsa_pss, absl::string_view message,
                            absl::string_view signature);

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
