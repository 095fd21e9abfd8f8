// SPDX-License-Identifier: Apache-2.0
// The token's own cryptography: credential keys of the COSE algorithms that it supports, and what
// the PIN/UV auth protocols need. OpenSSL alone; nothing of src/crypto.
#ifndef FOREKEY_SIMULATORS_FIDO2_TOKEN_CRYPTO_H_
#define FOREKEY_SIMULATORS_FIDO2_TOKEN_CRYPTO_H_

#include <openssl/evp.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey::fido2sim {

std::string Sha256Of(absl::string_view bytes);                             // 32 bytes
std::string HmacSha256Of(absl::string_view key, absl::string_view bytes);  // 32 bytes
std::string RandomOf(size_t size);
// AES-256-CBC without padding; `bytes` is a multiple of 16, `key` has 32 bytes, `iv` 16.
std::string AesCbc(bool encrypt, absl::string_view key, absl::string_view iv,
                   absl::string_view bytes);

class TokenKey {
 public:
  // `algorithm`: a COSE number of config.h.
  static absl::StatusOr<TokenKey> Generate(int algorithm);
  static absl::StatusOr<TokenKey> FromDer(int algorithm, absl::string_view der);

  int algorithm() const { return algorithm_; }
  Secret Der() const;
  std::string Cose() const;   // COSE_Key, canonical
  std::string Point() const;  // ES256 only: 04 || x || y
  // ECDSA in DER, PKCS#1 v1.5, or Ed25519, with the algorithm's own hash.
  std::string Sign(absl::string_view message) const;
  // ES256 only: the x coordinate of the ECDH result with a point; nullopt where it is none.
  std::optional<Secret> Agree(absl::string_view x, absl::string_view y) const;
  EVP_PKEY* evp() const { return key_.get(); }

 private:
  TokenKey(int algorithm, EVP_PKEY* key) : algorithm_(algorithm), key_(key, EVP_PKEY_free) {}
  int algorithm_;
  std::shared_ptr<EVP_PKEY> key_;
};

// The shared secret of one PIN/UV auth protocol (CTAP 2.1 sections 6.5.6 and 6.5.7).
class PinSecret {
 public:
  // `agreed`: the x coordinate of the ECDH result. `protocol`: 1 or 2.
  PinSecret(int protocol, absl::string_view agreed);
  std::string Encrypt(absl::string_view plaintext) const;
  std::optional<Secret> Decrypt(absl::string_view ciphertext) const;
  bool Verify(absl::string_view message, absl::string_view signature) const;
  std::string Authenticate(absl::string_view message) const;  // what Verify accepts

 private:
  int protocol_;
  Secret hmac_key_, aes_key_;
};
// `key` is a pinUvAuthToken here.
bool VerifyPinAuth(int protocol, absl::string_view key, absl::string_view message,
                   absl::string_view signature);

}  // namespace forekey::fido2sim

#endif  // FOREKEY_SIMULATORS_FIDO2_TOKEN_CRYPTO_H_
