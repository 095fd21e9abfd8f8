// SPDX-License-Identifier: Apache-2.0
// What an attestation verifier proved, whatever the token kind.
#ifndef FOREKEY_SRC_VERIFY_VERIFIED_ATTESTATION_H_
#define FOREKEY_SRC_VERIFY_VERIFIED_ATTESTATION_H_

#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "src/crypto/public_key.h"
#include "src/wire/token_kind.h"

namespace forekey {

// Only the verifiers build one (each is a friend through AttestationBuilder in its own .cc).
class VerifiedAttestation {
 public:
  TokenKind kind() const { return kind_; }
  // The attested public key.
  const PublicKey& key() const { return key_; }
  // SHA-256 that names the physical device where the attestation does (EK public hash, PIV serial
  // and issuer, ...); empty where it can't (most FIDO2 models share their certificate).
  const std::string& device_id() const { return device_id_; }
  // Factors that a signature by this key proves by itself: "tpm", "fido2", "piv", "piv+pin",
  // "piv+touch", "piv-shared", "cert". FIDO2's up and uv come with each assertion.
  const std::vector<std::string>& factors() const { return factors_; }
  // What was proved, for administrators: model, firmware, serial, path, AAGUID, ... An object.
  const nlohmann::json& proved() const { return proved_; }

 private:
  friend struct AttestationBuilder;
  VerifiedAttestation(TokenKind kind, PublicKey key) : kind_(kind), key_(std::move(key)) {}
  TokenKind kind_;
  PublicKey key_;
  std::string device_id_;
  std::vector<std::string> factors_;
  nlohmann::json proved_;
};

// For src/verify/*.cc alone: the include check keeps every other room from naming it.
struct AttestationBuilder {
  static VerifiedAttestation Build(TokenKind kind, PublicKey key, std::string device_id,
                                   std::vector<std::string> factors, nlohmann::json proved) {
    VerifiedAttestation result(kind, std::move(key));
    result.device_id_ = std::move(device_id);
    result.factors_ = std::move(factors);
    result.proved_ = std::move(proved);
    return result;
  }
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_VERIFIED_ATTESTATION_H_
