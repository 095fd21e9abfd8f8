// SPDX-License-Identifier: Apache-2.0
#include "src/wire/tpm_nv_certificate.h"

#include <algorithm>
#include <cstdint>

#include "src/base/bytes.h"
#include "src/base/reason.h"

namespace forekey {
namespace {

constexpr size_t kMaxNvSize = 1 << 16;
constexpr absl::string_view kStoredCert("\x10\x01\x00", 3);  // TCG_TAG_PCCLIENT_STORED_CERT, full
constexpr absl::string_view kFullCert("\x10\x02", 2);        // TCG_TAG_PCCLIENT_FULL_CERT

absl::Status Malformed(absl::string_view detail) {
  return Refuse(Reason::kCertificateMalformed, detail);
}

bool IsFiller(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return byte == 0xff || byte == 0x00 || byte == 0x11;
}

}  // namespace

absl::StatusOr<absl::string_view> TrimNvCertificate(absl::string_view nv) {
  if (nv.size() > kMaxNvSize) return Malformed("larger than an NV index can be");
  absl::string_view rest = nv;
  if (rest.substr(0, kStoredCert.size()) == kStoredCert) {
    rest.remove_prefix(kStoredCert.size());
    ByteReader header(rest);
    const absl::string_view inner = header.Len2();
    if (!header.ok() || inner.substr(0, kFullCert.size()) != kFullCert) {
      return Malformed("a stored-certificate header without a certificate behind it");
    }
    const absl::string_view behind = header.Rest();
    if (!std::all_of(behind.begin(), behind.end(), IsFiller)) {
      return Malformed("something other than filler follows the stored certificate");
    }
    rest = inner.substr(kFullCert.size());
  }
  ByteReader reader(rest);
  const bool is_sequence = reader.U8() == 0x30;
  size_t length = reader.U8();
  if (length >= 0x80) {
    const size_t octets = length & 0x7f;
    if (octets == 0 || octets > 3) return Malformed("not a DER certificate");
    length = 0;
    for (size_t i = 0; i < octets; ++i) length = length << 8 | reader.U8();
  }
  const size_t header_size = rest.size() - reader.remaining();
  reader.Raw(length);
  if (!is_sequence || length == 0) return Malformed("not a DER certificate");
  if (!reader.ok()) return Malformed("the certificate is cut off");
  const absl::string_view filler = reader.Rest();
  if (!std::all_of(filler.begin(), filler.end(), IsFiller)) {
    return Malformed("something other than filler follows the certificate");
  }
  return rest.substr(0, header_size + length);
}

}  // namespace forekey
