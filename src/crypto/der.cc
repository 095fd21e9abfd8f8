// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/der.h"

#include <utility>

namespace forekey {

std::optional<DerElement> ReadDer(ByteReader& reader, absl::string_view all) {
  const size_t begin = all.size() - reader.remaining();
  DerElement element;
  element.tag = reader.U8();
  size_t length = reader.U8();
  if (length >= 0x80) {
    const size_t octets = length & 0x7f;
    if (octets < 1 || octets > 3) return std::nullopt;
    length = 0;
    for (size_t i = 0; i < octets; ++i) length = length << 8 | reader.U8();
    if (length < 0x80 || (octets > 1 && length >> (8 * (octets - 1)) == 0)) return std::nullopt;
  }
  element.value = reader.Raw(length);
  if (!reader.ok()) return std::nullopt;
  element.whole = all.substr(begin, all.size() - reader.remaining() - begin);
  return element;
}

std::optional<absl::string_view> OnlyDer(absl::string_view der, uint8_t tag) {
  ByteReader reader(der);
  const std::optional<DerElement> element = ReadDer(reader, der);
  if (!element || element->tag != tag || !reader.Finished()) return std::nullopt;
  return element->value;
}

std::string WriteDer(uint8_t tag, absl::string_view value) {
  ByteWriter out;
  out.U8(tag);
  const size_t size = value.size();
  if (size < 0x80) {
    out.U8(static_cast<uint8_t>(size));
  } else if (size < 0x100) {
    out.U8(0x81).U8(static_cast<uint8_t>(size));
  } else if (size < 0x10000) {
    out.U8(0x82).U16(static_cast<uint16_t>(size));
  } else {
    out.U8(0x83).U8(static_cast<uint8_t>(size >> 16)).U16(static_cast<uint16_t>(size));
  }
  out.Raw(value);
  return std::move(out).bytes();
}

}  // namespace forekey
