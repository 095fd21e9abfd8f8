// SPDX-License-Identifier: Apache-2.0
// SP 800-73-4's slots, algorithms and data objects, and those that YubiKeys add. Private to hw/piv.
// Everything here parses what a card says, or somebody in its place: whole buffers, exactly.
#ifndef FOREKEY_HW_PIV_PIV_DATA_H_
#define FOREKEY_HW_PIV_PIV_DATA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"
#include "src/crypto/public_key.h"

namespace forekey {

// Key references, as in P2 of GENERAL AUTHENTICATE (SP 800-78-4 table 6-1).
using PivSlot = uint8_t;
inline constexpr PivSlot kSlotAuthentication = 0x9A;
inline constexpr PivSlot kSlotManagement = 0x9B;
inline constexpr PivSlot kSlotSignature = 0x9C;
inline constexpr PivSlot kSlotKeyManagement = 0x9D;
inline constexpr PivSlot kSlotCardAuthentication = 0x9E;
inline constexpr PivSlot kFirstRetiredSlot = 0x82;
inline constexpr PivSlot kLastRetiredSlot = 0x95;

bool IsKeySlot(PivSlot slot);  // 9A, 9C, 9D, 9E, 82-95
// "9a" or "9A"; InvalidArgument for anything that is no key slot.
absl::StatusOr<PivSlot> ParseSlot(absl::string_view text);
std::string SlotName(PivSlot slot);  // "9a"
// Slots that nothing but Forekey is likely to use, in the order in which they are taken: 82-95,
// then 9C.
std::vector<PivSlot> DedicatedSlots();
uint32_t CertificateObject(PivSlot slot);  // the tag of GET DATA

inline constexpr uint32_t kObjectDiscovery = 0x7E;
inline constexpr uint32_t kObjectChuid = 0x5FC102;
inline constexpr uint32_t kObjectPrinted = 0x5FC109;
inline constexpr uint32_t kObjectAttestation = 0x5FFF01;  // YubiKey: the certificate of F9
inline constexpr uint32_t kObjectAdminData = 0x5FFF00;    // YubiKey: how the management key is kept

// Algorithm identifiers (SP 800-78-4 table 6-2; YubiKey's own from firmware 5.7 on).
enum class PivAlgorithm : uint8_t {
  kTripleDes = 0x03,
  kRsa3072 = 0x05,
  kRsa2048 = 0x07,
  kAes128 = 0x08,
  kAes192 = 0x0A,
  kAes256 = 0x0C,
  kEccP256 = 0x11,
  kEccP384 = 0x14,
  kRsa4096 = 0x16,
  kEd25519 = 0xE0,
};
// InvalidArgument for keys that PIV has no algorithm for.
absl::StatusOr<PivAlgorithm> AlgorithmOf(const PublicKey& key);

// YubiKey's values (attestation extension .8, GENERATE tags AA and AB, metadata).
enum class PinPolicy : uint8_t { kUnknown = 0, kNever = 1, kOnce = 2, kAlways = 3 };
enum class TouchPolicy : uint8_t { kUnknown = 0, kNever = 1, kAlways = 2, kCached = 3 };
absl::string_view PinPolicyName(PinPolicy policy);      // "never", "once", "always"
absl::string_view TouchPolicyName(TouchPolicy policy);  // "never", "always", "cached"
absl::StatusOr<PinPolicy> PinPolicyFromName(absl::string_view name);
absl::StatusOr<TouchPolicy> TouchPolicyFromName(absl::string_view name);
// What SP 800-73-4 says where the card says nothing: 9C always, 9E never, all others once.
PinPolicy StandardPinPolicy(PivSlot slot);

struct PivVersion {
  uint8_t major = 0, minor = 0, patch = 0;
  auto operator<=>(const PivVersion&) const = default;
  std::string Text() const;
};

// GET METADATA (instruction F7).
struct SlotMetadata {
  uint8_t algorithm = 0;
  PinPolicy pin = PinPolicy::kUnknown;
  TouchPolicy touch = TouchPolicy::kUnknown;
  bool generated = false;  // made on the card
  std::optional<PublicKey>
      public_key;                  // absent for the management key, and kinds that Forekey lacks
  std::optional<bool> is_default;  // PIN, PUK, management key
  int tries_total = -1;            // PIN, PUK
  int tries_left = -1;
};
absl::StatusOr<SlotMetadata> ParseMetadata(absl::string_view bytes);

// The content of 7F49 (GENERATE's answer) or of metadata's public key: 86 point, or 81 modulus and
// 82 exponent. `algorithm`: what was asked for; tells Ed25519 from a curve's point.
absl::StatusOr<PublicKey> ParsePivPublicKey(absl::string_view bytes, uint8_t algorithm);

// The discovery object (7E, SP 800-73-4 part 1 §3.3.2): which PIN VERIFY takes. 0x80, the card's
// own PIN for this application, or 0x00, the global one where the card says that it comes first.
absl::StatusOr<uint8_t> ParsePinReference(absl::string_view object);

// The content (of 53) of a certificate object (part 1, appendix A): DER, inflated where CertInfo
// says that it is compressed: by 01, or by 80, as cards have it from before SP 800-73-3; an empty
// CertInfo says nothing. At most 16 KiB. NotFound for an object without certificate.
absl::StatusOr<std::string> ParseCertificateObject(absl::string_view content);
std::string EncodeCertificateObject(absl::string_view certificate);

// Whether the administrative data (5FFF00, content of 53) say that the PIN protects the management
// key...
absl::StatusOr<bool> ParseManagementKeyIsStored(absl::string_view content);
// ... which then lies in PRINTED (content of 53).
absl::StatusOr<Secret> ParseStoredManagementKey(absl::string_view content);

// PIN and touch policy out of a slot attestation's extension 1.3.6.1.4.1.41482.3.8. For prompts
// alone: the gate reads the certificate itself.
struct AttestedPolicies {
  PinPolicy pin = PinPolicy::kUnknown;
  TouchPolicy touch = TouchPolicy::kUnknown;
};
AttestedPolicies PoliciesOfAttestation(absl::string_view certificate);

}  // namespace forekey

#endif  // FOREKEY_HW_PIV_PIV_DATA_H_
