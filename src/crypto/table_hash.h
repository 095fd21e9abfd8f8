// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 of 128 bits (Aumasson and Bernstein, 2012) under a random key of its own.
#ifndef FOREKEY_SRC_CRYPTO_TABLE_HASH_H_
#define FOREKEY_SRC_CRYPTO_TABLE_HASH_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/base/secret.h"

namespace forekey {

// For tables whose keys strangers choose: nobody who does not know the key makes two of them meet.
// It stays in the process: what others check is MACed with HmacSha256. Safe from any thread.
class TableHash {
 public:
  using Value = std::array<uint8_t, 16>;
  TableHash();
  Value operator()(absl::string_view bytes) const;

 private:
  const Secret key_;  // 16 bytes
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_TABLE_HASH_H_
