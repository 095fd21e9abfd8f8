// SPDX-License-Identifier: Apache-2.0
#include "hw/piv/piv_data.h"

#include <openssl/obj_mac.h>
#include <zlib.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hw/piv/tlv.h"
#include "src/base/bytes.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"

namespace forekey {
namespace {

constexpr size_t kMaxCertificate = 16384;
constexpr char kPolicyExtension[] = "1.3.6.1.4.1.41482.3.8";

absl::Status BadPivData(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed PIV data: ", what));
}

PinPolicy PinPolicyOf(uint8_t value) {
  return value <= static_cast<uint8_t>(PinPolicy::kAlways) ? static_cast<PinPolicy>(value)
                                                           : PinPolicy::kUnknown;
}
TouchPolicy TouchPolicyOf(uint8_t value) {
  return value <= static_cast<uint8_t>(TouchPolicy::kCached) ? static_cast<TouchPolicy>(value)
                                                             : TouchPolicy::kUnknown;
}

// An optional element: nullopt when it is not there; an error when it is there twice.
absl::StatusOr<std::optional<absl::string_view>> FindOptional(absl::Span<const Tlv> elements,
                                                              uint32_t tag) {
  auto value = FindTlv(elements, tag);
  if (absl::IsNotFound(value.status())) return std::nullopt;
  if (!value.ok()) return value.status();
  return *value;
}

// gzip (RFC 1952), as CertInfo 01 says; zlib's own format is taken, too: some issuers write it.
absl::StatusOr<std::string> Inflate(absl::string_view compressed) {
  z_stream stream{};
  if (inflateInit2(&stream, MAX_WBITS + 32) != Z_OK)
    return absl::ResourceExhaustedError("inflateInit2");
  absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  std::string out(kMaxCertificate, '\0');
  stream.next_in = const_cast<Bytef*>(U8(compressed));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = U8(out);
  stream.avail_out = static_cast<uInt>(out.size());
  if (inflate(&stream, Z_FINISH) != Z_STREAM_END || stream.avail_in != 0) {
    return BadPivData("a certificate that can't be uncompressed");
  }
  out.resize(stream.total_out);
  return out;
}

}  // namespace

bool IsKeySlot(PivSlot slot) {
  return slot == kSlotAuthentication || slot == kSlotSignature || slot == kSlotKeyManagement ||
         slot == kSlotCardAuthentication || (slot >= kFirstRetiredSlot && slot <= kLastRetiredSlot);
}

absl::StatusOr<PivSlot> ParseSlot(absl::string_view text) {
  if (text.size() == 2 && absl::ascii_isxdigit(text[0]) && absl::ascii_isxdigit(text[1])) {
    const auto slot = static_cast<PivSlot>(absl::HexStringToBytes(text)[0]);
    if (IsKeySlot(slot)) return slot;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is no PIV key slot: 9a, 9c, 9d, 9e, 82 to 95 (hexadecimal) are"));
}

std::string SlotName(PivSlot slot) { return absl::StrFormat("%02x", slot); }

std::vector<PivSlot> DedicatedSlots() {
  std::vector<PivSlot> slots;
  for (int slot = kFirstRetiredSlot; slot <= kLastRetiredSlot; ++slot) {
    slots.push_back(static_cast<PivSlot>(slot));
  }
  slots.push_back(kSlotSignature);
  return slots;
}

uint32_t CertificateObject(PivSlot slot) {
  switch (slot) {
    case kSlotAuthentication:
      return 0x5FC105;
    case kSlotSignature:
      return 0x5FC10A;
    case kSlotKeyManagement:
      return 0x5FC10B;
    case kSlotCardAuthentication:
      return 0x5FC101;
    default:
      return 0x5FC10D + (slot - kFirstRetiredSlot);
  }
}

absl::StatusOr<PivAlgorithm> AlgorithmOf(const PublicKey& key) {
  switch (key.algorithm()) {
    case Algorithm::kEs256:
      return PivAlgorithm::kEccP256;
    case Algorithm::kEs384:
      return PivAlgorithm::kEccP384;
    case Algorithm::kEdDsa:
      return PivAlgorithm::kEd25519;
    case Algorithm::kEs512:  // no card has them
    case Algorithm::kEd448:
    case Algorithm::kRs256:
      break;
  }
  switch (EVP_PKEY_get_bits(key.evp())) {
    case 2048:
      return PivAlgorithm::kRsa2048;
    case 3072:
      return PivAlgorithm::kRsa3072;
    case 4096:
      return PivAlgorithm::kRsa4096;
    default:
      return absl::InvalidArgumentError("PIV has no algorithm for RSA keys of this size");
  }
}

absl::string_view PinPolicyName(PinPolicy policy) {
  switch (policy) {
    case PinPolicy::kNever:
      return "never";
    case PinPolicy::kOnce:
      return "once";
    case PinPolicy::kAlways:
      return "always";
    case PinPolicy::kUnknown:
      break;
  }
  return "unknown";
}

absl::string_view TouchPolicyName(TouchPolicy policy) {
  switch (policy) {
    case TouchPolicy::kNever:
      return "never";
    case TouchPolicy::kAlways:
      return "always";
    case TouchPolicy::kCached:
      return "cached";
    case TouchPolicy::kUnknown:
      break;
  }
  return "unknown";
}

absl::StatusOr<PinPolicy> PinPolicyFromName(absl::string_view name) {
  for (PinPolicy policy : {PinPolicy::kNever, PinPolicy::kOnce, PinPolicy::kAlways}) {
    if (name == PinPolicyName(policy)) return policy;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' is no PIN policy: never, once, always"));
}

absl::StatusOr<TouchPolicy> TouchPolicyFromName(absl::string_view name) {
  for (TouchPolicy policy : {TouchPolicy::kNever, TouchPolicy::kAlways, TouchPolicy::kCached}) {
    if (name == TouchPolicyName(policy)) return policy;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' is no touch policy: never, always, cached"));
}

PinPolicy StandardPinPolicy(PivSlot slot) {
  if (slot == kSlotSignature) return PinPolicy::kAlways;
  return slot == kSlotCardAuthentication ? PinPolicy::kNever : PinPolicy::kOnce;
}

std::string PivVersion::Text() const { return absl::StrFormat("%d.%d.%d", major, minor, patch); }

absl::StatusOr<PublicKey> ParsePivPublicKey(absl::string_view bytes, uint8_t algorithm) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(bytes));
  FOREKEY_ASSIGN_OR_RETURN(auto point, FindOptional(elements, 0x86));
  if (point.has_value()) {
    if (elements.size() != 1) return BadPivData("a public key with more than a point");
    if (algorithm == static_cast<uint8_t>(PivAlgorithm::kEd25519))
      return PublicKey::FromEd25519(*point);
    const bool p256 = algorithm == static_cast<uint8_t>(PivAlgorithm::kEccP256);
    if (!p256 && algorithm != static_cast<uint8_t>(PivAlgorithm::kEccP384)) {
      return BadPivData("a public key of a kind that Forekey does not use");
    }
    const size_t size = p256 ? 32 : 48;
    if (point->size() != 1 + 2 * size || point->front() != 0x04) return BadPivData("a point");
    return PublicKey::FromEcPoint(p256 ? NID_X9_62_prime256v1 : NID_secp384r1,
                                  point->substr(1, size), point->substr(1 + size));
  }
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view modulus, FindTlv(elements, 0x81));
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view exponent, FindTlv(elements, 0x82));
  if (elements.size() != 2 || exponent.empty() || exponent.size() > 4)
    return BadPivData("an RSA key");
  uint32_t e = 0;
  for (char c : exponent) e = e << 8 | static_cast<uint8_t>(c);
  return PublicKey::FromRsa(modulus, e);
}

