// SPDX-License-Identifier: Apache-2.0
#include "simulators/fido2/token_crypto.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "simulators/fido2/cbor_item.h"
#include "simulators/fido2/config.h"
#include "src/base/bytes.h"

namespace forekey::fido2sim {
namespace {

template <auto Function>
struct FreeBy {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using MdContext = std::unique_ptr<EVP_MD_CTX, FreeBy<EVP_MD_CTX_free>>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeBy<EVP_PKEY_CTX_free>>;

std::string Number(EVP_PKEY* key, const char* name, int size) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string out(size > 0 ? size : BN_num_bytes(number), '\0');
  BN_bn2binpad(number, U8(out), static_cast<int>(out.size()));
  BN_free(number);
  return out;
}

const EVP_MD* HashOf(int algorithm) {
  return algorithm == kEdDsa ? nullptr : algorithm == kEs384 ? EVP_sha384() : EVP_sha256();
}

Secret Hkdf(absl::string_view input, absl::string_view info) {
  Secret extracted(HmacSha256Of(std::string(32, '\0'), input));
  return Secret(HmacSha256Of(extracted.view(), absl::StrCat(info, "\x01")));
}

}  // namespace

std::string Sha256Of(absl::string_view bytes) {
  std::string out(32, '\0');
  EVP_Digest(bytes.data(), bytes.size(), U8(out), nullptr, EVP_sha256(), nullptr);
  return out;
}

std::string HmacSha256Of(absl::string_view key, absl::string_view bytes) {
  std::string out(32, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), U8(bytes), bytes.size(), U8(out),
       nullptr);
  return out;
}

std::string RandomOf(size_t size) {
  std::string out(size, '\0');
  if (RAND_bytes(U8(out), static_cast<int>(size)) != 1) std::abort();
  return out;
}

std::string AesCbc(bool encrypt, absl::string_view key, absl::string_view iv,
                   absl::string_view bytes) {
  std::unique_ptr<EVP_CIPHER_CTX, FreeBy<EVP_CIPHER_CTX_free>> context(EVP_CIPHER_CTX_new());
  std::string out(bytes.size(), '\0');
  int size = 0;
  EVP_CipherInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, U8(key), U8(iv), encrypt);
  EVP_CIPHER_CTX_set_padding(context.get(), 0);
  EVP_CipherUpdate(context.get(), U8(out), &size, U8(bytes), static_cast<int>(bytes.size()));
  return out;
}

absl::StatusOr<TokenKey> TokenKey::Generate(int algorithm) {
  EVP_PKEY* key = algorithm == kEs256   ? EVP_EC_gen("P-256")
                  : algorithm == kEs384 ? EVP_EC_gen("P-384")
                  : algorithm == kEdDsa ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                  : algorithm == kRs256 ? EVP_RSA_gen(2048)
                                        : nullptr;
  if (key == nullptr)
    return absl::InternalError(absl::StrCat("no key for COSE algorithm ", algorithm));
  return TokenKey(algorithm, key);
}

absl::StatusOr<TokenKey> TokenKey::FromDer(int algorithm, absl::string_view der) {
  const uint8_t* data = U8(der);
  EVP_PKEY* key = d2i_AutoPrivateKey(nullptr, &data, static_cast<long>(der.size()));
  if (key == nullptr) return absl::InvalidArgumentError("a private key of the state can't be read");
  return TokenKey(algorithm, key);
}

Secret TokenKey::Der() const {
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key_.get(), &der);
  if (size <= 0) std::abort();
  Secret out = Secret::CopyOf(View(der, size));
  OPENSSL_clear_free(der, size);
  return out;
}

std::string TokenKey::Point() const {
  return absl::StrCat("\x04", Number(evp(), OSSL_PKEY_PARAM_EC_PUB_X, 32),
                      Number(evp(), OSSL_PKEY_PARAM_EC_PUB_Y, 32));
}

