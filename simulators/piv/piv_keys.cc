// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/piv_keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey::piv {
namespace {

using ContextPtr = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Freed<BN_clear_free>>;
using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using BnContextPtr = std::unique_ptr<BN_CTX, Freed<BN_CTX_free>>;

absl::Status Failed(const char* what) {
  return absl::InternalError(absl::StrCat("OpenSSL refused: ", what));
}

const char* CurveName(Algorithm algorithm) {
  return algorithm == Algorithm::kP256 ? "P-256" : "P-384";
}

NumberPtr Number(absl::string_view bytes) {
  return NumberPtr(BN_bin2bn(U8(bytes), static_cast<int>(bytes.size()), nullptr));
}

absl::StatusOr<PkeyPtr> FromParams(const char* type, OSSL_PARAM_BLD* builder) {
  ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  ContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) <= 0 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()) <= 0) {
    return absl::InvalidArgumentError("the parts don't make a key");
  }
  return PkeyPtr(key);
}

absl::StatusOr<PkeyPtr> ImportRsa(Algorithm algorithm, const std::vector<Tlv>& parts) {
  auto p_bytes = FindTlv(parts, 1), q_bytes = FindTlv(parts, 2);
  if (!p_bytes || !q_bytes) return absl::InvalidArgumentError("an RSA key needs p and q");
  NumberPtr p = Number(*p_bytes), q = Number(*q_bytes), n(BN_new()), e(BN_new()), d(BN_new());
  NumberPtr p1(BN_dup(p.get())), q1(BN_dup(q.get())), phi(BN_new()), dp(BN_new()), dq(BN_new());
  NumberPtr inverse(BN_new());
  BnContextPtr context(BN_CTX_new());
  BN_set_word(e.get(), 65537);
  BN_sub_word(p1.get(), 1);
  BN_sub_word(q1.get(), 1);
  if (!BN_mul(n.get(), p.get(), q.get(), context.get()) ||
      !BN_mul(phi.get(), p1.get(), q1.get(), context.get()) ||
      BN_mod_inverse(d.get(), e.get(), phi.get(), context.get()) == nullptr ||
      !BN_mod(dp.get(), d.get(), p1.get(), context.get()) ||
      !BN_mod(dq.get(), d.get(), q1.get(), context.get()) ||
      BN_mod_inverse(inverse.get(), q.get(), p.get(), context.get()) == nullptr ||
      BN_num_bits(n.get()) != static_cast<int>(8 * FieldSize(algorithm))) {
    return absl::InvalidArgumentError("p and q don't make a key of that size");
  }
  BuilderPtr builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_D, d.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_FACTOR1, p.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_FACTOR2, q.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_EXPONENT1, dp.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_EXPONENT2, dq.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_COEFFICIENT1, inverse.get());
  return FromParams("RSA", builder.get());
}

absl::StatusOr<PkeyPtr> ImportEc(Algorithm algorithm, const std::vector<Tlv>& parts) {
  auto scalar = FindTlv(parts, 6);
  if (!scalar || scalar->size() != FieldSize(algorithm)) {
    return absl::InvalidArgumentError("an EC key needs a scalar of the field's size");
  }
  std::unique_ptr<EC_GROUP, Freed<EC_GROUP_free>> group(EC_GROUP_new_by_curve_name(
      algorithm == Algorithm::kP256 ? NID_X9_62_prime256v1 : NID_secp384r1));
  std::unique_ptr<EC_POINT, Freed<EC_POINT_free>> point(EC_POINT_new(group.get()));
  NumberPtr number = Number(*scalar);
  std::string encoded(1 + 2 * FieldSize(algorithm), '\0');
  if (BN_is_zero(number.get()) || BN_cmp(number.get(), EC_GROUP_get0_order(group.get())) >= 0 ||
      !EC_POINT_mul(group.get(), point.get(), number.get(), nullptr, nullptr, nullptr) ||
      EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, U8(encoded),
                         encoded.size(), nullptr) != encoded.size()) {
    return absl::InvalidArgumentError("no scalar of that curve");
  }
  BuilderPtr builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, CurveName(algorithm),
                                  0);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get());
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, encoded.data(),
                                   encoded.size());
  return FromParams("EC", builder.get());
}

