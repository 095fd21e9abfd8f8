// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/tpm_public.h"

#include <openssl/ecdsa.h>
#include <tss2/tss2_mu.h>

#include "absl/strings/str_cat.h"
#include "hw/tpm/tss_error.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

template <typename T, typename Function>
absl::StatusOr<std::string> MarshalWith(Function function, const T& value, absl::string_view call) {
  uint8_t buffer[sizeof(T) + 64];
  size_t offset = 0;
  FOREKEY_RETURN_IF_ERROR(FromTss(function(&value, buffer, sizeof buffer, &offset), call));
  return std::string(View(buffer, offset));
}

template <typename T, typename Function>
absl::StatusOr<T> UnmarshalWith(Function function, absl::string_view bytes,
                                absl::string_view what) {
  T value{};
  size_t offset = 0;
  TSS2_RC rc = function(U8(bytes), bytes.size(), &offset, &value);
  if (rc != TSS2_RC_SUCCESS || offset != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("not a ", what));
  }
  return value;
}

// MU takes a TPM2B whose inner structure is shorter than its size says.
bool SizeIsExact(absl::string_view bytes) {
  ByteReader reader(bytes);
  reader.Len2();
  return reader.Finished();
}

std::string Padded(const TPM2B_ECC_PARAMETER& coordinate, size_t size) {
  std::string bytes(View(coordinate.buffer, coordinate.size));
  if (bytes.size() < size) bytes.insert(0, size - bytes.size(), '\0');
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> Marshal(const TPM2B_PUBLIC& value) {
  return MarshalWith(Tss2_MU_TPM2B_PUBLIC_Marshal, value, "Tss2_MU_TPM2B_PUBLIC_Marshal");
}
absl::StatusOr<std::string> Marshal(const TPM2B_PRIVATE& value) {
  return MarshalWith(Tss2_MU_TPM2B_PRIVATE_Marshal, value, "Tss2_MU_TPM2B_PRIVATE_Marshal");
}
absl::StatusOr<std::string> Marshal(const TPMT_SIGNATURE& value) {
  return MarshalWith(Tss2_MU_TPMT_SIGNATURE_Marshal, value, "Tss2_MU_TPMT_SIGNATURE_Marshal");
}

absl::StatusOr<TPM2B_PUBLIC> UnmarshalPublic(absl::string_view bytes) {
  FOREKEY_ASSIGN_OR_RETURN(
      TPM2B_PUBLIC value,
      UnmarshalWith<TPM2B_PUBLIC>(Tss2_MU_TPM2B_PUBLIC_Unmarshal, bytes, "TPM2B_PUBLIC"));
  FOREKEY_ASSIGN_OR_RETURN(std::string again, Marshal(value));
  if (!SizeIsExact(bytes) || again != bytes)
    return absl::InvalidArgumentError("not a TPM2B_PUBLIC");
  return value;
}
absl::StatusOr<TPM2B_PRIVATE> UnmarshalPrivate(absl::string_view bytes) {
  return UnmarshalWith<TPM2B_PRIVATE>(Tss2_MU_TPM2B_PRIVATE_Unmarshal, bytes, "TPM2B_PRIVATE");
}
absl::StatusOr<TPM2B_ID_OBJECT> UnmarshalIdObject(absl::string_view bytes) {
  return UnmarshalWith<TPM2B_ID_OBJECT>(Tss2_MU_TPM2B_ID_OBJECT_Unmarshal, bytes,
                                        "TPM2B_ID_OBJECT");
}
absl::StatusOr<TPM2B_ENCRYPTED_SECRET> UnmarshalEncryptedSecret(absl::string_view bytes) {
  return UnmarshalWith<TPM2B_ENCRYPTED_SECRET>(Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal, bytes,
                                               "TPM2B_ENCRYPTED_SECRET");
}

absl::StatusOr<TPMT_PUBLIC> UnmarshalTemplate(absl::string_view bytes) {
  TPMT_PUBLIC value{};
  size_t offset = 0;
  if (Tss2_MU_TPMT_PUBLIC_Unmarshal(U8(bytes), bytes.size(), &offset, &value) != TSS2_RC_SUCCESS) {
    return absl::InvalidArgumentError("not a TPMT_PUBLIC");
  }
  return value;
}

absl::StatusOr<PublicKey> PublicKeyOf(const TPMT_PUBLIC& area) {
  if (area.type == TPM2_ALG_RSA) {
    const UINT32 exponent = area.parameters.rsaDetail.exponent;
    return PublicKey::FromRsa(View(area.unique.rsa.buffer, area.unique.rsa.size),
                              exponent == 0 ? 65537 : exponent);  // part 2, 12.2.3.5
  }
  if (area.type == TPM2_ALG_ECC) {
    const TPMI_ECC_CURVE curve = area.parameters.eccDetail.curveID;
    if (curve == TPM2_ECC_NIST_P256 || curve == TPM2_ECC_NIST_P384) {
      const size_t size = curve == TPM2_ECC_NIST_P256 ? 32 : 48;
      return PublicKey::FromEcPoint(
          curve == TPM2_ECC_NIST_P256 ? NID_X9_62_prime256v1 : NID_secp384r1,
          Padded(area.unique.ecc.x, size), Padded(area.unique.ecc.y, size));
    }
  }
  return absl::InvalidArgumentError("not an RSA, P-256 or P-384 key");
}

absl::StatusOr<std::string> EcdsaDer(const TPMT_SIGNATURE& signature) {
  if (signature.sigAlg != TPM2_ALG_ECDSA) {
    return absl::InvalidArgumentError("the TPM's signature is not ECDSA");
  }
  const TPMS_SIGNATURE_ECC& pair = signature.signature.ecdsa;
  EcdsaSigPtr ecdsa(ECDSA_SIG_new());
  BignumPtr r(BN_bin2bn(pair.signatureR.buffer, pair.signatureR.size, nullptr));
  BignumPtr s(BN_bin2bn(pair.signatureS.buffer, pair.signatureS.size, nullptr));
  if (ecdsa == nullptr || r == nullptr || s == nullptr ||
      ECDSA_SIG_set0(ecdsa.get(), r.get(), s.get()) != 1) {
    return OpenSslError("ECDSA_SIG_set0");
  }
  r.release();  // NOLINT: ECDSA_SIG_set0 took both
  s.release();  // NOLINT
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(ecdsa.get(), &der);
  if (size <= 0) return OpenSslError("i2d_ECDSA_SIG");
  std::string result(View(der, size));
  OPENSSL_free(der);
  return result;
}

}  // namespace forekey
