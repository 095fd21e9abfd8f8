// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/table_hash.h"

#include <sodium/crypto_shorthash_siphash24.h>

#include "src/base/bytes.h"
#include "src/crypto/random.h"

namespace forekey {

static_assert(sizeof(TableHash::Value) == crypto_shorthash_siphashx24_BYTES);

TableHash::TableHash() : key_(RandomBytes(crypto_shorthash_siphashx24_KEYBYTES)) {}

TableHash::Value TableHash::operator()(absl::string_view bytes) const {
  Value value;
  crypto_shorthash_siphashx24(value.data(), U8(bytes), bytes.size(), U8(key_.view()));
  return value;
}

}  // namespace forekey
