// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/tlv.h"

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "src/base/bytes.h"
#include "src/base/status.h"

namespace forekey {
namespace {

constexpr int kMaxTagBytes = 3;

absl::Status BadTlv(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrFormat("malformed TLV: %s", why));
}

absl::StatusOr<uint32_t> ReadTag(ByteReader& reader) {
  uint32_t tag = reader.U8();
  if ((tag & 0x1F) != 0x1F) return tag;
  for (int bytes = 1; bytes < kMaxTagBytes; ++bytes) {
    const uint8_t next = reader.U8();
    if (bytes == 1 && (next & 0x7F) == 0) return BadTlv("a tag that is not minimal");
    tag = tag << 8 | next;
    if ((next & 0x80) == 0) return tag;
  }
  return BadTlv("a tag of more than three bytes");
}

absl::StatusOr<size_t> ReadLength(ByteReader& reader) {
  const uint8_t first = reader.U8();
  if (first < 0x80) return first;
  const int count = first & 0x7F;
  if (count == 0) return BadTlv("an indefinite length");
  if (count > 3) return BadTlv("a length of more than three bytes");
  size_t length = 0;
  for (int i = 0; i < count; ++i) length = length << 8 | reader.U8();
  return length;
}

}  // namespace

absl::StatusOr<std::vector<Tlv>> ParseTlvs(absl::string_view bytes) {
  std::vector<Tlv> elements;
  ByteReader reader(bytes);
  while (reader.remaining() > 0) {
    Tlv element;
    FOREKEY_ASSIGN_OR_RETURN(element.tag, ReadTag(reader));
    FOREKEY_ASSIGN_OR_RETURN(const size_t length, ReadLength(reader));
    element.value = reader.Raw(length);
    if (!reader.ok()) return BadTlv("it ends in the middle of an element");
    elements.push_back(element);
  }
  return elements;
}

absl::StatusOr<absl::string_view> FindTlv(absl::Span<const Tlv> elements, uint32_t tag) {
  const Tlv* found = nullptr;
  for (const Tlv& element : elements) {
    if (element.tag != tag) continue;
    if (found != nullptr) return BadTlv(absl::StrFormat("tag %X is there twice", tag));
    found = &element;
  }
  if (found == nullptr) return absl::NotFoundError(absl::StrFormat("there is no tag %X", tag));
  return found->value;
}

absl::StatusOr<absl::string_view> SoleTlv(absl::string_view bytes, uint32_t tag) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(bytes));
  if (elements.size() != 1 || elements[0].tag != tag) {
    return BadTlv(absl::StrFormat("it is not one element with tag %X", tag));
  }
  return elements[0].value;
}

std::string EncodeTlv(uint32_t tag, absl::string_view value) {
  ByteWriter writer;
  if (tag > 0xFFFF) writer.U8(static_cast<uint8_t>(tag >> 16));
  if (tag > 0xFF) writer.U8(static_cast<uint8_t>(tag >> 8));
  writer.U8(static_cast<uint8_t>(tag));
  if (value.size() < 0x80) {
    writer.U8(static_cast<uint8_t>(value.size()));
  } else if (value.size() <= 0xFF) {
    writer.U8(0x81).U8(static_cast<uint8_t>(value.size()));
  } else if (value.size() <= 0xFFFF) {
    writer.U8(0x82).U16(static_cast<uint16_t>(value.size()));
  } else {
    writer.U8(0x83)
        .U8(static_cast<uint8_t>(value.size() >> 16))
        .U16(static_cast<uint16_t>(value.size()));
  }
  return std::move(writer.Raw(value)).bytes();
}

std::string EncodeTlvs(std::initializer_list<Tlv> elements) {
  std::string bytes;
  for (const Tlv& element : elements) bytes += EncodeTlv(element.tag, element.value);
  return bytes;
}

}  // namespace forekey
