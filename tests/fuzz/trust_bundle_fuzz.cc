// SPDX-License-Identifier: Apache-2.0
// deps: forekey_cli_verify
// A payload that is taken has no file outside of the folders of trust, and is read the same again.
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/cli/verify/trust_bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bundle = forekey::TrustBundle::Parse(forekey::View(data, size));
  if (!bundle.ok()) return 0;
  for (const auto& [name, content] : bundle->files) {
    if (name.find("..") == 0 || name.find("/.") != std::string::npos || name[0] == '/')
      std::abort();
  }
  const auto again = forekey::TrustBundle::Parse(bundle->Serialize());
  if (!again.ok() || again->files != bundle->files || again->number != bundle->number) std::abort();
  return 0;
}
