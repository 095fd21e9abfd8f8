// SPDX-License-Identifier: Apache-2.0
// EK certificates as they lie in a TPM's NV indices.
#ifndef FOREKEY_SRC_WIRE_TPM_NV_CERTIFICATE_H_
#define FOREKEY_SRC_WIRE_TPM_NV_CERTIFICATE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

// The certificate's DER within what was read from NV. Indices are often larger than the
// certificate: what follows it may be filler (any run of 0xff, 0x00 and 0x11 octets: seen from
// several vendors) and nothing else. TCG_PCCLIENT_STORED_CERT (TCG PC Client TPM 1.2 §7.4.1), which
// some TPM 2.0 still carry, is taken off: 10 01, 00, the length of what follows, 10 02. Refuses
// with kCertificateMalformed. Does not look into the certificate.
absl::StatusOr<absl::string_view> TrimNvCertificate(absl::string_view nv);

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_TPM_NV_CERTIFICATE_H_
