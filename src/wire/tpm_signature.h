// SPDX-License-Identifier: Apache-2.0
// TPMT_SIGNATURE (TPM 2.0 Library, Part 2 §11.3.4): RSASSA, RSAPSS, ECDSA.
#ifndef FOREKEY_SRC_WIRE_TPM_SIGNATURE_H_
#define FOREKEY_SRC_WIRE_TPM_SIGNATURE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct TpmSignature {
  uint16_t algorithm = 0;  // tpm::kAlgRsaSsa, kAlgRsaPss or kAlgEcdsa
  uint16_t hash = 0;       // TPM_ALG_ID
  // As OpenSSL takes it: the RSA bytes, or Ecdsa-Sig-Value in DER.
  std::string openssl;

  // Consumed whole. Refuses with kEvidenceMalformed, and with kKeyAlgorithm other algorithms.
  static absl::StatusOr<TpmSignature> Parse(absl::string_view bytes);
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_TPM_SIGNATURE_H_
