// SPDX-License-Identifier: Apache-2.0
// deps: forekey_crypto
// What PublicKey::FromSpki accepts is a key's one encoding, and verifying with it is safe.
#include <openssl/err.h>

#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/crypto/public_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  auto key = forekey::PublicKey::FromSpki(bytes);
  if (ERR_peek_error() != 0) std::abort();
  if (!key.ok()) return 0;
  if (key->spki() != bytes) std::abort();
  auto again = forekey::PublicKey::FromEvp(key->evp());
  if (!again.ok() || again->spki() != bytes) std::abort();
  if (key->Verify("message", bytes).ok() || ERR_peek_error() != 0) std::abort();
  return 0;
}
