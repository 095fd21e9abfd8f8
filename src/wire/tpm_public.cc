// SPDX-License-Identifier: Apache-2.0
#include "src/wire/tpm_public.h"

#include <openssl/obj_mac.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr size_t kMaxSize = 2048;
// No smaller TPMT_PUBLIC is a key: P-256 coordinates of four bytes can't be found. It is larger
// than any TPM_ALG_ID that one may begin with, plus two, so that no TPMT_PUBLIC can begin with its
// own size less two, which is how a TPM2B_PUBLIC is told apart.
constexpr size_t kMinSize = 48;
static_assert(kMinSize > tpm::kAlgSymCipher + 2);
constexpr uint32_t kDefaultExponent = 65537;

absl::Status Malformed(absl::string_view detail) {
  return Refuse(Reason::kEvidenceMalformed, absl::StrCat("TPMT_PUBLIC: ", detail));
}

// TPMT_SYM_DEF_OBJECT (Part 2 §11.1.7).
TpmPublic::Symmetric ReadSymmetric(ByteReader& reader) {
  TpmPublic::Symmetric symmetric;
  symmetric.algorithm = reader.U16();
  if (symmetric.algorithm != tpm::kAlgNull) {
    symmetric.key_bits = reader.U16();
    symmetric.mode = reader.U16();
  }
  return symmetric;
}

// TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_KDF_SCHEME (Part 2 §11.2): all but RSAES and NULL have a
// hash, ECDAA has a counter besides.
TpmPublic::Scheme ReadScheme(ByteReader& reader) {
  TpmPublic::Scheme scheme;
  scheme.algorithm = reader.U16();
  if (scheme.algorithm != tpm::kAlgNull && scheme.algorithm != tpm::kAlgRsaEs) {
    scheme.hash = reader.U16();
  }
  if (scheme.algorithm == tpm::kAlgEcdaa) reader.U16();
  return scheme;
}

std::string Padded(absl::string_view coordinate, size_t size) {
  return absl::StrCat(std::string(size - coordinate.size(), '\0'), coordinate);
}

bool Known(const TpmPublic::Scheme& scheme, std::initializer_list<uint16_t> algorithms) {
  for (uint16_t algorithm : algorithms) {
    if (scheme.algorithm == algorithm) return true;
  }
  return false;
}

}  // namespace

absl::Status TpmPublic::ParseRsa(ByteReader& reader) {
  rsa_bits_ = reader.U16();
  rsa_exponent_ = reader.U32();
  if (rsa_exponent_ == 0) rsa_exponent_ = kDefaultExponent;
  modulus_ = std::string(reader.Len2());
  if (!reader.ok()) return Malformed("truncated");
  if (!Known(scheme_,
             {tpm::kAlgNull, tpm::kAlgRsaSsa, tpm::kAlgRsaEs, tpm::kAlgRsaPss, tpm::kAlgOaep})) {
    return Malformed("a scheme that is none for RSA");
  }
  if (rsa_bits_ == 0 || rsa_bits_ % 8 != 0 || modulus_.size() * 8 != rsa_bits_ ||
      (static_cast<uint8_t>(modulus_[0]) & 0x80) == 0) {
    return Malformed("the modulus does not have keyBits");
  }
  return absl::OkStatus();
}

absl::Status TpmPublic::ParseEcc(ByteReader& reader) {
  curve_ = reader.U16();
  ReadScheme(reader);  // kdf: no TPM uses it for anything that matters here
  const absl::string_view x = reader.Len2();
  const absl::string_view y = reader.Len2();
  if (!reader.ok()) return Malformed("truncated");
  if (!Known(scheme_, {tpm::kAlgNull, tpm::kAlgEcdsa, tpm::kAlgEcdh, tpm::kAlgEcdaa, tpm::kAlgSm2,
                       tpm::kAlgEcSchnorr, tpm::kAlgEcMqv})) {
    return Malformed("a scheme that is none for ECC");
  }
  if (curve_ != tpm::kCurveP256 && curve_ != tpm::kCurveP384) {
    return Refuse(Reason::kKeyAlgorithm,
                  absl::StrCat("TPM_ECC_CURVE ", curve_, "; P-256 and P-384 are accepted"));
  }
  const size_t field = curve_ == tpm::kCurveP256 ? 32 : 48;
  if (x.empty() || y.empty() || x.size() > field || y.size() > field) {
    return Malformed("the point does not have the curve's size");
  }
  x_ = Padded(x, field);
  y_ = Padded(y, field);
  return absl::OkStatus();
}

absl::StatusOr<TpmPublic> TpmPublic::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxSize) return Malformed("larger than 2 KiB");
  bytes = tpm::Unwrap2b(bytes);
  if (bytes.size() < kMinSize) return Malformed("too short");
  ByteReader reader(bytes);
  TpmPublic result;
  result.bytes_ = std::string(bytes);
  result.type_ = reader.U16();
  result.name_algorithm_ = reader.U16();
  result.attributes_ = reader.U32();
  if (result.type_ == tpm::kAlgKeyedHash || result.type_ == tpm::kAlgSymCipher) {
    return Refuse(Reason::kKeyAlgorithm,
                  absl::StrCat("a public area of type ", tpm::AlgorithmText(result.type_)));
  }
  if (result.type_ != tpm::kAlgRsa && result.type_ != tpm::kAlgEcc)
    return Malformed("no such type");
  result.auth_policy_ = std::string(reader.Len2());
  result.symmetric_ = ReadSymmetric(reader);
  result.scheme_ = ReadScheme(reader);
  FOREKEY_RETURN_IF_ERROR(result.is_rsa() ? result.ParseRsa(reader) : result.ParseEcc(reader));
  if (!reader.Finished()) return Malformed("something is left over");
  const EVP_MD* name_hash = tpm::HashOf(result.name_algorithm_);
  // Part 2 §12.2.4: empty, or a digest by nameAlg.
  if (!result.auth_policy_.empty() && name_hash != nullptr &&
      result.auth_policy_.size() != static_cast<size_t>(EVP_MD_get_size(name_hash))) {
    return Malformed("authPolicy does not have the size of nameAlg");
  }
  return result;
}

std::string TpmPublic::Name() const {
  const EVP_MD* md = tpm::HashOf(name_algorithm_);
  if (md == nullptr) return "";
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (EVP_Digest(bytes_.data(), bytes_.size(), digest.data(), &size, md, nullptr) != 1) return "";
  ByteWriter name;
  name.U16(name_algorithm_).Raw(View(digest.data(), size));
  return std::move(name).bytes();
}

absl::StatusOr<PublicKey> TpmPublic::Key() const {
  if (is_rsa()) return PublicKey::FromRsa(modulus_, rsa_exponent_);
  return PublicKey::FromEcPoint(curve_ == tpm::kCurveP256 ? NID_X9_62_prime256v1 : NID_secp384r1,
                                x_, y_);
}

std::string TpmPublic::KeyText() const {
  if (is_rsa()) return absl::StrCat("RSA-", rsa_bits_);
  return curve_ == tpm::kCurveP256 ? "P-256" : "P-384";
}

}  // namespace forekey
