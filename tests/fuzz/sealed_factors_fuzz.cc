// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
// What a client sealed, once it is open: the layout inside.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "src/wire/sealed_factors.h"
#include "src/wire/step_up.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto parsed = forekey::ParseFactors(bytes);
  // One form alone: what is read is written the same way.
  if (parsed.ok()) {
    auto again = forekey::SerializeFactors(*parsed, bytes.substr(0, 32));
    if (!again.ok() || again->view() != bytes) abort();
  }
  auto step_up = forekey::StepUp::Parse(bytes);
  if (step_up.ok() && step_up->Serialize() != bytes) abort();
  return 0;
}
