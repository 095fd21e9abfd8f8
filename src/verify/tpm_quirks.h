// SPDX-License-Identifier: Apache-2.0
// What real TPMs' certificates do that the specifications don't say, in one place: it reads what
// vendors wrote, however they wrote it. One allowance, IsEkByItsIssuersPurpose, takes what the
// profile would not.
#ifndef FOREKEY_SRC_VERIFY_TPM_QUIRKS_H_
#define FOREKEY_SRC_VERIFY_TPM_QUIRKS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/certificate.h"

namespace forekey {

// The TPM attributes in the subjectAltName's directoryName (EK Credential Profile §3.1.2, RFC 4043
// style): empty where they are absent.
struct TpmAttributes {
  std::string manufacturer;  // "id:494E5443", as it stands
  std::string model;
  std::string version;  // "id:13": the firmware when the certificate was made
};

// Takes the three attributes as one multi-valued RDN in any order (Nuvoton, Intel), as three RDNs
// (others), in any string type. Refuses with kCertificateProfile a subjectAltName that does not
// parse, one attribute that is there twice with different values, and, since it is this function
// that understands a critical subjectAltName, a critical one that holds no directoryName.
absl::StatusOr<TpmAttributes> ReadTpmAttributes(const Certificate& certificate);

// Google's vTPMs have EK certificates without extKeyUsage, under a CA whose own extKeyUsage is
// tcg-kp-EKCertificate and nothing else. True where `leaf` is such a one, issued by `issuer`; its
// keyUsage must not say that it signs, since by that alone that CA's AK certificates differ.
bool IsEkByItsIssuersPurpose(const Certificate& leaf, const Certificate& issuer);

// "Intel" for "id:494E5443"; the identifier's four characters where the vendor is not known, and
// the text as it stands where it is no identifier (TCG TPM Vendor ID Registry).
std::string TpmVendorName(absl::string_view manufacturer);

// True for the EK certificate of a TPM 1.2: its key is marked id-RSAES-OAEP (RFC 4055), or its
// tpmSpecification attribute (2.23.133.2.16) says family "1.2". Their SHA-1 protocols can't bind a
// TPM 2.0 AK.
bool IsTpm12Certificate(const Certificate& certificate);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_TPM_QUIRKS_H_
