// SPDX-License-Identifier: Apache-2.0
// deps: forekey_hw_tpm
// A key reference that parses is written back as itself, whatever stood around it.
#include <cstdlib>
#include <string>

#include "hw/tpm/key_file.h"
#include "hw/tpm/tpm_key.h"
#include "src/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto key = forekey::ParseKeyFile(forekey::View(data, size));
  if (!key.ok()) return 0;
  auto text = forekey::SerializeKeyFile(*key);
  if (!text.ok()) abort();
  auto again = forekey::ParseKeyFile(*text);
  if (!again.ok() || again->public_area != key->public_area ||
      again->private_area != key->private_area || again->parent != key->parent ||
      again->device_uri != key->device_uri) {
    abort();
  }
  forekey::TpmKey::New(nullptr, *key, forekey::Secret()).status().IgnoreError();
  return 0;
}
