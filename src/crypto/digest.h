// SPDX-License-Identifier: Apache-2.0
// Hashes, and HMAC-SHA256 with its key schedule done once.
#ifndef FOREKEY_SRC_CRYPTO_DIGEST_H_
#define FOREKEY_SRC_CRYPTO_DIGEST_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace forekey {

inline constexpr size_t kSha256Size = 32;

std::string Sha1(absl::string_view data);
std::string Sha256(absl::string_view data);
std::string Sha384(absl::string_view data);
std::string Sha512(absl::string_view data);

// HMAC-SHA256 (RFC 2104) under one key. The two key blocks are compressed once, at construction, so
// that a MAC of a short message costs its own blocks alone; this object is 64 bytes, allocates
// nothing, and is wiped when it goes. Mac() is const and safe from any thread.
class HmacSha256 {
 public:
  // Keys over 64 bytes are hashed first, as the RFC says.
  explicit HmacSha256(absl::string_view key);
  ~HmacSha256();
  HmacSha256(const HmacSha256&) = default;
  HmacSha256& operator=(const HmacSha256&) = default;

  // The 32-byte MAC of the parts, one after the other.
  std::array<uint8_t, kSha256Size> Mac(absl::Span<const absl::string_view> parts) const;
  // True when `mac` (1 to 32 bytes) is the beginning of Mac(parts); constant time.
  bool Matches(absl::Span<const absl::string_view> parts, absl::string_view mac) const;

 private:
  std::array<uint32_t, 8> inner_;
  std::array<uint32_t, 8> outer_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_DIGEST_H_