const EVP_CIPHER* BlockCipher(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kTripleDes:
      return EVP_des_ede3_ecb();
    case Algorithm::kAes128:
      return EVP_aes_128_ecb();
    case Algorithm::kAes192:
      return EVP_aes_192_ecb();
    case Algorithm::kAes256:
      return EVP_aes_256_ecb();
    default:
      return nullptr;
  }
}

}  // namespace

bool IsRsa(Algorithm a) {
  return a == Algorithm::kRsa1024 || a == Algorithm::kRsa2048 || a == Algorithm::kRsa3072 ||
         a == Algorithm::kRsa4096;
}
bool IsEc(Algorithm a) { return a == Algorithm::kP256 || a == Algorithm::kP384; }
bool IsKeyAlgorithm(Algorithm a) {
  return IsRsa(a) || IsEc(a) || a == Algorithm::kEd25519 || a == Algorithm::kX25519;
}

size_t FieldSize(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRsa1024:
      return 128;
    case Algorithm::kRsa2048:
      return 256;
    case Algorithm::kRsa3072:
      return 384;
    case Algorithm::kRsa4096:
      return 512;
    case Algorithm::kP384:
      return 48;
    default:
      return 32;
  }
}

absl::StatusOr<PkeyPtr> GenerateKey(Algorithm algorithm) {
  PkeyPtr key;
  if (IsRsa(algorithm)) {
    key.reset(EVP_RSA_gen(8 * FieldSize(algorithm)));
  } else if (IsEc(algorithm)) {
    key.reset(EVP_EC_gen(CurveName(algorithm)));
  } else {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr,
                                algorithm == Algorithm::kEd25519 ? "ED25519" : "X25519"));
  }
  if (key == nullptr) return Failed("key generation");
  return key;
}

absl::StatusOr<PkeyPtr> LoadKey(absl::string_view pkcs8) {
  const uint8_t* at = U8(pkcs8);
  PkeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(pkcs8.size())));
  if (key == nullptr) return absl::DataLossError("a private key in the card's state is damaged");
  return key;
}

Secret StoreKey(EVP_PKEY* key) {
  std::unique_ptr<PKCS8_PRIV_KEY_INFO, Freed<PKCS8_PRIV_KEY_INFO_free>> info(EVP_PKEY2PKCS8(key));
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der);
  Secret secret(std::string(reinterpret_cast<char*>(der), size));
  OPENSSL_clear_free(der, size);
  return secret;
}

absl::StatusOr<PkeyPtr> ImportKey(Algorithm algorithm, const std::vector<Tlv>& parts) {
  if (IsRsa(algorithm)) return ImportRsa(algorithm, parts);
  if (IsEc(algorithm)) return ImportEc(algorithm, parts);
  const bool signs = algorithm == Algorithm::kEd25519;
  auto raw = FindTlv(parts, signs ? 7 : 8);
  if (!raw || raw->size() != 32)
    return absl::InvalidArgumentError("a private key of 32 bytes is due");
  PkeyPtr key(EVP_PKEY_new_raw_private_key(signs ? EVP_PKEY_ED25519 : EVP_PKEY_X25519, nullptr,
                                           U8(*raw), raw->size()));
  if (key == nullptr) return absl::InvalidArgumentError("no private key");
  return key;
}

absl::StatusOr<std::string> PublicKeyObject(Algorithm algorithm, EVP_PKEY* key) {
  if (IsRsa(algorithm)) {
    BIGNUM *n = nullptr, *e = nullptr;
    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n);
    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e);
    NumberPtr modulus(n), exponent(e);
    if (n == nullptr || e == nullptr) return Failed("an RSA public key");
    std::string modulus_bytes(BN_num_bytes(n), '\0'), exponent_bytes(BN_num_bytes(e), '\0');
    BN_bn2bin(n, U8(modulus_bytes));
    BN_bn2bin(e, U8(exponent_bytes));
    return absl::StrCat(MakeTlv(0x81, modulus_bytes), MakeTlv(0x82, exponent_bytes));
  }
  std::string point(200, '\0');
  size_t size = 0;
  if (IsEc(algorithm)) {
    EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, U8(point), point.size(), &size);
  } else {
    size = point.size();
    if (EVP_PKEY_get_raw_public_key(key, U8(point), &size) <= 0) size = 0;
  }
  if (size == 0) return Failed("a public key");
  point.resize(size);
  return MakeTlv(0x86, point);
}

