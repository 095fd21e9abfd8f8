// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/certificate_quirks.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr uint8_t kInteger = 0x02;
constexpr uint8_t kBitString = 0x03;
constexpr uint8_t kSequence = 0x30;
constexpr uint8_t kVersion = 0xa0;

struct Tlv {
  uint8_t tag = 0;
  absl::string_view whole;
  absl::string_view value;
};

// One DER element with a minimal length of at most three octets; single-byte tags only.
std::optional<Tlv> ReadTlv(ByteReader& reader, absl::string_view all) {
  const size_t begin = all.size() - reader.remaining();
  Tlv tlv;
  tlv.tag = reader.U8();
  size_t length = reader.U8();
  if (length >= 0x80) {
    const size_t octets = length & 0x7f;
    if (octets < 1 || octets > 3) return std::nullopt;
    length = 0;
    for (size_t i = 0; i < octets; ++i) length = length << 8 | reader.U8();
    if (length < 0x80 || (octets > 1 && length >> (8 * (octets - 1)) == 0)) return std::nullopt;
  }
  tlv.value = reader.Raw(length);
  if (!reader.ok()) return std::nullopt;
  tlv.whole = all.substr(begin, all.size() - reader.remaining() - begin);
  return tlv;
}

std::string WriteTlv(uint8_t tag, absl::string_view value) {
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

}  // namespace

std::optional<CertificateParts> SplitCertificate(absl::string_view der) {
  ByteReader outer(der);
  std::optional<Tlv> certificate = ReadTlv(outer, der);
  if (!certificate || certificate->tag != kSequence || !outer.Finished()) return std::nullopt;
  ByteReader reader(certificate->value);
  std::optional<Tlv> tbs = ReadTlv(reader, certificate->value);
  if (!tbs || tbs->tag != kSequence) return std::nullopt;
  std::optional<Tlv> algorithm = ReadTlv(reader, certificate->value);
  if (!algorithm || algorithm->tag != kSequence) return std::nullopt;
  std::optional<Tlv> signature = ReadTlv(reader, certificate->value);
  if (!signature || signature->tag != kBitString || !reader.Finished()) return std::nullopt;
  if (signature->value.empty() || signature->value[0] != 0) return std::nullopt;
  return CertificateParts{tbs->whole, algorithm->whole, signature->value.substr(1)};
}

std::optional<std::string> RepairSerial(absl::string_view der) {
  std::optional<CertificateParts> parts = SplitCertificate(der);
  if (!parts) return std::nullopt;
  ByteReader tbs_reader(parts->tbs);
  std::optional<Tlv> tbs = ReadTlv(tbs_reader, parts->tbs);
  if (!tbs) return std::nullopt;
  ByteReader reader(tbs->value);
  std::optional<Tlv> version = ReadTlv(reader, tbs->value);
  if (!version || version->tag != kVersion) return std::nullopt;
  std::optional<Tlv> serial = ReadTlv(reader, tbs->value);
  if (!serial || serial->tag != kInteger) return std::nullopt;

  absl::string_view minimal = serial->value;
  const auto superfluous = [&minimal](uint8_t sign, uint8_t high_bit) {
    return static_cast<uint8_t>(minimal[0]) == sign &&
           (static_cast<uint8_t>(minimal[1]) & 0x80) == high_bit;
  };
  while (minimal.size() > 1 && (superfluous(0x00, 0x00) || superfluous(0xff, 0x80))) {
    minimal.remove_prefix(1);
  }
  if (minimal.size() == serial->value.size()) return std::nullopt;
  const std::string new_tbs =
      WriteTlv(kSequence, absl::StrCat(version->whole, WriteTlv(kInteger, minimal), reader.Rest()));
  ByteReader outer(der);
  std::optional<Tlv> certificate = ReadTlv(outer, der);
  return WriteTlv(kSequence, absl::StrCat(new_tbs, certificate->value.substr(parts->tbs.size())));
}

std::optional<std::string> RepairUnusedBits(absl::string_view der) {
  // The six certificates all have RSA-2048 signatures.
  constexpr size_t kFromEnd = 257;
  static constexpr absl::string_view kSha256[] = {
      "349bca1031f8c82c4ceca38b9cebf1a69df9fb3b94eed99eb3fb9aa3822d26e8",
      "dd574527df608e47ae45fbba75a2afdd5c20fd94a02419381813cd55a2a3398f",
      "1d8764f0f7cd1352df6150045c8f638e517270e8b5dda1c63ade9c2280240cae",
      "d0edc9a91a1677435a953390865d208c55b3183c6759c9b5a7ff494c322558eb",
      "6073c436dcd064a48127ddbf6032ac1a66fd59a0c24434f070d4e564c124c897",
      "ca993121846c464d666096d35f13bf44c1b05af205f9b4a1e00cf6cc10c5e511",
  };
  if (der.size() <= kFromEnd || der[der.size() - kFromEnd] == 0) return std::nullopt;
  const std::string hash = absl::BytesToHexString(Sha256(der));
  if (std::find(std::begin(kSha256), std::end(kSha256), hash) == std::end(kSha256)) {
    return std::nullopt;
  }
  std::string repaired(der);
  repaired[repaired.size() - kFromEnd] = 0;
  return repaired;
}

}  // namespace forekey
