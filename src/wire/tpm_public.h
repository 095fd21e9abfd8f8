// SPDX-License-Identifier: Apache-2.0
// TPMT_PUBLIC (TPM 2.0 Library, Part 2 §12.2.4): what a TPM says of a key. Parsing asks only
// whether the structure is one; what is acceptable is asked in src/verify.
#ifndef FOREKEY_SRC_WIRE_TPM_PUBLIC_H_
#define FOREKEY_SRC_WIRE_TPM_PUBLIC_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/bytes.h"
#include "src/crypto/public_key.h"
#include "src/wire/tpm_constants.h"

namespace forekey {

class TpmPublic {
 public:
  struct Scheme {
    uint16_t algorithm = tpm::kAlgNull;
    uint16_t hash = tpm::kAlgNull;  // where the scheme has one
  };
  struct Symmetric {
    uint16_t algorithm = tpm::kAlgNull;
    uint16_t key_bits = 0;
    uint16_t mode = tpm::kAlgNull;
  };

  // TPMT_PUBLIC, or TPM2B_PUBLIC (the same with its size before it), of at most 2 KiB, consumed
  // whole. Refuses with kEvidenceMalformed, and with kKeyAlgorithm a well-formed type or curve that
  // is none of RSA, P-256, P-384. An RSA modulus has exactly keyBits; coordinates have at most the
  // field's size (some TPMs leave out leading zeros).
  static absl::StatusOr<TpmPublic> Parse(absl::string_view bytes);

  bool is_rsa() const { return type_ == tpm::kAlgRsa; }
  uint16_t name_algorithm() const { return name_algorithm_; }
  uint32_t attributes() const { return attributes_; }
  // All of `bits` are set.
  bool Has(uint32_t bits) const { return (attributes_ & bits) == bits; }
  const std::string& auth_policy() const { return auth_policy_; }
  const Symmetric& symmetric() const { return symmetric_; }
  const Scheme& scheme() const { return scheme_; }
  uint16_t rsa_bits() const { return rsa_bits_; }
  uint32_t rsa_exponent() const { return rsa_exponent_; }  // 0 in the structure is 65537 here
  uint16_t curve() const { return curve_; }
  // The point, padded to the field's size; empty for RSA.
  const std::string& x() const { return x_; }
  const std::string& y() const { return y_; }

  // TPM2B_NAME's content (Part 1 §16): nameAlg || H(TPMT_PUBLIC). Empty when nameAlg is none of
  // SHA-1, SHA-256, SHA-384, SHA-512.
  std::string Name() const;
  // The key. Refuses with kKeyAlgorithm: see PublicKey; and points that are not on the curve.
  absl::StatusOr<PublicKey> Key() const;
  // "RSA-2048", "P-256".
  std::string KeyText() const;
  const std::string& bytes() const { return bytes_; }  // the TPMT_PUBLIC as it was given

 private:
  TpmPublic() = default;
  absl::Status ParseRsa(ByteReader& reader);
  absl::Status ParseEcc(ByteReader& reader);

  uint16_t type_ = 0;
  uint16_t name_algorithm_ = 0;
  uint32_t attributes_ = 0;
  std::string auth_policy_;
  Symmetric symmetric_;
  Scheme scheme_;
  uint16_t rsa_bits_ = 0;
  uint32_t rsa_exponent_ = 0;
  std::string modulus_;
  uint16_t curve_ = 0;
  std::string x_;
  std::string y_;
  std::string bytes_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_TPM_PUBLIC_H_
