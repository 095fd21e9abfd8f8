// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_session
// What parses is serialized to the same bytes.
#include <stdlib.h>

#include "absl/strings/string_view.h"
#include "src/gate/session/identity_seal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto parsed = forekey::SealedIdentity::Parse(bytes);
  if (parsed.ok() && parsed->Serialize() != bytes) abort();
  return 0;
}
