// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/wire/authenticator_data.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = forekey::View(data, size);
  const auto parsed = forekey::AuthenticatorData::Parse(input);
  if (parsed.ok()) {
    // Flags announce exactly what there is.
    if (parsed->flags.at() != parsed->attested.has_value()) std::abort();
    if (!parsed->flags.ed() && !parsed->extensions.empty()) std::abort();
    if (parsed->flags.reserved()) std::abort();
  }
  (void)forekey::AuthenticatorData::Parse(input, {.from_u2f = true});
  return 0;
}
