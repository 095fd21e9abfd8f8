// SPDX-License-Identifier: Apache-2.0
// deps: forekey_gate_service
// The gate's configuration: never crashes; what parses is whole.
#include <cstdint>
#include <cstdlib>

#include "src/base/bytes.h"
#include "src/gate/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto config = forekey::GateConfig::Parse(forekey::View(data, size), "fuzz.toml", "/base");
  if (config.ok() && (config->audience.empty() || config->tls.certificate.empty() ||
                      config->state.directory.empty() || config->sessions.window % 64 != 0)) {
    std::abort();
  }
  return 0;
}
