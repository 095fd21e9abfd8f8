// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/random.h"

#include <openssl/rand.h>

#include "src/base/bytes.h"
#include "src/crypto/openssl.h"

namespace forekey {

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  OrDie(RAND_bytes(U8(bytes), static_cast<int>(size)) == 1, "RAND_bytes");
  return bytes;
}

}  // namespace forekey
