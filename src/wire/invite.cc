// SPDX-License-Identifier: Apache-2.0
#include "src/wire/invite.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr absl::string_view kScheme = "forekey-invite:";
constexpr uint8_t kVersion = 1;
constexpr size_t kChecksumSize = 4;
constexpr size_t kFingerprintSize = 32;
constexpr size_t kMaxAddressSize = 300;

// host:port, host being a name, an IPv4 address or an IPv6 address in brackets. Only its shape:
// whether it leads to the gate is what the fingerprint is for.
bool IsWellFormedAddress(absl::string_view address) {
  size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0 || address.size() > kMaxAddressSize) {
    return false;
  }
  for (char c : address) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        absl::string_view(".-_:[]%").find(c) == absl::string_view::npos) {
      return false;
    }
  }
  absl::string_view digits = address.substr(colon + 1);
  uint32_t port = 0;
  return !digits.empty() && digits.size() <= 5 && absl::ascii_isdigit(digits[0]) &&
         absl::SimpleAtoi(digits, &port) && port >= 1 && port <= 65535;
}

absl::Status Malformed(absl::string_view detail) {
  return absl::InvalidArgumentError(absl::StrCat("not an invite: ", detail));
}

// Strict base64url: what decodes must also be what this would have written.
absl::StatusOr<std::string> Decode(absl::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes)) return Malformed("not base64url");
  std::string again = absl::WebSafeBase64Escape(bytes);
  bool canonical = again == text;
  Wipe(again);
  if (!canonical) {
    Wipe(bytes);
    return Malformed("not base64url as it was printed");
  }
  return bytes;
}

}  // namespace

absl::Status Invite::Validate() const {
  if (!IsWellFormedAudience(audience)) return Malformed("the audience is malformed");
  if (!IsWellFormedAddress(address)) return Malformed("the address is not host:port");
  if (identity_fingerprint.size() != kFingerprintSize) {
    return Malformed("the identity's fingerprint is not 32 bytes");
  }
  if (seed.size() != kInviteSeedSize) return Malformed("the seed is not 16 bytes");
  size_t total = 0;
  for (const std::string& certificate : ca_certificates) {
    if (certificate.empty()) return Malformed("an empty CA certificate");
    total += 2 + certificate.size();
  }
  if (total > kMaxInviteCaSize) {
    return Malformed(absl::StrCat("CA certificates of ", total, " bytes; at most ",
                                  kMaxInviteCaSize, " fit an invite"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Invite> Invite::Parse(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() > kMaxInviteTextSize) return Malformed("it is too long");
  if (!absl::ConsumePrefix(&text, kScheme)) {
    return Malformed("it does not begin with \"forekey-invite:\"");
  }
  FOREKEY_ASSIGN_OR_RETURN(std::string bytes, Decode(text));
  absl::Cleanup wipe = [&bytes] { Wipe(bytes); };
  if (bytes.size() <= kChecksumSize) return Malformed("it is cut short");
  absl::string_view body(bytes.data(), bytes.size() - kChecksumSize);
  if (Sha256(body).substr(0, kChecksumSize) != bytes.substr(body.size())) {
    return Malformed("the checksum differs: it was mistyped or cut short");
  }
  ByteReader reader(body);
  if (uint8_t version = reader.U8(); version != kVersion) {
    return Malformed(absl::StrCat("version ", version, "; this program reads version 1"));
  }
  Invite invite;
  invite.audience = std::string(reader.Len1());
  invite.address = std::string(reader.Len2());
  invite.identity_fingerprint = std::string(reader.Raw(kFingerprintSize));
  invite.seed = Secret::CopyOf(reader.Raw(kInviteSeedSize));
  absl::string_view certificates = reader.Len2();
  if (!reader.Finished()) return Malformed("fields of the wrong size");
  ByteReader list(certificates);
  while (list.ok() && list.remaining() > 0) {
    invite.ca_certificates.emplace_back(list.Len2());
  }
  if (!list.Finished()) return Malformed("CA certificates of the wrong size");
  FOREKEY_RETURN_IF_ERROR(invite.Validate());
  return invite;
}

std::string Invite::Serialize() const {
  if (!Validate().ok()) return "";
  ByteWriter list;
  for (const std::string& certificate : ca_certificates) list.Len2(certificate);
  ByteWriter writer;
  // Reserved, so that no earlier, smaller buffer is left behind with the seed in it.
  writer.Reserve(1 + 1 + audience.size() + 2 + address.size() + kFingerprintSize + kInviteSeedSize +
                 2 + list.bytes().size() + kChecksumSize);
  writer.U8(kVersion)
      .Len1(audience)
      .Len2(address)
      .Raw(identity_fingerprint)
      .Raw(seed.view())
      .Len2(list.bytes());
  writer.Raw(Sha256(writer.bytes()).substr(0, kChecksumSize));
  std::string bytes = std::move(writer).bytes();
  std::string text = absl::StrCat(kScheme, absl::WebSafeBase64Escape(bytes));
  Wipe(bytes);
  return text;
}

absl::StatusOr<SoftwareKey> Invite::SigningKey() const {
  if (seed.size() != kInviteSeedSize) return Malformed("the seed is not 16 bytes");
  ByteWriter info;
  info.Raw(label::kInviteKey).U8(0).Raw(audience);
  return SoftwareKey::Ed25519FromSeed(HkdfSha256(seed.view(), "", info.bytes(), 32).view());
}

}  // namespace forekey
