// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/spki.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/crypto/algorithm.h"
#include "src/crypto/der.h"

namespace forekey {
namespace {

// AlgorithmIdentifier of rsaEncryption with NULL (RFC 3279 section 2.3.1).
constexpr absl::string_view kRsaAlgorithm(
    "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);
// Of 1024 to 8192 bits; others are rare, and OpenSSL's to read.
constexpr size_t kMinModulusSize = 128;
constexpr size_t kMaxModulusSize = 1024;
constexpr size_t kMaxExponentSize = 4;
constexpr size_t kMaxPointSize = 133;  // P-521's

// ---- Points ----

// A public key on the curve that others are made of: without a private part, which a copy would
// inherit.
EvpPkeyPtr MakeTemplate(const AlgorithmFacts& facts) {
  const std::string curve(facts.curve);
  const EvpPkeyPtr pair(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve.c_str()));
  uint8_t* point = nullptr;
  const size_t size = pair == nullptr ? 0 : EVP_PKEY_get1_encoded_public_key(pair.get(), &point);
  OrDie(size == 1 + 2 * facts.size, "EVP_PKEY_get1_encoded_public_key");
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(curve.c_str()),
                                       0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, size),
      OSSL_PARAM_construct_end(),
  };
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  OrDie(context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1 &&
            EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) == 1,
        "EVP_PKEY_fromdata(EC)");
  OPENSSL_free(point);
  return EvpPkeyPtr(key);
}

EVP_PKEY* TemplateOf(Algorithm algorithm) {
  static EVP_PKEY* const p256 = MakeTemplate(FactsOf(Algorithm::kEs256)).release();
  static EVP_PKEY* const p384 = MakeTemplate(FactsOf(Algorithm::kEs384)).release();
  static EVP_PKEY* const p521 = MakeTemplate(FactsOf(Algorithm::kEs512)).release();
  if (algorithm == Algorithm::kEs512) return p521;
  return algorithm == Algorithm::kEs384 ? p384 : p256;
}

// `point`: 04 || x || y. OpenSSL refuses coordinates beyond the field and points off the curve.
EvpPkeyPtr PointKey(Algorithm algorithm, absl::string_view point) {
  EvpPkeyPtr key(EVP_PKEY_dup(TemplateOf(algorithm)));
  OrDie(key != nullptr, "EVP_PKEY_dup");
  if (EVP_PKEY_set1_encoded_public_key(key.get(), U8(point), point.size()) != 1) key.reset();
  return key;
}

EvpPkeyPtr KeyOfFamily(const AlgorithmFacts& facts, absl::string_view spki) {
  const absl::string_view raw = spki.substr(facts.spki_head.size());
  if (facts.family == KeyFamily::kEdwards) {
    return EvpPkeyPtr(EVP_PKEY_new_raw_public_key_ex(nullptr, std::string(facts.curve).c_str(),
                                                     nullptr, U8(raw), raw.size()));
  }
  // The head ends with the 04 of the point.
  return PointKey(facts.algorithm, spki.substr(facts.spki_head.size() - 1));
}

// ---- RSA ----

// The bytes of a positive INTEGER in DER, without its sign's zero byte.
std::optional<absl::string_view> Magnitude(absl::string_view integer) {
  if (integer.empty() || (U8(integer)[0] & 0x80) != 0) return std::nullopt;
  if (U8(integer)[0] != 0) return integer;
  if (integer.size() == 1 || (U8(integer)[1] & 0x80) == 0) return std::nullopt;
  return integer.substr(1);
}

EvpPkeyPtr KeyOfCanonicalRsa(absl::string_view spki) {
  const std::optional<absl::string_view> info = OnlyDer(spki, kDerSequence);
  if (!info || !absl::StartsWith(*info, kRsaAlgorithm)) return nullptr;
  const auto bits = OnlyDer(info->substr(kRsaAlgorithm.size()), kDerBitString);
  if (!bits || bits->empty() || bits->front() != 0) return nullptr;
  const auto numbers = OnlyDer(bits->substr(1), kDerSequence);
  if (!numbers) return nullptr;
  ByteReader reader(*numbers);
  const auto first = ReadDer(reader, *numbers);
  const auto second = ReadDer(reader, *numbers);
  if (!first || first->tag != kDerInteger || !second || second->tag != kDerInteger ||
      !reader.Finished()) {
    return nullptr;
  }
  const auto modulus = Magnitude(first->value), exponent = Magnitude(second->value);
  if (!modulus || modulus->size() < kMinModulusSize || modulus->size() > kMaxModulusSize ||
      !exponent || exponent->size() > kMaxExponentSize) {
    return nullptr;
  }
  uint32_t e = 0;
  for (char c : *exponent) e = e << 8 | static_cast<uint8_t>(c);
  return RsaKey(*modulus, e);
}

