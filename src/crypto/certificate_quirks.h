// SPDX-License-Identifier: Apache-2.0
// Certificates of real vendors that OpenSSL can't parse or verify as they stand, and the narrow
// repair for each. What is repaired is only what OpenSSL parses: Certificate::der() and the bytes
// that the issuer's signature covers stay the original ones.
#ifndef FOREKEY_SRC_CRYPTO_CERTIFICATE_QUIRKS_H_
#define FOREKEY_SRC_CRYPTO_CERTIFICATE_QUIRKS_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace forekey {

// Some STM TPM intermediates have a serial number with superfluous leading zero octets, which DER
// (X.690 §8.3.2) forbids and OpenSSL refuses; a card that takes random octets for the serial of a
// PIV slot attestation makes one of these, or one with a superfluous ff, in 256. Gives the
// certificate with a minimal serial; nullopt when the serial is not the trouble. Signatures must be
// checked over the original bytes.
std::optional<std::string> RepairSerial(absl::string_view der);

// A family of early Yubico U2F certificates has garbage in the unused-bits octet of the signature
// BIT STRING, so that OpenSSL masks bits out of the signature. Known verifiers clear the octet for
// exactly these six certificates, by SHA-256; the octet is not covered by the signature. Gives the
// repaired certificate; nullopt for every other.
std::optional<std::string> RepairUnusedBits(absl::string_view der);

// The three parts of Certificate ::= SEQUENCE (RFC 5280 §4.1), as they stand in `der`; nullopt when
// it is not of that shape.
struct CertificateParts {
  absl::string_view tbs;                  // the whole TLV, which is what is signed
  absl::string_view signature_algorithm;  // the whole TLV
  absl::string_view signature;            // the BIT STRING's bits; no unused ones
};
std::optional<CertificateParts> SplitCertificate(absl::string_view der);

}  // namespace forekey

#endif  // FOREKEY_SRC_CRYPTO_CERTIFICATE_QUIRKS_H_
