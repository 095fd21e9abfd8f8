// SPDX-License-Identifier: Apache-2.0
// Numbers of the TPM 2.0 Library specification, Part 2: Structures (revision 1.59).
#ifndef FOREKEY_SRC_WIRE_TPM_CONSTANTS_H_
#define FOREKEY_SRC_WIRE_TPM_CONSTANTS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "src/crypto/openssl.h"

namespace forekey::tpm {

// Part 2, table 9: TPM_ALG_ID.
inline constexpr uint16_t kAlgRsa = 0x0001;
inline constexpr uint16_t kAlgSha1 = 0x0004;
inline constexpr uint16_t kAlgAes = 0x0006;
inline constexpr uint16_t kAlgKeyedHash = 0x0008;
inline constexpr uint16_t kAlgSha256 = 0x000b;
inline constexpr uint16_t kAlgSha384 = 0x000c;
inline constexpr uint16_t kAlgSha512 = 0x000d;
inline constexpr uint16_t kAlgNull = 0x0010;
inline constexpr uint16_t kAlgRsaSsa = 0x0014;
inline constexpr uint16_t kAlgRsaEs = 0x0015;
inline constexpr uint16_t kAlgRsaPss = 0x0016;
inline constexpr uint16_t kAlgOaep = 0x0017;
inline constexpr uint16_t kAlgEcdsa = 0x0018;
inline constexpr uint16_t kAlgEcdh = 0x0019;
inline constexpr uint16_t kAlgEcdaa = 0x001a;
inline constexpr uint16_t kAlgSm2 = 0x001b;
inline constexpr uint16_t kAlgEcSchnorr = 0x001c;
inline constexpr uint16_t kAlgEcMqv = 0x001d;
inline constexpr uint16_t kAlgEcc = 0x0023;
inline constexpr uint16_t kAlgSymCipher = 0x0025;
inline constexpr uint16_t kAlgCfb = 0x0043;

// Part 2, table 10: TPM_ECC_CURVE.
inline constexpr uint16_t kCurveP256 = 0x0003;
inline constexpr uint16_t kCurveP384 = 0x0004;
inline constexpr uint16_t kCurveP521 = 0x0005;

// Part 2, tables 7 and 19: TPM_GENERATED_VALUE, TPM_ST.
inline constexpr uint32_t kGeneratedValue = 0xff544347;
inline constexpr uint16_t kAttestCertify = 0x8017;

// Part 2, table 28: TPM_RH_ENDORSEMENT and TPM_RH_PLATFORM.
inline constexpr uint32_t kHierarchyEndorsement = 0x4000000b;
inline constexpr uint32_t kHierarchyPlatform = 0x4000000c;

// Part 2, table 31: TPMA_OBJECT.
inline constexpr uint32_t kFixedTpm = 1u << 1;
inline constexpr uint32_t kStClear = 1u << 2;
inline constexpr uint32_t kFixedParent = 1u << 4;
inline constexpr uint32_t kSensitiveDataOrigin = 1u << 5;
inline constexpr uint32_t kUserWithAuth = 1u << 6;
inline constexpr uint32_t kAdminWithPolicy = 1u << 7;
inline constexpr uint32_t kFirmwareLimited = 1u << 8;
inline constexpr uint32_t kSvnLimited = 1u << 9;
inline constexpr uint32_t kNoDa = 1u << 10;
inline constexpr uint32_t kEncryptedDuplication = 1u << 11;
inline constexpr uint32_t kRestricted = 1u << 16;
inline constexpr uint32_t kDecrypt = 1u << 17;
inline constexpr uint32_t kSign = 1u << 18;
inline constexpr uint32_t kX509Sign = 1u << 19;

// The hash with that TPM_ALG_ID (SHA-1, SHA-256, SHA-384, SHA-512); nullptr for any other.
const EVP_MD* HashOf(uint16_t algorithm);
// "SHA-256", "RSASSA", ...; hex for what is not known. For people.
std::string AlgorithmText(uint16_t algorithm);
// "fixedTPM|sign|...", the names in Part 2. For people.
std::string AttributesText(uint32_t attributes);

// Without the length of a TPM2B_x when there is one around all of `bytes`, else `bytes` themselves.
// Unambiguous where the structure can't begin with its own size less two: the callers say why.
absl::string_view Unwrap2b(absl::string_view bytes);

}  // namespace forekey::tpm

#endif  // FOREKEY_SRC_WIRE_TPM_CONSTANTS_H_
