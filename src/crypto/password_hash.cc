// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/password_hash.h"

#include <sodium.h>

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

}  // namespace forekey
