// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/key_agreement.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <utility>

#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/crypto/random.h"

namespace forekey {
namespace {

constexpr size_t kAeadKeySize = 32;
constexpr size_t kNonceSize = 12;
constexpr size_t kTagSize = 16;

using KdfCtxPtr = std::unique_ptr<EVP_KDF_CTX, OpenSslFree<EVP_KDF_CTX_free>>;

OSSL_PARAM OctetParam(const char* name, absl::string_view bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(bytes.data()), bytes.size());
}

const EVP_CIPHER* Aes256Gcm() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  OrDie(cipher != nullptr, "EVP_CIPHER_fetch");
  return cipher;
}

}  // namespace

X25519PrivateKey::X25519PrivateKey(EvpPkeyPtr key)
    : key_(std::move(key)), public_key_(kX25519Size, '\0') {
  size_t size = kX25519Size;
  OrDie(EVP_PKEY_get_raw_public_key(key_.get(), U8(public_key_), &size) == 1 && size == kX25519Size,
        "EVP_PKEY_get_raw_public_key");
}

X25519PrivateKey X25519PrivateKey::Generate() {
  EvpPkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  OrDie(key != nullptr, "EVP_PKEY_Q_keygen(X25519)");
  return X25519PrivateKey(std::move(key));
}

absl::StatusOr<X25519PrivateKey> X25519PrivateKey::FromRaw(absl::string_view raw) {
  if (raw.size() != kX25519Size) return absl::InvalidArgumentError("an X25519 key has 32 bytes");
  EvpPkeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, U8(raw), raw.size()));
  if (key == nullptr) return OpenSslError("EVP_PKEY_new_raw_private_key");
  return X25519PrivateKey(std::move(key));
}

Secret X25519PrivateKey::Raw() const {
  std::string raw(kX25519Size, '\0');
  size_t size = raw.size();
  OrDie(EVP_PKEY_get_raw_private_key(key_.get(), U8(raw), &size) == 1 && size == kX25519Size,
        "EVP_PKEY_get_raw_private_key");
  return Secret(std::move(raw));
}

absl::StatusOr<Secret> X25519PrivateKey::Agree(absl::string_view peer_public) const {
  if (peer_public.size() != kX25519Size) {
    return Refuse(Reason::kKeyShareInvalid, "an X25519 key share has 32 bytes");
  }
  EvpPkeyPtr peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, U8(peer_public), peer_public.size()));
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  std::string shared(kX25519Size, '\0');
  size_t size = shared.size();
  if (peer == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1) {
    return OpenSslError("EVP_PKEY_derive_init");
  }
  // OpenSSL refuses an all-zero result by itself; the comparison does not lean on that.
  bool derived = EVP_PKEY_derive(context.get(), U8(shared), &size) == 1 && size == kX25519Size;
  static const std::string* const zero = new std::string(kX25519Size, '\0');
  Secret secret(std::move(shared));
  if (!derived || ConstantTimeEqual(secret.view(), *zero)) {
    ERR_clear_error();
    return Refuse(Reason::kKeyShareInvalid, "the key share is of small order");
  }
  return secret;
}

Secret HkdfSha256(absl::string_view key, absl::string_view salt, absl::string_view info,
                  size_t size) {
  static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  OrDie(kdf != nullptr, "EVP_KDF_fetch(HKDF)");
  KdfCtxPtr context(EVP_KDF_CTX_new(kdf));
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
      OctetParam(OSSL_KDF_PARAM_KEY, key),
      OctetParam(OSSL_KDF_PARAM_SALT, salt),
      OctetParam(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end(),
  };
  std::string out(size, '\0');
  OrDie(context != nullptr && EVP_KDF_derive(context.get(), U8(out), out.size(), params) == 1,
        "EVP_KDF_derive(HKDF)");
  return Secret(std::move(out));
}

std::string AeadSeal(const Secret& key, absl::string_view plain, absl::string_view associated) {
  OrDie(key.size() == kAeadKeySize, "AeadSeal: an AES-256 key has 32 bytes");
  std::string sealed = RandomBytes(kNonceSize);
  sealed.resize(kNonceSize + plain.size() + kTagSize);
  uint8_t* body = U8(sealed) + kNonceSize;
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  int length = 0;
  OrDie(context != nullptr &&
            EVP_EncryptInit_ex2(context.get(), Aes256Gcm(), U8(key.view()), U8(sealed), nullptr) ==
                1 &&
            EVP_EncryptUpdate(context.get(), nullptr, &length, U8(associated),
                              static_cast<int>(associated.size())) == 1 &&
            EVP_EncryptUpdate(context.get(), body, &length, U8(plain),
                              static_cast<int>(plain.size())) == 1 &&
            EVP_EncryptFinal_ex(context.get(), body + plain.size(), &length) == 1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize,
                                body + plain.size()) == 1,
        "AES-256-GCM encrypt");
  return sealed;
}

absl::StatusOr<Secret> AeadOpen(const Secret& key, absl::string_view sealed,
                                absl::string_view associated) {
  OrDie(key.size() == kAeadKeySize, "AeadOpen: an AES-256 key has 32 bytes");
  if (sealed.size() < kNonceSize + kTagSize) {
    return absl::InvalidArgumentError("sealed bytes are too short");
  }
  absl::string_view nonce = sealed.substr(0, kNonceSize);
  absl::string_view body = sealed.substr(kNonceSize, sealed.size() - kNonceSize - kTagSize);
  std::string tag(sealed.substr(sealed.size() - kTagSize));
  std::string plain(body.size(), '\0');
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  int length = 0;
  OrDie(context != nullptr &&
            EVP_DecryptInit_ex2(context.get(), Aes256Gcm(), U8(key.view()), U8(nonce), nullptr) ==
                1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, tag.data()) == 1,
        "AES-256-GCM decrypt");
  uint8_t final_block[16];
  bool opened = EVP_DecryptUpdate(context.get(), nullptr, &length, U8(associated),
                                  static_cast<int>(associated.size())) == 1 &&
                EVP_DecryptUpdate(context.get(), U8(plain), &length, U8(body),
                                  static_cast<int>(body.size())) == 1 &&
                EVP_DecryptFinal_ex(context.get(), final_block, &length) == 1;
  Secret secret(std::move(plain));  // wiped when it did not open: unauthenticated bytes
  if (!opened) {
    ERR_clear_error();
    return absl::InvalidArgumentError("sealed bytes do not open");
  }
  return secret;
}

}  // namespace forekey
