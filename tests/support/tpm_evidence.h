// SPDX-License-Identifier: Apache-2.0
// TPM structures for tests, written field by field from the TPM 2.0 Library, Part 2, without the
// parsers' code.
#ifndef FOREKEY_TESTS_SUPPORT_TPM_EVIDENCE_H_
#define FOREKEY_TESTS_SUPPORT_TPM_EVIDENCE_H_

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>

#include "src/base/bytes.h"
#include "src/crypto/digest.h"
#include "src/crypto/openssl.h"

namespace forekey::testing {

inline std::string Concat(std::initializer_list<absl::string_view> parts) {
  std::string result;
  for (absl::string_view part : parts) result.append(part.data(), part.size());
  return result;
}
inline std::string Big16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}
inline std::string Big32(uint32_t value) {
  return Concat({Big16(value >> 16), Big16(value & 0xffff)});
}
inline std::string Sized(absl::string_view bytes) {
  return Concat({Big16(static_cast<unsigned>(bytes.size())), bytes});
}

inline constexpr uint32_t kEkAttributes = 0x000300b2;   // template L-1
inline constexpr uint32_t kAkAttributes = 0x00050072;   // restricted, sign
inline constexpr uint32_t kKeyAttributes = 0x00040472;  // sign, noDA

struct PublicSpec {
  std::shared_ptr<EVP_PKEY> key;
  uint32_t attributes = 0;
  unsigned name_algorithm = 0x000b;
  std::string policy;
  unsigned aes_bits = 0;     // 0: symmetric NULL
  unsigned scheme = 0x0010;  // NULL
  unsigned scheme_hash = 0x000b;
  uint32_t exponent = 0;
};

inline std::string BigParam(EVP_PKEY* key, const char* name, size_t size) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  BignumPtr own(number);
  std::string bytes(size, '\0');
  BN_bn2binpad(number, U8(bytes), static_cast<int>(size));
  return bytes;
}

// TPMT_PUBLIC.
inline std::string MakePublic(const PublicSpec& spec) {
  const bool rsa = EVP_PKEY_is_a(spec.key.get(), "RSA");
  const size_t bits = EVP_PKEY_get_bits(spec.key.get());
  const std::string symmetric =
      spec.aes_bits == 0 ? Big16(0x10) : Concat({Big16(6), Big16(spec.aes_bits), Big16(0x43)});
  const std::string scheme =
      spec.scheme == 0x10 ? Big16(0x10) : Concat({Big16(spec.scheme), Big16(spec.scheme_hash)});
  std::string rest;
  if (rsa) {
    rest = Concat({Big16(static_cast<unsigned>(bits)), Big32(spec.exponent),
                   Sized(BigParam(spec.key.get(), OSSL_PKEY_PARAM_RSA_N, bits / 8))});
  } else {
    rest = Concat({Big16(bits == 256   ? 3
                         : bits == 384 ? 4
                                       : 5),
                   Big16(0x10),
                   Sized(BigParam(spec.key.get(), OSSL_PKEY_PARAM_EC_PUB_X, (bits + 7) / 8)),
                   Sized(BigParam(spec.key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, (bits + 7) / 8))});
  }
  return Concat({Big16(rsa ? 1 : 0x23), Big16(spec.name_algorithm), Big32(spec.attributes),
                 Sized(spec.policy), symmetric, scheme, rest});
}

inline PublicSpec EkSpec(std::shared_ptr<EVP_PKEY> key) {
  PublicSpec spec;
  const bool wide = EVP_PKEY_get_bits(key.get()) == 384;
  spec.key = std::move(key);
  spec.attributes = kEkAttributes;
  spec.name_algorithm = wide ? 0x0c : 0x0b;
  spec.policy = std::string(wide ? 48 : 32, '\x83');
  spec.aes_bits = wide ? 256 : 128;
  return spec;
}
inline PublicSpec AkSpec(std::shared_ptr<EVP_PKEY> key) {
  PublicSpec spec;
  spec.scheme = EVP_PKEY_is_a(key.get(), "RSA") ? 0x14 : 0x18;
  spec.key = std::move(key);
  spec.attributes = kAkAttributes;
  return spec;
}
inline PublicSpec KeySpec(std::shared_ptr<EVP_PKEY> key) {
  PublicSpec spec;
  spec.key = std::move(key);
  spec.attributes = kKeyAttributes;
  return spec;
}

inline std::string NameOf(absl::string_view area) { return Concat({Big16(0x0b), Sha256(area)}); }

struct AttestSpec {
  uint32_t magic = 0xff544347;
  unsigned type = 0x8017;
  std::string extra_data = std::string(32, 'x');
  std::string name;
  char safe = 1;
  std::string qualified_signer = std::string(34, 's');
  std::string firmware = std::string(8, '\x22');
};

// The qualified name of a primary key of that hierarchy (Part 1, "Qualified Name").
inline std::string QualifiedNameOf(absl::string_view area, uint32_t hierarchy) {
  return Concat({Big16(0x0b), Sha256(Concat({Big32(hierarchy), NameOf(area)}))});
}

// TPMS_ATTEST.
inline std::string MakeAttest(const AttestSpec& spec) {
  return Concat({Big32(spec.magic), Big16(spec.type), Sized(spec.qualified_signer),
                 Sized(spec.extra_data), std::string(7, '\0'), "\x09", Big32(5), Big32(6),
                 std::string(1, spec.safe), spec.firmware, Sized(spec.name),
                 Sized(std::string(34, 'q'))});
}

struct SignatureSpec {
  std::shared_ptr<EVP_PKEY> key;
  unsigned algorithm = 0;  // 0: ECDSA or RSASSA, by the key
  unsigned hash = 0x0b;
  int salt = RSA_PSS_SALTLEN_DIGEST;
};

// TPMT_SIGNATURE over `bytes`.
inline std::string MakeSignature(const SignatureSpec& spec, absl::string_view bytes) {
  const bool rsa = EVP_PKEY_is_a(spec.key.get(), "RSA");
  const unsigned algorithm = spec.algorithm != 0 ? spec.algorithm : rsa ? 0x14 : 0x18;
  const EVP_MD* md = spec.hash == 4 ? EVP_sha1() : spec.hash == 0x0c ? EVP_sha384() : EVP_sha256();
  EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // borrowed
  EVP_DigestSignInit(context.get(), &key_context, md, nullptr, spec.key.get());
  if (algorithm == 0x16) {
    EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, spec.salt);
  }
  size_t size = 0;
  EVP_DigestSign(context.get(), nullptr, &size, U8(bytes), bytes.size());
  std::string raw(size, '\0');
  EVP_DigestSign(context.get(), U8(raw), &size, U8(bytes), bytes.size());
  raw.resize(size);
  const std::string head = Concat({Big16(algorithm), Big16(spec.hash)});
  if (rsa) return Concat({head, Sized(raw)});
  const uint8_t* at = U8(absl::string_view(raw));
  EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(raw.size())));
  const size_t field = (EVP_PKEY_get_bits(spec.key.get()) + 7) / 8;
  std::string r(field, '\0'), s(field, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), U8(r), static_cast<int>(field));
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), U8(s), static_cast<int>(field));
  return Concat({head, Sized(r), Sized(s)});
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_TPM_EVIDENCE_H_