std::string Integer(const BIGNUM* number) {
  std::string bytes(BN_num_bytes(number), '\0');
  BN_bn2bin(number, U8(bytes));
  if (bytes.empty() || (U8(bytes)[0] & 0x80) != 0) bytes.insert(0, 1, '\0');
  return WriteDer(kDerInteger, bytes);
}

std::string SpkiOfRsa(EVP_PKEY* key) {
  BIGNUM* n = nullptr;
  BIGNUM* e = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1;
  const BignumPtr own_n(n), own_e(e);
  if (!read || BN_num_bytes(n) > static_cast<int>(kMaxModulusSize)) return "";
  const std::string numbers = WriteDer(kDerSequence, absl::StrCat(Integer(n), Integer(e)));
  return WriteDer(
      kDerSequence,
      absl::StrCat(kRsaAlgorithm,
                   WriteDer(kDerBitString, absl::StrCat(absl::string_view("\0", 1), numbers))));
}

std::string SpkiOfPoint(EVP_PKEY* key) {
  int explicit_parameters = 0;
  EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                         &explicit_parameters);
  char group[64] = {};
  std::array<uint8_t, kMaxPointSize> point;
  size_t size = 0;
  if (explicit_parameters != 0 ||
      EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) != 1 ||
      EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(),
                                      &size) != 1) {
    return "";
  }
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    if (facts.family != KeyFamily::kNistCurve || facts.nid != OBJ_sn2nid(group)) continue;
    if (size != 1 + 2 * facts.size || point[0] != 0x04) return "";
    return absl::StrCat(facts.spki_head, View(point.data() + 1, size - 1));
  }
  return "";
}

}  // namespace

EvpPkeyPtr RsaKey(absl::string_view modulus, uint32_t exponent) {
  const BignumPtr n(BN_bin2bn(U8(modulus), static_cast<int>(modulus.size()), nullptr));
  // OpenSSL wants the machine's byte order.
  std::string native(modulus.size(), '\0');
  if (n == nullptr || BN_bn2nativepad(n.get(), U8(native), static_cast<int>(native.size())) < 0) {
    return nullptr;
  }
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, U8(native), native.size()),
      OSSL_PARAM_construct_uint32(OSSL_PKEY_PARAM_RSA_E, &exponent),
      OSSL_PARAM_construct_end(),
  };
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    return nullptr;
  }
  return EvpPkeyPtr(key);
}

std::optional<EvpPkeyPtr> KeyOfCanonicalSpki(absl::string_view spki) {
  for (const AlgorithmFacts& facts : AllAlgorithms()) {
    if (facts.family == KeyFamily::kRsa || !absl::StartsWith(spki, facts.spki_head)) continue;
    const size_t key_size = facts.size * (facts.family == KeyFamily::kNistCurve ? 2 : 1);
    if (spki.size() != facts.spki_head.size() + key_size) continue;
    EvpPkeyPtr key = KeyOfFamily(facts, spki);
    ERR_clear_error();
    return key;
  }
  EvpPkeyPtr rsa = KeyOfCanonicalRsa(spki);
  ERR_clear_error();
  if (rsa == nullptr) return std::nullopt;
  return rsa;
}

EvpPkeyPtr KeyOfSpki(absl::string_view spki) {
  if (std::optional<EvpPkeyPtr> key = KeyOfCanonicalSpki(spki)) return *std::move(key);
  const uint8_t* at = U8(spki);
  EvpPkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (key != nullptr && at != U8(spki) + spki.size()) key.reset();
  ERR_clear_error();
  return key;
}

std::string SpkiOfKey(EVP_PKEY* key) {
  if (key == nullptr) return "";
  std::string spki = EVP_PKEY_is_a(key, "RSA") == 1  ? SpkiOfRsa(key)
                     : EVP_PKEY_is_a(key, "EC") == 1 ? SpkiOfPoint(key)
                                                     : "";
  if (spki.empty()) {
    uint8_t* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    if (size > 0) spki = std::string(View(der, size));
    OPENSSL_free(der);
  }
  ERR_clear_error();
  return spki;
}

}  // namespace forekey