absl::StatusOr<SlotMetadata> ParseMetadata(absl::string_view bytes) {
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(bytes));
  SlotMetadata metadata;
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view algorithm, FindTlv(elements, 0x01));
  if (algorithm.size() != 1) return BadPivData("an algorithm");
  metadata.algorithm = static_cast<uint8_t>(algorithm[0]);
  FOREKEY_ASSIGN_OR_RETURN(auto policy, FindOptional(elements, 0x02));
  if (policy.has_value()) {
    if (policy->size() != 2) return BadPivData("a policy");
    metadata.pin = PinPolicyOf(static_cast<uint8_t>((*policy)[0]));
    metadata.touch = TouchPolicyOf(static_cast<uint8_t>((*policy)[1]));
  }
  FOREKEY_ASSIGN_OR_RETURN(auto origin, FindOptional(elements, 0x03));
  metadata.generated = origin.has_value() && *origin == "\x01";
  FOREKEY_ASSIGN_OR_RETURN(auto public_key, FindOptional(elements, 0x04));
  if (public_key.has_value()) {
    // Keys of kinds that Forekey does not use (RSA-1024, X25519) are keys all the same.
    auto parsed = ParsePivPublicKey(*public_key, metadata.algorithm);
    if (parsed.ok()) metadata.public_key = *std::move(parsed);
  }
  FOREKEY_ASSIGN_OR_RETURN(auto is_default, FindOptional(elements, 0x05));
  if (is_default.has_value()) {
    if (is_default->size() != 1) return BadPivData("a default flag");
    metadata.is_default = is_default->front() != 0;
  }
  FOREKEY_ASSIGN_OR_RETURN(auto tries, FindOptional(elements, 0x06));
  if (tries.has_value()) {
    if (tries->size() != 2) return BadPivData("numbers of tries");
    metadata.tries_total = static_cast<uint8_t>((*tries)[0]);
    metadata.tries_left = static_cast<uint8_t>((*tries)[1]);
  }
  return metadata;
}

