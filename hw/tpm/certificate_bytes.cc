// SPDX-License-Identifier: Apache-2.0
#include "hw/tpm/certificate_bytes.h"

#include <algorithm>

#include "src/base/bytes.h"

namespace forekey {
namespace {

// Size of the DER SEQUENCE at the beginning, header included; 0 where there is none.
size_t SequenceSize(absl::string_view bytes) {
  ByteReader reader(bytes);
  if (reader.U8() != 0x30) return 0;
  size_t length = reader.U8();
  size_t header = 2;
  if (length == 0x81) {
    length = reader.U8();
    header = 3;
  } else if (length == 0x82) {
    length = reader.U16();
    header = 4;
  } else if (length >= 0x80) {
    return 0;
  }
  if (!reader.ok() || length == 0 || length > reader.remaining()) return 0;
  return header + length;
}

}  // namespace

std::string FirstCertificate(absl::string_view nv) {
  // TCG PC Client Specific Implementation Specification for Conventional BIOS, 7.4.4 and 7.4.5.
  if (nv.substr(0, 3) == absl::string_view("\x10\x01\x00", 3) && nv.size() > 7 &&
      nv.substr(5, 2) == absl::string_view("\x10\x02", 2)) {
    nv.remove_prefix(7);
  }
  return std::string(nv.substr(0, SequenceSize(nv)));
}

std::vector<std::string> SplitCertificates(absl::string_view nv, size_t max) {
  constexpr absl::string_view kFiller("\x00\xff\x11", 3);
  std::vector<std::string> certificates;
  while (certificates.size() < max) {
    nv.remove_prefix(std::min(nv.find_first_not_of(kFiller), nv.size()));
    const size_t size = SequenceSize(nv);
    if (size == 0) break;
    certificates.emplace_back(nv.substr(0, size));
    nv.remove_prefix(size);
  }
  return certificates;
}

}  // namespace forekey
