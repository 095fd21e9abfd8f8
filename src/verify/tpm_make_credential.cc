// SPDX-License-Identifier: Apache-2.0
#include "src/verify/tpm_make_credential.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/openssl.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

using EvpKdfPtr = std::unique_ptr<EVP_KDF, OpenSslFree<EVP_KDF_free>>;
using EvpKdfCtxPtr = std::unique_ptr<EVP_KDF_CTX, OpenSslFree<EVP_KDF_CTX_free>>;

// Part 1 §24: the labels. As OAEP's label and in KDFe "IDENTITY" has its terminating zero.
constexpr absl::string_view kIdentity("IDENTITY\0", 9);
constexpr absl::string_view kStorage = "STORAGE";
constexpr absl::string_view kIntegrity = "INTEGRITY";

OSSL_PARAM Octets(const char* name, absl::string_view bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(bytes.data()), bytes.size());
}
OSSL_PARAM Text(const char* name, const char* text) {
  return OSSL_PARAM_construct_utf8_string(name, const_cast<char*>(text), 0);
}

absl::StatusOr<Secret> Derive(const char* kdf_name, const std::vector<OSSL_PARAM>& params,
                              size_t size) {
  EvpKdfPtr kdf(EVP_KDF_fetch(nullptr, kdf_name, nullptr));
  EvpKdfCtxPtr context(EVP_KDF_CTX_new(kdf.get()));
  std::string key(size, '\0');
  if (context == nullptr || EVP_KDF_derive(context.get(), U8(key), size, params.data()) != 1) {
    return OpenSslError("EVP_KDF_derive");
  }
  return Secret(std::move(key));
}

// KDFa (Part 1 §11.4.10.2): SP 800-108 in counter mode with HMAC; `context` is contextU, and
// contextV is empty in credential protection.
absl::StatusOr<Secret> KdfA(const EVP_MD* md, const Secret& key, absl::string_view label,
                            absl::string_view context, size_t size) {
  return Derive("KBKDF",
                {Text(OSSL_KDF_PARAM_MODE, "counter"), Text(OSSL_KDF_PARAM_MAC, "HMAC"),
                 Text(OSSL_KDF_PARAM_DIGEST, EVP_MD_get0_name(md)),
                 Octets(OSSL_KDF_PARAM_KEY, key.view()), Octets(OSSL_KDF_PARAM_SALT, label),
                 Octets(OSSL_KDF_PARAM_INFO, context), OSSL_PARAM_construct_end()},
                size);
}

// KDFe (Part 1 §11.4.10.3): SP 800-56A's concatenation KDF over Z and both x coordinates.
absl::StatusOr<Secret> KdfE(const EVP_MD* md, const Secret& z, absl::string_view ephemeral_x,
                            absl::string_view ek_x, size_t size) {
  const std::string info = absl::StrCat(kIdentity, ephemeral_x, ek_x);
  return Derive(
      "SSKDF",
      {Text(OSSL_KDF_PARAM_DIGEST, EVP_MD_get0_name(md)), Octets(OSSL_KDF_PARAM_KEY, z.view()),
       Octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()},
      size);
}

struct Seed {
  Secret seed;
  std::string encrypted;  // the content of TPM2B_ENCRYPTED_SECRET
};

// Annex B.10.3: the seed, of nameAlg's size, under OAEP with nameAlg and the label "IDENTITY\0".
absl::StatusOr<Seed> RsaSeed(EVP_PKEY* ek, const EVP_MD* md) {
  Secret seed(RandomBytes(EVP_MD_get_size(md)));
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(ek, nullptr));
  void* label = OPENSSL_memdup(kIdentity.data(), kIdentity.size());
  if (context == nullptr || label == nullptr || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), md) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), md) != 1 ||
      EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), label, kIdentity.size()) != 1) {
    OPENSSL_free(label);
    return OpenSslError("EVP_PKEY_encrypt_init");
  }
  std::string encrypted(EVP_PKEY_get_size(ek), '\0');
  size_t size = encrypted.size();
  if (EVP_PKEY_encrypt(context.get(), U8(encrypted), &size, U8(seed.view()), seed.size()) != 1) {
    return OpenSslError("EVP_PKEY_encrypt");
  }
  encrypted.resize(size);
  return Seed{std::move(seed), std::move(encrypted)};
}

