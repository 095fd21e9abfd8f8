// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
#include "src/base/bytes.h"
#include "src/wire/tpm_signature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)forekey::TpmSignature::Parse(forekey::View(data, size));
  return 0;
}
