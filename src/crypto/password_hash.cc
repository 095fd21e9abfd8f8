// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/password_hash.h"

#include <sodium.h>

#include <string>
#include <utility>

namespace forekey {

absl::StatusOr<std::string> HashPassword(const Secret& password, size_t memory_bytes,
                                         size_t passes) {
  if (sodium_init() < 0) return absl::InternalError("libsodium does not start");
  char hash[crypto_pwhash_STRBYTES];
  if (crypto_pwhash_str_alg(hash, password.view().data(), password.size(), passes, memory_bytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return absl::ResourceExhaustedError("no memory to hash the password with");
  }
  return std::string(hash);
}

bool PasswordMatches(const std::string& hash, const Secret& password) {
  return sodium_init() >= 0 && hash.size() < crypto_pwhash_STRBYTES &&
         crypto_pwhash_str_verify(hash.c_str(), password.view().data(), password.size()) == 0;
}

absl::StatusOr<Secret> KeyFromPassphrase(const Secret& passphrase, absl::string_view salt) {
  static_assert(kPassphraseSaltSize == crypto_pwhash_SALTBYTES);
  constexpr size_t kKeySize = 32, kMemory = size_t{256} << 20, kPasses = 3;
  if (salt.size() != kPassphraseSaltSize) return absl::InvalidArgumentError("a salt has 16 bytes");
  if (sodium_init() < 0) return absl::InternalError("libsodium does not start");
  std::string key(kKeySize, '\0');
  if (crypto_pwhash(reinterpret_cast<unsigned char*>(key.data()), key.size(),
                    passphrase.view().data(), passphrase.size(),
                    reinterpret_cast<const unsigned char*>(salt.data()), kPasses, kMemory,
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return absl::ResourceExhaustedError("no memory (256 MiB) to make a key of the passphrase");
  }
  return Secret(std::move(key));
}

}  // namespace forekey
