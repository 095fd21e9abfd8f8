// SPDX-License-Identifier: Apache-2.0
// deps: forekey_hw_fido2
// A key reference that parses is written back as itself.
#include <cstdlib>

#include "hw/fido2/fido_key_file.h"
#include "src/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto key = forekey::ParseFidoKeyFile(forekey::View(data, size));
  if (!key.ok()) return 0;
  const auto again = forekey::ParseFidoKeyFile(forekey::SerializeFidoKeyFile(*key));
  if (!again.ok() || again->credential_id != key->credential_id || again->spki != key->spki ||
      again->rp_id != key->rp_id || again->aaguid != key->aaguid ||
      again->device_uri != key->device_uri) {
    abort();
  }
  return 0;
}
