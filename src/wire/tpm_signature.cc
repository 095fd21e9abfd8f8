// SPDX-License-Identifier: Apache-2.0
#include "src/wire/tpm_signature.h"

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"
#include "src/wire/tpm_constants.h"

namespace forekey {
namespace {

// RSA-4096; P-521, of which VerifyTpmKey takes none, but which is a well-formed signature.
constexpr size_t kMaxRsaSize = 512;
constexpr size_t kMaxFieldSize = 66;
constexpr size_t kMaxSize = 1024;

absl::Status Malformed(absl::string_view detail) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("TPMT_SIGNATURE: ", detail));
}

absl::StatusOr<std::string> EcdsaDer(absl::string_view r, absl::string_view s) {
  EcdsaSigPtr signature(ECDSA_SIG_new());
  BIGNUM* r_number = BN_bin2bn(U8(r), static_cast<int>(r.size()), nullptr);
  BIGNUM* s_number = BN_bin2bn(U8(s), static_cast<int>(s.size()), nullptr);
  if (signature == nullptr || r_number == nullptr || s_number == nullptr ||
      ECDSA_SIG_set0(signature.get(), r_number, s_number) != 1) {
    BN_free(r_number);
    BN_free(s_number);
    return OpenSslError("ECDSA_SIG_set0");
  }
  uint8_t* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return OpenSslError("i2d_ECDSA_SIG");
  absl::Cleanup free_der = [der] { OPENSSL_free(der); };
  return std::string(View(der, size));
}

}  // namespace

absl::StatusOr<TpmSignature> TpmSignature::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxSize) return Malformed("larger than 1 KiB");
  ByteReader reader(bytes);
  TpmSignature result;
  result.algorithm = reader.U16();
  if (!reader.ok()) return Malformed("truncated");
  switch (result.algorithm) {
    case tpm::kAlgRsaSsa:
    case tpm::kAlgRsaPss: {
      result.hash = reader.U16();
      result.openssl = std::string(reader.Len2());
      if (!reader.ok()) return Malformed("truncated");
      if (!reader.Finished()) return Malformed("something is left over");
      if (result.openssl.empty() || result.openssl.size() > kMaxRsaSize) {
        return Malformed("the signature has a size that no RSA key gives");
      }
      return result;
    }
    case tpm::kAlgEcdsa: {
      result.hash = reader.U16();
      const absl::string_view r = reader.Len2();
      const absl::string_view s = reader.Len2();
      if (!reader.ok()) return Malformed("truncated");
      if (!reader.Finished()) return Malformed("something is left over");
      if (r.empty() || s.empty() || r.size() > kMaxFieldSize || s.size() > kMaxFieldSize) {
        return Malformed("r or s has a size that no curve gives");
      }
      FOREKEY_ASSIGN_OR_RETURN(result.openssl, EcdsaDer(r, s));
      return result;
    }
    default:
      return Refuse(Reason::kKeyAlgorithm,
                    absl::StrCat("a signature of scheme ", tpm::AlgorithmText(result.algorithm)));
  }
}

}  // namespace forekey
