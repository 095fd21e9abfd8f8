// SPDX-License-Identifier: Apache-2.0
// deps: forekey_agent
#include <cstddef>
#include <cstdint>

#include "src/agent/gate_record.h"
#include "src/base/bytes.h"

// What is read is written and read again as the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto record = forekey::GateRecord::Parse(forekey::View(data, size));
  if (!record.ok()) return 0;
  std::string json = record->Serialize();
  auto again = forekey::GateRecord::Parse(json);
  if (!again.ok() || again->Serialize() != json) __builtin_trap();
  return 0;
}
