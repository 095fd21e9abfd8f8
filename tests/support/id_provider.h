// SPDX-License-Identifier: Apache-2.0
// An identity provider's half of JOSE for tests, by OpenSSL alone: it shares no encoder with what
// verifies. Everything in a token can be wrong on purpose.
#ifndef FOREKEY_TESTS_SUPPORT_ID_PROVIDER_H_
#define FOREKEY_TESTS_SUPPORT_ID_PROVIDER_H_

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/base/bytes.h"
#include "src/crypto/openssl.h"
#include "tests/support/certificate_maker.h"

namespace forekey::testing {

// One signing key with its name.
struct IdpKey {
  std::string kid;
  std::string alg;
  std::shared_ptr<EVP_PKEY> key;

  static IdpKey New(std::string kid, std::string alg) {
    std::shared_ptr<EVP_PKEY> key =
        alg == "ES256"   ? NewEcKey("P-256")
        : alg == "ES384" ? NewEcKey("P-384")
        : alg == "ES512" ? NewEcKey("P-521")
        : alg == "EdDSA" ? std::shared_ptr<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"),
                                                     EVP_PKEY_free)
                         : NewRsaKey(2048);
    return {std::move(kid), std::move(alg), std::move(key)};
  }

  bool ed25519() const { return EVP_PKEY_is_a(key.get(), "ED25519") == 1; }
  bool rsa() const { return EVP_PKEY_is_a(key.get(), "RSA") == 1; }
  size_t coordinate() const { return (static_cast<size_t>(EVP_PKEY_get_bits(key.get())) + 7) / 8; }

  // Big-endian, base64url; of at least `size` bytes.
  std::string Number(const char* name, size_t size = 0) const {
    BIGNUM* number = nullptr;
    if (EVP_PKEY_get_bn_param(key.get(), name, &number) != 1) std::abort();
    std::string bytes(std::max(size, static_cast<size_t>(BN_num_bytes(number))), '\0');
    BN_bn2binpad(number, U8(bytes), static_cast<int>(bytes.size()));
    BN_free(number);
    return absl::WebSafeBase64Escape(bytes);
  }

  nlohmann::json Jwk() const {
    nlohmann::json jwk = {{"kid", kid}, {"use", "sig"}, {"alg", alg}};
    if (rsa()) {
      jwk.update({{"kty", "RSA"},
                  {"n", Number(OSSL_PKEY_PARAM_RSA_N)},
                  {"e", Number(OSSL_PKEY_PARAM_RSA_E)}});
    } else if (ed25519()) {
      std::string x(32, '\0');
      size_t size = x.size();
      if (EVP_PKEY_get_raw_public_key(key.get(), U8(x), &size) != 1) std::abort();
      jwk.update({{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", absl::WebSafeBase64Escape(x)}});
    } else {
      const size_t size = coordinate();
      jwk.update({{"kty", "EC"},
                  {"crv", size == 32   ? "P-256"
                          : size == 48 ? "P-384"
                                       : "P-521"},
                  {"x", Number(OSSL_PKEY_PARAM_EC_PUB_X, size)},
                  {"y", Number(OSSL_PKEY_PARAM_EC_PUB_Y, size)}});
    }
    return jwk;
  }

  // The signature's bytes as RFC 7518 has them, by the algorithm of that name.
  std::string Sign(const std::string& algorithm, const std::string& input) const {
    const std::string digits = algorithm.substr(2);
    const EVP_MD* md = ed25519()         ? nullptr
                       : digits == "384" ? EVP_sha384()
                       : digits == "512" ? EVP_sha512()
                                         : EVP_sha256();
    EvpMdCtxPtr context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* settings = nullptr;
    if (EVP_DigestSignInit(context.get(), &settings, md, nullptr, key.get()) != 1) std::abort();
    if (algorithm[0] == 'P') {
      EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING);
      EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST);
    }
    std::string signature(1024, '\0');
    size_t size = signature.size();
    if (EVP_DigestSign(context.get(), U8(signature), &size, U8(input), input.size()) != 1)
      std::abort();
    signature.resize(size);
    if (rsa() || ed25519()) return signature;
    const uint8_t* at = U8(absl::string_view(signature));
    EcdsaSigPtr parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
    const int half = static_cast<int>(coordinate());
    std::string raw(2 * half, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), U8(raw), half);
    BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), U8(raw) + half, half);
    return raw;
  }
};

inline std::string JwksOf(const std::vector<IdpKey>& keys) {
  nlohmann::json list = nlohmann::json::array();
  for (const IdpKey& key : keys) list.push_back(key.Jwk());
  return nlohmann::json{{"keys", list}}.dump();
}

// header.claims, both as they are given.
inline std::string SigningInput(const std::string& header, const std::string& claims) {
  return absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(claims));
}

inline std::string WithSignature(const std::string& input, const std::string& signature) {
  return absl::StrCat(input, ".", absl::WebSafeBase64Escape(signature));
}

inline std::string MakeJwt(const IdpKey& key, const nlohmann::json& header,
                           const std::string& claims) {
  const std::string input = SigningInput(header.dump(), claims);
  return WithSignature(input, key.Sign(key.alg, input));
}

inline std::string MakeJwt(const IdpKey& key, const nlohmann::json& claims) {
  return MakeJwt(key, {{"alg", key.alg}, {"kid", key.kid}, {"typ", "JWT"}}, claims.dump());
}

// What an honest provider says at `now`.
inline nlohmann::json HonestClaims(const std::string& issuer, const std::string& client,
                                   const std::string& subject, const std::string& nonce,
                                   absl::Time now) {
  return {{"iss", issuer},
          {"aud", client},
          {"sub", subject},
          {"nonce", nonce},
          {"iat", absl::ToUnixSeconds(now)},
          {"exp", absl::ToUnixSeconds(now) + 600}};
}

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_SUPPORT_ID_PROVIDER_H_
