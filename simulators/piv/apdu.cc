// SPDX-License-Identifier: Apache-2.0
#include "simulators/piv/apdu.h"

#include "src/base/bytes.h"

namespace forekey::piv {

absl::StatusOr<CommandApdu> CommandApdu::Parse(absl::string_view bytes) {
  ByteReader reader(bytes);
  CommandApdu apdu;
  apdu.cla = reader.U8();
  apdu.ins = reader.U8();
  apdu.p1 = reader.U8();
  apdu.p2 = reader.U8();
  if (!reader.ok()) return absl::InvalidArgumentError("a command APDU has four bytes at least");
  if (reader.remaining() == 0) return apdu;
  const bool extended = bytes[4] == 0 && reader.remaining() >= 3;
  size_t first = extended ? (reader.U8(), reader.U16()) : reader.U8();
  apdu.extended = extended;
  const size_t le_size = extended ? 2 : 1;
  const size_t largest = extended ? 65536 : 256;
  if (reader.remaining() == 0) {  // case 2: no data
    apdu.le = first == 0 ? largest : first;
    return apdu;
  }
  if (first == 0) return absl::InvalidArgumentError("Lc of 0 before data");
  apdu.data = reader.Raw(first);
  if (reader.ok() && reader.remaining() == le_size) {
    const size_t le = extended ? reader.U16() : reader.U8();
    apdu.le = le == 0 ? largest : le;
  }
  if (!reader.Finished()) return absl::InvalidArgumentError("Lc does not fit the data");
  return apdu;
}

absl::StatusOr<std::vector<Tlv>> ParseTlvs(absl::string_view bytes) {
  ByteReader reader(bytes);
  std::vector<Tlv> tlvs;
  while (reader.ok() && reader.remaining() > 0) {
    Tlv tlv;
    tlv.tag = reader.U8();
    if ((tlv.tag & 0x1f) == 0x1f) {
      uint8_t next;
      int more = 0;
      do {
        next = reader.U8();
        tlv.tag = tlv.tag << 8 | next;
      } while ((next & 0x80) != 0 && ++more < 2);
      if ((next & 0x80) != 0) return absl::InvalidArgumentError("a tag of more than three bytes");
    }
    size_t length = reader.U8();
    if (length == 0x81) {
      length = reader.U8();
    } else if (length == 0x82) {
      length = reader.U16();
    } else if (length >= 0x80) {
      return absl::InvalidArgumentError("a length that is indefinite or too long");
    }
    tlv.value = reader.Raw(length);
    tlvs.push_back(tlv);
  }
  if (!reader.ok()) return absl::InvalidArgumentError("a data object is cut short");
  return tlvs;
}

std::optional<absl::string_view> FindTlv(const std::vector<Tlv>& tlvs, uint32_t tag) {
  for (const Tlv& tlv : tlvs) {
    if (tlv.tag == tag) return tlv.value;
  }
  return std::nullopt;
}

std::string MakeTlv(uint32_t tag, absl::string_view value) {
  ByteWriter writer;
  if (tag > 0xffff) writer.U8(static_cast<uint8_t>(tag >> 16));
  if (tag > 0xff) writer.U8(static_cast<uint8_t>(tag >> 8));
  writer.U8(static_cast<uint8_t>(tag));
  if (value.size() < 0x80) {
    writer.Len1(value);
  } else if (value.size() < 0x100) {
    writer.U8(0x81).Len1(value);
  } else {
    writer.U8(0x82).Len2(value);
  }
  return std::move(writer).bytes();
}

}  // namespace forekey::piv
