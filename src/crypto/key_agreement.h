// SPDX-License-Identifier: Apache-2.0
// X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), and sealing of bytes: what sessions, the gate identity
// and enrolment tickets are made of.
#ifndef FOREKEY_SRC_CRYPTO_KEY_AGREEMENT_H_
#define FOREKEY_SRC_CRYPTO_KEY_AGREEMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"
#include "src/crypto/openssl.h"

namespace forekey {

inline constexpr size_t kX25519Size = 32;

class X25519PrivateKey {
 public:
  static X25519PrivateKey Generate();
  // `raw`: 32 bytes. InvalidArgument for any other size.
  static absl::StatusOr<X25519PrivateKey> FromRaw(absl::string_view raw);

  const std::string& public_key() const { return public_key_; }  // 32 bytes
  Secret Raw() const;
  // 32 bytes. Refuses (Reason::kKeyShareInvalid) a peer key of another size, and one whose result
  // is all zero (RFC 7748 §6.1).
  absl::StatusOr<Secret> Agree(absl::string_view peer_public) const;

 private:
  explicit X25519PrivateKey(EvpPkeyPtr key);
  EvpPkeyPtr key_;
  std::string public_key_;
};

// `size`: at most 255 * 32 bytes; `info`: at most 1024 (OpenSSL 3.0's bound), `key` not empty.
// Beyond that it ends the process: all three are the protocol's, never a peer's.
Secret HkdfSha256(absl::string_view key, absl::string_view salt, absl::string_view info,
                  size_t size);

// AES-256-GCM with a random 12-byte nonce before and a 16-byte tag behind: 28 bytes longer than
// `plain`. For at most 2^32 seals a key. `key`: 32 bytes.
std::string AeadSeal(const Secret& key, absl::string_view plain, absl::string_view associated);
// InvalidArgument when it does not open.
absl::StatusOr<Secret> AeadOpen(const Secret& key, absl::string_view sealed,
                                absl::string_view associated);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_KEY_AGREEMENT_H_
