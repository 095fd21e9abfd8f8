// SPDX-License-Identifier: Apache-2.0
// Argon2id (RFC 9106) by libsodium, as a string that holds salt and parameters.
#ifndef FOREKEY_SRC_CRYPTO_PASSWORD_HASH_H_
#define FOREKEY_SRC_CRYPTO_PASSWORD_HASH_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

// ResourceExhausted where the memory can't be had.
absl::StatusOr<std::string> HashPassword(const Secret& password, size_t memory_bytes,
                                         size_t passes);
// False also for a hash that does not parse. Takes the time and memory that the hash says.
bool PasswordMatches(const std::string& hash, const Secret& password);

// A key of 32 bytes out of a passphrase, for what is sealed and carried: 256 MiB and 3 passes,
// which are fixed, so that no file says what its opening costs. ResourceExhausted where the memory
// can't be had; InvalidArgument for another size of the salt.
inline constexpr size_t kPassphraseSaltSize = 16;
absl::StatusOr<Secret> KeyFromPassphrase(const Secret& passphrase, absl::string_view salt);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_PASSWORD_HASH_H_
