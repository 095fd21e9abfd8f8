// SPDX-License-Identifier: Apache-2.0
// What attestation certificates must say of themselves: WebAuthn Level 3 sections 8.2.1 (packed),
// 8.3.1 (AIKs of tpm statements) and 8.6 (U2F). For src/verify/webauthn_*.cc.
//
// Deviations, each with its reason:
// - basicConstraints need not be critical, subject fields may be of any string type, and there need
//   be no authorityKeyIdentifier: real leaves are like that.
// - The AAGUID extension is optional, as in the specification; where it is, it must match.
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_CERTIFICATE_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_CERTIFICATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"

namespace forekey {

inline constexpr absl::string_view kAaguidExtension = "1.3.6.1.4.1.45724.1.1.4";
inline constexpr absl::string_view kAikPurpose = "2.23.133.8.3";  // tcg-kp-AIKCertificate

// Section 8.2.1. Refuses with kCertificateProfile or kAaguidMismatch. `aaguid`: 16 bytes, of the
// authenticator data.
absl::Status CheckPackedCertificate(const Certificate& certificate, absl::string_view aaguid);
// Section 8.3.1. Refuses also with kCertificatePurpose (the EKU). Writes the TPM's manufacturer,
// model and version into `facts`.
absl::Status CheckAikCertificate(const Certificate& certificate, absl::string_view aaguid,
                                 nlohmann::json& facts);
// The extensions of an AIK certificate that are read by CheckAikCertificate and may be critical.
std::vector<std::string> AikCriticalExtensions();

// The AAGUID that the certificate names in kAaguidExtension; empty where it names none, or not as
// it should.
std::string CertifiedAaguid(const Certificate& certificate);

// The firmware that the attestation is of: id-fido-gen-ce-fw-version (section 8.2.1, an INTEGER),
// else Yubico's extension (1.3.6.1.4.1.41482.13.1, three octets), as 0x050704 for 5.7.4. Nullopt
// where the certificate tells none, or not as it should.
std::optional<uint64_t> CertifiedFirmware(const Certificate& certificate);
// The same of one extension's value, whole: strangers write it.
std::optional<uint64_t> FidoFirmwareFromInteger(absl::string_view der);
std::optional<uint64_t> FidoFirmwareFromOctets(absl::string_view der);

// SHA-1 of the subject's public key (RFC 5280 section 4.2.1.2, method 1): the metadata service's
// attestationCertificateKeyIdentifiers.
std::string AttestationKeyId(const Certificate& certificate);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_CERTIFICATE_H_
