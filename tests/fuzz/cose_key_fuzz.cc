// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
// COSE keys, from strict CBOR and as the browser writes those of U2F tokens.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/wire/cose_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = forekey::View(data, size);
  const auto key = forekey::CoseKey::Parse(input);
  // What parses is a key that can be stored and read back.
  if (key.ok() && !forekey::PublicKey::FromSpki(key->key.spki()).ok()) std::abort();
  forekey::CborOptions any_order;
  any_order.canonical_order = false;
  const auto map = forekey::CborValue::Parse(input, any_order);
  if (map.ok()) (void)forekey::CoseKey::FromCbor(*map, {.from_u2f = true});
  return 0;
}
