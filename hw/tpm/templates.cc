// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/templates.h"

#include <algorithm>
#include <string>

#include "absl/strings/escaping.h"
#include "src/base/bytes.h"

namespace forekey {
namespace {

constexpr TPMA_OBJECT kFixed =
    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN;

constexpr char kPolicyASha256[] =
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
constexpr char kPolicyCSha256[] =
    "3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde";
constexpr char kPolicyBSha256[] =
    "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0";
constexpr char kPolicyASha384[] =
    "8bbf2266537c171cb56e403c4dc1d4b64f432611dc386e6f532050c3278c930e143e8bb1133824ccb431053871c6db"
    "53";
constexpr char kPolicyCSha384[] =
    "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d1"
    "65";
constexpr char kPolicyBSha384[] =
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e"
    "12";

TPM2B_DIGEST Digest(const char* hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  TPM2B_DIGEST digest{};
  digest.size = static_cast<UINT16>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), digest.buffer);
  return digest;
}

void SetEcc(TPMT_PUBLIC& area, TPMI_ECC_CURVE curve) {
  area.type = TPM2_ALG_ECC;
  area.parameters.eccDetail.curveID = curve;
  area.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
  area.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
  area.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
}

void SetAesCfb(TPMT_SYM_DEF_OBJECT& symmetric, UINT16 bits) {
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = bits;
  symmetric.mode.aes = TPM2_ALG_CFB;
}

TPM2B_PUBLIC SigningKey(TPMA_OBJECT attributes) {
  TPM2B_PUBLIC result{};
  TPMT_PUBLIC& area = result.publicArea;
  SetEcc(area, TPM2_ECC_NIST_P256);
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = kFixed | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT | attributes;
  area.parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDSA;
  area.parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  return result;
}

}  // namespace

TPM2B_PUBLIC StorageRootTemplate() {
  TPM2B_PUBLIC result{};
  TPMT_PUBLIC& area = result.publicArea;
  SetEcc(area, TPM2_ECC_NIST_P256);
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = kFixed | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                          TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  SetAesCfb(area.parameters.eccDetail.symmetric, 128);
  return result;
}

TPM2B_PUBLIC AttestationKeyTemplate(absl::string_view diversifier) {
  TPM2B_PUBLIC result = SigningKey(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_NODA);
  TPMS_ECC_POINT& unique = result.publicArea.unique.ecc;
  unique.x.size = unique.y.size = 32;  // y: of zeros
  std::copy_n(diversifier.begin(), std::min<size_t>(diversifier.size(), 32), unique.x.buffer);
  return result;
}

TPM2B_PUBLIC DeviceKeyTemplate(bool has_password) {
  return SigningKey(has_password ? 0 : TPMA_OBJECT_NODA);
}

TPM2B_PUBLIC EndorsementKeyTemplate(EkShape shape) {
  const bool high = shape != EkShape::kRsa2048 && shape != EkShape::kP256;
  const bool ecc =
      shape == EkShape::kP256 || shape == EkShape::kP256High || shape == EkShape::kP384High;
  // P-384, RSA-3072 and RSA-4096 go with SHA-384 and AES-256.
  const bool strong = shape == EkShape::kP384High || shape == EkShape::kRsa3072High ||
                      shape == EkShape::kRsa4096High;
  TPM2B_PUBLIC result{};
  TPMT_PUBLIC& area = result.publicArea;
  area.nameAlg = strong ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
  area.objectAttributes =
      kFixed | TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  if (high) area.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
  area.authPolicy = Digest(!high ? kPolicyASha256 : strong ? kPolicyBSha384 : kPolicyBSha256);
  if (ecc) {
    SetEcc(area, strong ? TPM2_ECC_NIST_P384 : TPM2_ECC_NIST_P256);
    SetAesCfb(area.parameters.eccDetail.symmetric, strong ? 256 : 128);
    if (!high) area.unique.ecc.x.size = area.unique.ecc.y.size = 32;  // of zeros
  } else {
    area.type = TPM2_ALG_RSA;
    area.parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
    area.parameters.rsaDetail.keyBits = shape == EkShape::kRsa3072High   ? 3072
                                        : shape == EkShape::kRsa4096High ? 4096
                                                                         : 2048;
    SetAesCfb(area.parameters.rsaDetail.symmetric, strong ? 256 : 128);
    if (!high) area.unique.rsa.size = 256;  // of zeros
  }
  return result;
}

EkPolicy EkPolicyOf(const TPMT_PUBLIC& ek) {
  const bool sha384 = ek.nameAlg == TPM2_ALG_SHA384;
  const auto is = [&ek](const char* hex) {
    const TPM2B_DIGEST known = Digest(hex);
    return View(ek.authPolicy.buffer, ek.authPolicy.size) == View(known.buffer, known.size);
  };
  if (is(sha384 ? kPolicyASha384 : kPolicyASha256)) return EkPolicy::kPolicyA;
  if (is(sha384 ? kPolicyBSha384 : kPolicyBSha256)) return EkPolicy::kPolicyB;
  return EkPolicy::kUnknown;
}

TPML_DIGEST EkPolicyBranches(TPMI_ALG_HASH name_alg) {
  TPML_DIGEST branches{};
  branches.count = 2;
  branches.digests[0] = Digest(name_alg == TPM2_ALG_SHA384 ? kPolicyASha384 : kPolicyASha256);
  branches.digests[1] = Digest(name_alg == TPM2_ALG_SHA384 ? kPolicyCSha384 : kPolicyCSha256);
  return branches;
}

}  // namespace forekey
