// SPDX-License-Identifier: Apache-2.0
// PIV keys: the attestation of a slot (Yubico's: slot certificate <- F9 certificate <- vendor), or,
// for cards without one, the certificate of an issuing CA.
#ifndef FOREKEY_SRC_VERIFY_PIV_ATTESTATION_H_
#define FOREKEY_SRC_VERIFY_PIV_ATTESTATION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "src/crypto/certificate.h"
#include "src/verify/piv_policy.h"
#include "src/verify/verified_attestation.h"

namespace forekey {

// Verifies that `slot` says, with a vendor's word behind it, that its key was generated in a PIV
// slot of one card and can't leave it. Intermediates (F9 and further) in any order, untrusted;
// those that don't help are ignored. What it can't say: who holds the card; possession is asked by
// the caller.
//
// Factors: `piv`, with `piv+pin` where the attested PIN policy is "always" and `piv+touch` where
// the touch policy is "always": then each signature had one. "once" and "cached" prove nothing of a
// single signature, "match-*" is a finger, not a PIN. A shared slot earns `piv-shared` alone.
//
// device_id: SHA-256 over the key that signed the F9 and the serial, whichever anchor the path ends
// at; empty where the card tells no serial (F9 certificates are shared by batches and name no
// card).
//
// Refuses with
//   kCertificate*, kCrl*      the path, the key usage of a CA's certificate, revocation
//   kCertificateProfile       a CA's certificate, the F9's own, or one that names no slot
//   kPivAttestationExtension  firmware or policies missing, an extension malformed
//   kKeyAlgorithm             not ES256, ES384, EdDSA or RS256 of 2048 to 4096 bits
//   kPivSlotMismatch          a slot that the policy does not take
//   kPivSharedKey, kPivFirmware, kPivFormFactor, kPivPolicy, those of firmware_check.h
//   kDeviceNotPinned          the serial is not in serial_allow, or in serial_deny
//   kEvidenceMalformed        too many intermediates
absl::StatusOr<VerifiedAttestation> VerifyPivAttestation(
    const Certificate& slot, const std::vector<Certificate>& intermediates,
    const PivPolicy& policy);

// Verifies the certificate of a card's key to an issuing CA. Nothing but a policy OID of
// `hardware_policies`, named in the certificate and holding from the anchor to it (RFC 5280 §6.1;
// none below a CA with policyMappings), says that the key is in hardware: then it is `piv`
// (dedicated) or `piv-shared`; else `cert`. Which slot, PIN or touch: nothing is known. Refuses
// with kCertificate*, kCrl*, kKeyAlgorithm, kPivSharedKey and kEvidenceMalformed; with lists in
// policy.revocation, the issuer's must be there.
absl::StatusOr<VerifiedAttestation> VerifyPivCertificate(
    const Certificate& certificate, const std::vector<Certificate>& intermediates,
    const PivPolicy& policy);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_PIV_ATTESTATION_H_