// Annex C.6.4: a one-pass ECDH with a fresh key. Coordinates are padded to the field's size.
absl::StatusOr<Seed> EccSeed(const TpmPublic& ek, EVP_PKEY* ek_key, const EVP_MD* md) {
  const char* group = ek.curve() == tpm::kCurveP256 ? "P-256" : "P-384";
  const size_t field = ek.x().size();
  EvpPkeyPtr ephemeral(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", group));
  if (ephemeral == nullptr) return OpenSslError("EVP_PKEY_Q_keygen");
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(ephemeral.get(), nullptr));
  std::string shared(field, '\0');
  size_t size = shared.size();
  if (context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), ek_key) != 1 ||
      EVP_PKEY_derive(context.get(), U8(shared), &size) != 1 || size != field) {
    return OpenSslError("EVP_PKEY_derive");
  }
  Secret z(std::move(shared));
  std::string point(1 + 2 * field, '\0');
  if (EVP_PKEY_get_octet_string_param(ephemeral.get(), OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                      U8(point), point.size(), &size) != 1 ||
      size != point.size()) {
    return OpenSslError("EVP_PKEY_get_octet_string_param");
  }
  const absl::string_view x = absl::string_view(point).substr(1, field);
  const absl::string_view y = absl::string_view(point).substr(1 + field);
  FOREKEY_ASSIGN_OR_RETURN(Secret seed, KdfE(md, z, x, ek.x(), EVP_MD_get_size(md)));
  ByteWriter encrypted;
  encrypted.Len2(x).Len2(y);
  return Seed{std::move(seed), std::move(encrypted).bytes()};
}

// AES-CFB with a zero IV: the key is used once.
absl::StatusOr<std::string> EncryptCfb(const Secret& key, absl::string_view plain) {
  const EVP_CIPHER* cipher = key.size() == 16   ? EVP_aes_128_cfb128()
                             : key.size() == 24 ? EVP_aes_192_cfb128()
                                                : EVP_aes_256_cfb128();
  const std::string iv(16, '\0');
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  std::string encrypted(plain.size(), '\0');
  int size = 0;
  if (context == nullptr ||
      EVP_EncryptInit_ex(context.get(), cipher, nullptr, U8(key.view()),
                         U8(absl::string_view(iv))) != 1 ||
      EVP_EncryptUpdate(context.get(), U8(encrypted), &size, U8(plain),
                        static_cast<int>(plain.size())) != 1) {
    return OpenSslError("EVP_EncryptUpdate");
  }
  return encrypted;
}

}  // namespace

absl::StatusOr<TpmCredential> MakeCredential(const TpmPublic& ek, absl::string_view ak_name,
                                             const Secret& secret) {
  const EVP_MD* md = tpm::HashOf(ek.name_algorithm());
  const TpmPublic::Symmetric& symmetric = ek.symmetric();
  if (md == nullptr || symmetric.algorithm != tpm::kAlgAes || symmetric.mode != tpm::kAlgCfb ||
      (symmetric.key_bits != 128 && symmetric.key_bits != 192 && symmetric.key_bits != 256)) {
    return Refuse(Reason::kEkUnsupported, "the EK's protection is not AES-CFB");
  }
  const size_t digest_size = EVP_MD_get_size(md);
  if (secret.empty() || secret.size() > digest_size) {
    return absl::InvalidArgumentError("the secret is empty or larger than the EK's nameAlg");
  }
  if (ak_name.empty()) return absl::InvalidArgumentError("the AK's Name is empty");

  FOREKEY_ASSIGN_OR_RETURN(PublicKey ek_key, ek.Key());
  FOREKEY_ASSIGN_OR_RETURN(Seed seed,
                           ek.is_rsa() ? RsaSeed(ek_key.evp(), md) : EccSeed(ek, ek_key.evp(), md));
  FOREKEY_ASSIGN_OR_RETURN(Secret aes_key,
                           KdfA(md, seed.seed, kStorage, ak_name, symmetric.key_bits / 8));
  FOREKEY_ASSIGN_OR_RETURN(Secret mac_key, KdfA(md, seed.seed, kIntegrity, "", digest_size));
  const char length[2] = {0, static_cast<char>(secret.size())};
  const Secret framed(absl::StrCat(absl::string_view(length, 2), secret.view()));  // TPM2B_DIGEST
  FOREKEY_ASSIGN_OR_RETURN(std::string encrypted, EncryptCfb(aes_key, framed.view()));

  const std::string covered = absl::StrCat(encrypted, ak_name);
  std::string integrity(digest_size, '\0');
  size_t size = 0;
  if (EVP_Q_mac(nullptr, "HMAC", nullptr, EVP_MD_get0_name(md), nullptr, U8(mac_key.view()),
                mac_key.size(), U8(absl::string_view(covered)), covered.size(), U8(integrity),
                integrity.size(), &size) == nullptr) {
    return OpenSslError("EVP_Q_mac");
  }
  ByteWriter id_object;
  id_object.Len2(integrity).Raw(encrypted);
  TpmCredential result;
  result.credential_blob = ByteWriter().Len2(id_object.bytes()).bytes();
  result.encrypted_secret = ByteWriter().Len2(seed.encrypted).bytes();
  return result;
}

}  // namespace forekey
