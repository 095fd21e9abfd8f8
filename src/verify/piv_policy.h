// SPDX-License-Identifier: Apache-2.0
// What a gate, or an administrator offline, asks of PIV keys. Empty members ask nothing.
#ifndef FOREKEY_SRC_VERIFY_PIV_POLICY_H_
#define FOREKEY_SRC_VERIFY_PIV_POLICY_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "src/crypto/certificate.h"
#include "src/crypto/revocation_list.h"
#include "src/wire/firmware_list.h"
#include "src/wire/piv_attestation.h"

namespace forekey {

// Slots whose keys nothing else is meant to sign with: the retired ones (82 to 95) and 9C. The
// others (9A for TLS and logon, 9D, 9E) are shared with whatever else uses the card.
bool IsDedicatedPivSlot(uint8_t slot);

enum class PivWeakness {
  kReport,             // say it in what is proved, refuse nothing
  kRefuseRecoverable,  // refuse keys that can be computed from what everybody sees
  kRefuseAll,
};

struct PivPolicy {
  const TrustAnchors* trust =
      nullptr;  // vendors' roots for attestations, issuing CAs for certificates
  absl::Time time;
  size_t max_intermediates = 8;  // more refuse (kEvidenceMalformed): strangers send them
  std::vector<RevocationList> revocation;
  bool insecure_simulators = false;  // `trust` is simulators': say so in what is proved
  bool allow_shared = false;         // shared keys earn `piv-shared` and nothing else

  // Attestations.
  std::set<uint8_t> slots;                                          // empty: any
  enum class Pin { kAny, kOnce, kAlways } pin = Pin::kAny;          // at least
  enum class Touch { kAny, kCached, kAlways } touch = Touch::kAny;  // at least
  std::optional<PivFirmware> min_firmware;
  const FirmwareList* firmware = nullptr;  // the organisation's; borrowed
  bool fips_only = false;
  std::set<uint8_t> form_factors;   // without the FIPS bit; empty: any
  std::set<uint64_t> serial_allow;  // empty: any; else a card without serial is refused
  std::set<uint64_t> serial_deny;
  PivWeakness weakness = PivWeakness::kRefuseRecoverable;

  // Certificates of cards without attestation.
  std::vector<std::string> hardware_policies;  // dotted: these say that the key is in hardware
  bool hardware_only = false;                  // refuse (kCertificatePolicy) what none of them says
  // extKeyUsage that an issuer reserves for Forekey: a certificate with these alone is dedicated.
  // Every other one (TLS client, mail, logon, any, or no extKeyUsage at all) is of a shared key.
  std::vector<std::string> dedicated_usages;
  // extKeyUsage must have one of these (else kCertificatePurpose). Empty: any usage will do.
  std::vector<std::string> required_usages;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_PIV_POLICY_H_
