// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/wire/base64url.h"
#include "src/wire/client_data.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = forekey::View(data, size);
  (void)forekey::ClientData::Parse(input);
  // Of the texts of some bytes exactly one decodes.
  const auto bytes = forekey::Base64UrlDecode(input);
  if (bytes && forekey::Base64UrlEncode(*bytes) != input) std::abort();
  return 0;
}
