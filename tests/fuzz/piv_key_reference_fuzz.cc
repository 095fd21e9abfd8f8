// SPDX-License-Identifier: Apache-2.0
// deps: forekey_hw_piv
// A key reference that parses is written back as itself; so is a URI's canonical text.
#include <cstdlib>
#include <string>

#include "hw/piv/key_reference.h"
#include "src/base/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text = forekey::View(data, size);
  auto reference = forekey::ParseKeyReference(text);
  if (reference.ok() && forekey::SerializeKeyReference(*reference) != text) abort();
  auto uri = forekey::PivUri::Parse(text);
  if (uri.ok()) {
    auto again = forekey::PivUri::Parse(uri->Text());
    if (!again.ok() || again->Text() != uri->Text()) abort();
  }
  return 0;
}
