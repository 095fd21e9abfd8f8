// SPDX-License-Identifier: Apache-2.0
// deps: forekey_cli_verify
// Whatever a cabinet says, what comes out of it is bounded.
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/cli/verify/cabinet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto files = forekey::ReadCabinet(forekey::View(data, size));
  if (!files.ok()) return 0;
  size_t total = 0;
  for (const forekey::CabinetFile& file : *files) total += file.content.size();
  if (files->size() > 10'000 || total > (64u << 20)) std::abort();
  return 0;
}