absl::StatusOr<std::string> UseKey(Algorithm algorithm, EVP_PKEY* key, absl::string_view input) {
  std::string output(std::max<size_t>(FieldSize(algorithm), 256), '\0');
  size_t size = output.size();
  if (algorithm == Algorithm::kEd25519) {
    std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
    if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) <= 0 ||
        EVP_DigestSign(context.get(), U8(output), &size, U8(input), input.size()) <= 0) {
      return Failed("Ed25519");
    }
    output.resize(size);
    return output;
  }
  if (algorithm == Algorithm::kX25519) return absl::InvalidArgumentError("this key does not sign");
  if (IsRsa(algorithm) ? input.size() != FieldSize(algorithm)
                       : input.empty() || input.size() > FieldSize(algorithm)) {
    return absl::InvalidArgumentError("the input does not fit the key");
  }
  ContextPtr context(EVP_PKEY_CTX_new(key, nullptr));
  if (IsRsa(algorithm)) {
    if (EVP_PKEY_decrypt_init(context.get()) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING) <= 0 ||
        EVP_PKEY_decrypt(context.get(), U8(output), &size, U8(input), input.size()) <= 0) {
      return absl::InvalidArgumentError("the number is not below the modulus");
    }
  } else if (EVP_PKEY_sign_init(context.get()) <= 0 ||
             EVP_PKEY_sign(context.get(), U8(output), &size, U8(input), input.size()) <= 0) {
    return Failed("ECDSA");
  }
  output.resize(size);
  return output;
}

absl::StatusOr<std::string> AgreeKey(Algorithm algorithm, EVP_PKEY* key, absl::string_view peer) {
  PkeyPtr other;
  if (algorithm == Algorithm::kX25519) {
    other.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, U8(peer), peer.size()));
  } else if (IsEc(algorithm)) {
    other.reset(EVP_PKEY_new());
    if (EVP_PKEY_copy_parameters(other.get(), key) <= 0 ||
        EVP_PKEY_set1_encoded_public_key(other.get(), U8(peer), peer.size()) <= 0) {
      other.reset();
    }
  }
  if (other == nullptr) return absl::InvalidArgumentError("no point of this key's curve");
  ContextPtr context(EVP_PKEY_CTX_new(key, nullptr));
  std::string shared(64, '\0');
  size_t size = shared.size();
  if (EVP_PKEY_derive_init(context.get()) <= 0 ||
      EVP_PKEY_derive_set_peer(context.get(), other.get()) <= 0 ||
      EVP_PKEY_derive(context.get(), U8(shared), &size) <= 0) {
    return absl::InvalidArgumentError("no agreement with that point");
  }
  shared.resize(size);
  return shared;
}

absl::StatusOr<std::string> CipherBlocks(Algorithm algorithm, absl::string_view key,
                                         absl::string_view in, bool encrypt) {
  const EVP_CIPHER* cipher = BlockCipher(algorithm);
  if (cipher == nullptr || key.size() != ManagementKeySize(algorithm) || in.empty() ||
      in.size() % BlockSize(algorithm) != 0) {
    return absl::InvalidArgumentError("no whole blocks");
  }
  std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>> context(EVP_CIPHER_CTX_new());
  std::string out(in.size() + 32, '\0');
  int size = 0;
  if (EVP_CipherInit_ex2(context.get(), cipher, U8(key), nullptr, encrypt, nullptr) <= 0 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) <= 0 ||
      EVP_CipherUpdate(context.get(), U8(out), &size, U8(in), static_cast<int>(in.size())) <= 0) {
    return Failed("a block cipher");
  }
  out.resize(size);
  return out;
}

size_t BlockSize(Algorithm algorithm) { return algorithm == Algorithm::kTripleDes ? 8 : 16; }

size_t ManagementKeySize(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kTripleDes:
    case Algorithm::kAes192:
      return 24;
    case Algorithm::kAes128:
      return 16;
    case Algorithm::kAes256:
      return 32;
    default:
      return 0;
  }
}

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  RAND_bytes(U8(bytes), static_cast<int>(size));
  return bytes;
}

}  // namespace forekey::piv
