// SPDX-License-Identifier: Apache-2.0
#include "src/wire/tpm_constants.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/bytes.h"

namespace forekey::tpm {

const EVP_MD* HashOf(uint16_t algorithm) {
  switch (algorithm) {
    case kAlgSha1:
      return EVP_sha1();
    case kAlgSha256:
      return EVP_sha256();
    case kAlgSha384:
      return EVP_sha384();
    case kAlgSha512:
      return EVP_sha512();
    default:
      return nullptr;
  }
}

std::string AlgorithmText(uint16_t algorithm) {
  switch (algorithm) {
    case kAlgRsa:
      return "RSA";
    case kAlgSha1:
      return "SHA-1";
    case kAlgAes:
      return "AES";
    case kAlgKeyedHash:
      return "KEYEDHASH";
    case kAlgSha256:
      return "SHA-256";
    case kAlgSha384:
      return "SHA-384";
    case kAlgSha512:
      return "SHA-512";
    case kAlgNull:
      return "NULL";
    case kAlgRsaSsa:
      return "RSASSA";
    case kAlgRsaEs:
      return "RSAES";
    case kAlgRsaPss:
      return "RSAPSS";
    case kAlgOaep:
      return "OAEP";
    case kAlgEcdsa:
      return "ECDSA";
    case kAlgEcdh:
      return "ECDH";
    case kAlgEcdaa:
      return "ECDAA";
    case kAlgSm2:
      return "SM2";
    case kAlgEcSchnorr:
      return "ECSCHNORR";
    case kAlgEcMqv:
      return "ECMQV";
    case kAlgEcc:
      return "ECC";
    case kAlgSymCipher:
      return "SYMCIPHER";
    case kAlgCfb:
      return "CFB";
    default:
      return absl::StrFormat("0x%04x", algorithm);
  }
}

std::string AttributesText(uint32_t attributes) {
  static constexpr struct {
    uint32_t bit;
    const char* name;
  } kNames[] = {
      {kFixedTpm, "fixedTPM"},
      {kStClear, "stClear"},
      {kFixedParent, "fixedParent"},
      {kSensitiveDataOrigin, "sensitiveDataOrigin"},
      {kUserWithAuth, "userWithAuth"},
      {kAdminWithPolicy, "adminWithPolicy"},
      {kFirmwareLimited, "firmwareLimited"},
      {kSvnLimited, "svnLimited"},
      {kNoDa, "noDA"},
      {kEncryptedDuplication, "encryptedDuplication"},
      {kRestricted, "restricted"},
      {kDecrypt, "decrypt"},
      {kSign, "sign"},
      {kX509Sign, "x509sign"},
  };
  std::string text;
  for (const auto& [bit, name] : kNames) {
    if ((attributes & bit) == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : "|", name);
    attributes &= ~bit;
  }
  if (attributes != 0)
    absl::StrAppendFormat(&text, "%s0x%08x", text.empty() ? "" : "|", attributes);
  return text.empty() ? "none" : text;
}

absl::string_view Unwrap2b(absl::string_view bytes) {
  ByteReader reader(bytes);
  const absl::string_view inner = reader.Len2();
  return reader.Finished() ? inner : bytes;
}

}  // namespace forekey::tpm