std::string TokenKey::Cose() const {
  const std::string alg = CborInt(algorithm_);
  if (algorithm_ == kEdDsa) {
    std::string x(32, '\0');
    size_t size = x.size();
    EVP_PKEY_get_raw_public_key(evp(), U8(x), &size);
    return CborMap({{CborInt(1), CborInt(1)},
                    {CborInt(3), alg},
                    {CborInt(-1), CborInt(6)},
                    {CborInt(-2), CborBytes(x)}});
  }
  if (algorithm_ == kRs256) {
    return CborMap({{CborInt(1), CborInt(3)},
                    {CborInt(3), alg},
                    {CborInt(-1), CborBytes(Number(evp(), OSSL_PKEY_PARAM_RSA_N, 0))},
                    {CborInt(-2), CborBytes(Number(evp(), OSSL_PKEY_PARAM_RSA_E, 0))}});
  }
  const int size = algorithm_ == kEs384 ? 48 : 32;
  return CborMap({{CborInt(1), CborInt(2)},
                  {CborInt(3), alg},
                  {CborInt(-1), CborInt(algorithm_ == kEs384 ? 2 : 1)},
                  {CborInt(-2), CborBytes(Number(evp(), OSSL_PKEY_PARAM_EC_PUB_X, size))},
                  {CborInt(-3), CborBytes(Number(evp(), OSSL_PKEY_PARAM_EC_PUB_Y, size))}});
}

std::string TokenKey::Sign(absl::string_view message) const {
  MdContext context(EVP_MD_CTX_new());
  size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, HashOf(algorithm_), nullptr, evp()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, U8(message), message.size()) != 1) {
    std::abort();
  }
  std::string out(size, '\0');
  if (EVP_DigestSign(context.get(), U8(out), &size, U8(message), message.size()) != 1) std::abort();
  out.resize(size);
  return out;
}

std::optional<Secret> TokenKey::Agree(absl::string_view x, absl::string_view y) const {
  if (x.size() != 32 || y.size() != 32) return std::nullopt;
  std::string point = absl::StrCat("\x04", x, y);
  char group[] = "P-256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  PkeyContext maker(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* raw = nullptr;
  if (EVP_PKEY_fromdata_init(maker.get()) != 1 ||
      EVP_PKEY_fromdata(maker.get(), &raw, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    return std::nullopt;
  }
  std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>> peer(raw);
  PkeyContext derive(EVP_PKEY_CTX_new(evp(), nullptr));
  std::string out(32, '\0');
  size_t size = out.size();
  if (EVP_PKEY_derive_init(derive.get()) != 1 ||
      EVP_PKEY_derive_set_peer(derive.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(derive.get(), U8(out), &size) != 1) {
    return std::nullopt;
  }
  return Secret(std::move(out));
}

PinSecret::PinSecret(int protocol, absl::string_view agreed) : protocol_(protocol) {
  if (protocol == 1) {
    hmac_key_ = Secret(Sha256Of(agreed));
    aes_key_ = hmac_key_.Clone();
  } else {
    hmac_key_ = Hkdf(agreed, "CTAP2 HMAC key");
    aes_key_ = Hkdf(agreed, "CTAP2 AES key");
  }
}

std::string PinSecret::Encrypt(absl::string_view plaintext) const {
  if (protocol_ == 1) return AesCbc(true, aes_key_.view(), std::string(16, '\0'), plaintext);
  const std::string iv = RandomOf(16);
  return iv + AesCbc(true, aes_key_.view(), iv, plaintext);
}

std::optional<Secret> PinSecret::Decrypt(absl::string_view ciphertext) const {
  std::string iv(16, '\0');
  if (protocol_ == 2) {
    if (ciphertext.size() < 16) return std::nullopt;
    iv = std::string(ciphertext.substr(0, 16));
    ciphertext.remove_prefix(16);
  }
  if (ciphertext.empty() || ciphertext.size() % 16 != 0) return std::nullopt;
  return Secret(AesCbc(false, aes_key_.view(), iv, ciphertext));
}

bool PinSecret::Verify(absl::string_view message, absl::string_view signature) const {
  return VerifyPinAuth(protocol_, hmac_key_.view(), message, signature);
}

std::string PinSecret::Authenticate(absl::string_view message) const {
  std::string out = HmacSha256Of(hmac_key_.view(), message);
  if (protocol_ == 1) out.resize(16);
  return out;
}

bool VerifyPinAuth(int protocol, absl::string_view key, absl::string_view message,
                   absl::string_view signature) {
  std::string expected = HmacSha256Of(key, message);
  if (protocol == 1) expected.resize(16);
  return ConstantTimeEqual(expected, signature);
}

}  // namespace forekey::fido2sim
