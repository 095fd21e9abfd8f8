// SPDX-License-Identifier: Apache-2.0
// deps: forekey_wire
// What Prefix::Parse accepts is the one encoding of what it read, and protobuf reads it too.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "forekey/v1/prefix.pb.h"
#include "src/base/bytes.h"
#include "src/wire/prefix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = forekey::View(data, size);
  auto prefix = forekey::Prefix::Parse(bytes);
  if (!prefix.ok()) return 0;
  const std::string again =
      prefix->device() != nullptr    ? forekey::SerializePrefix(*prefix->device())
      : prefix->session() != nullptr ? forekey::SerializePrefix(*prefix->session())
                                     : forekey::SerializePrefix(*prefix->resumption());
  forekey::v1::Prefix message;
  if (again != bytes || !message.ParseFromArray(data, static_cast<int>(size)) ||
      message.SerializeAsString() != bytes) {
    std::abort();
  }
  return 0;
}