absl::StatusOr<uint8_t> ParsePinReference(absl::string_view object) {
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view content, SoleTlv(object, kObjectDiscovery));
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(content));
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view policy, FindTlv(elements, 0x5F2F));
  if (policy.size() != 2) return BadPivData("a PIN usage policy");
  const bool global_pin = (static_cast<uint8_t>(policy[0]) & 0x20) != 0;
  return global_pin && policy[1] == 0x20 ? 0x00 : 0x80;
}

absl::StatusOr<std::string> ParseCertificateObject(absl::string_view content) {
  if (content.empty()) return absl::NotFoundError("the object is empty");
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(content));
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view certificate, FindTlv(elements, 0x70));
  if (certificate.empty()) return absl::NotFoundError("the object holds no certificate");
  if (certificate.size() > kMaxCertificate) return BadPivData("a certificate that is too large");
  FOREKEY_ASSIGN_OR_RETURN(auto info, FindOptional(elements, 0x71));
  if (!info.has_value() || info->empty() || *info == absl::string_view("\0", 1)) {
    return std::string(certificate);
  }
  if (*info == "\x01" || *info == "\x80") return Inflate(certificate);
  return BadPivData("a certificate in an unknown form");
}

std::string EncodeCertificateObject(absl::string_view certificate) {
  return EncodeTlvs({{0x70, certificate}, {0x71, absl::string_view("\0", 1)}, {0xFE, ""}});
}

absl::StatusOr<bool> ParseManagementKeyIsStored(absl::string_view content) {
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view admin, SoleTlv(content, 0x80));
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(admin));
  FOREKEY_ASSIGN_OR_RETURN(auto flags, FindOptional(elements, 0x81));
  if (!flags.has_value()) return false;
  if (flags->size() != 1) return BadPivData("administrative flags");
  return (flags->front() & 0x02) != 0;
}

absl::StatusOr<Secret> ParseStoredManagementKey(absl::string_view content) {
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view printed, SoleTlv(content, 0x88));
  FOREKEY_ASSIGN_OR_RETURN(std::vector<Tlv> elements, ParseTlvs(printed));
  FOREKEY_ASSIGN_OR_RETURN(absl::string_view key, FindTlv(elements, 0x89));
  if (key.size() != 16 && key.size() != 24 && key.size() != 32)
    return BadPivData("a management key");
  return Secret::CopyOf(key);
}

AttestedPolicies PoliciesOfAttestation(absl::string_view certificate) {
  AttestedPolicies policies;
  auto parsed = Certificate::ParseDer(certificate);
  if (!parsed.ok()) return policies;
  // Two raw bytes, in no ASN.1 type.
  auto extension = parsed->Extension(kPolicyExtension);
  if (!extension.has_value() || extension->size() != 2) return policies;
  policies.pin = PinPolicyOf(static_cast<uint8_t>((*extension)[0]));
  policies.touch = TouchPolicyOf(static_cast<uint8_t>((*extension)[1]));
  return policies;
}

}  // namespace forekey
