// SPDX-License-Identifier: Apache-2.0
// Certificates as they lie in a TPM's NV memory. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_CERTIFICATE_BYTES_H_
#define FOREKEY_HW_TPM_CERTIFICATE_BYTES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace forekey {

// The DER SEQUENCE at the beginning of an NV index: what lies behind it (filler of 0xff or 0x11 up
// to the index's size) is cut off, and so is the 5-byte TCG_PCCLIENT_STORED_CERT header with its
// tag (10 01 00 len len 10 02) that some firmware leaves before it. Empty where there is none.
std::string FirstCertificate(absl::string_view nv);

// Consecutive DER SEQUENCEs (EK certificate chain indices, EK Credential Profile 2.2.1.5.2, one
// after the other), at most `max`. Filler between them (0x00, 0xff, 0x11: an index is as long as
// its maker said) is passed over; it ends at the first other byte that begins none.
std::vector<std::string> SplitCertificates(absl::string_view nv, size_t max);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_CERTIFICATE_BYTES_H_
