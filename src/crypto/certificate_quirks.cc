// SPDX-License-Identifier: Apache-2.0
#include "src/crypto/certificate_quirks.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/crypto/der.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr uint8_t kVersion = 0xa0;

}  // namespace

std::optional<CertificateParts> SplitCertificate(absl::string_view der) {
  ByteReader outer(der);
  std::optional<DerElement> certificate = ReadDer(outer, der);
  if (!certificate || certificate->tag != kDerSequence || !outer.Finished()) return std::nullopt;
  ByteReader reader(certificate->value);
  std::optional<DerElement> tbs = ReadDer(reader, certificate->value);
  if (!tbs || tbs->tag != kDerSequence) return std::nullopt;
  std::optional<DerElement> algorithm = ReadDer(reader, certificate->value);
  if (!algorithm || algorithm->tag != kDerSequence) return std::nullopt;
  std::optional<DerElement> signature = ReadDer(reader, certificate->value);
  if (!signature || signature->tag != kDerBitString || !reader.Finished()) return std::nullopt;
  if (signature->value.empty() || signature->value[0] != 0) return std::nullopt;
  return CertificateParts{tbs->whole, algorithm->whole, signature->value.substr(1)};
}

std::optional<std::string> RepairSerial(absl::string_view der) {
  std::optional<CertificateParts> parts = SplitCertificate(der);
  if (!parts) return std::nullopt;
  ByteReader tbs_reader(parts->tbs);
  std::optional<DerElement> tbs = ReadDer(tbs_reader, parts->tbs);
  if (!tbs) return std::nullopt;
  ByteReader reader(tbs->value);
  std::optional<DerElement> version = ReadDer(reader, tbs->value);
  if (!version || version->tag != kVersion) return std::nullopt;
  std::optional<DerElement> serial = ReadDer(reader, tbs->value);
  if (!serial || serial->tag != kDerInteger) return std::nullopt;

  absl::string_view minimal = serial->value;
  const auto superfluous = [&minimal](uint8_t sign, uint8_t high_bit) {
    return static_cast<uint8_t>(minimal[0]) == sign &&
           (static_cast<uint8_t>(minimal[1]) & 0x80) == high_bit;
  };
  while (minimal.size() > 1 && (superfluous(0x00, 0x00) || superfluous(0xff, 0x80))) {
    minimal.remove_prefix(1);
  }
  if (minimal.size() == serial->value.size()) return std::nullopt;
  const std::string new_tbs = WriteDer(
      kDerSequence, absl::StrCat(version->whole, WriteDer(kDerInteger, minimal), reader.Rest()));
  ByteReader outer(der);
  std::optional<DerElement> certificate = ReadDer(outer, der);
  return WriteDer(kDerSequence,
                  absl::StrCat(new_tbs, certificate->value.substr(parts->tbs.size())));
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
