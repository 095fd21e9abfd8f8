// SPDX-License-Identifier: Apache-2.0
// Key references: the ecosystem's TSS2 key file (draft-bottomley-tpm2-keys, ASN.1 TPMKey, type
// "loadable key", 2.23.133.10.1.3) with two lines before it that PEM readers skip:
//
//   Forekey-Device: tpm:
//   Forekey-Parent-Name: 000b...        (hex)
//   -----BEGIN TSS2 PRIVATE KEY-----
//
// The private part is encrypted by the parent and of use in that TPM alone. The parent's Name makes
// sure that later sessions are salted to the same storage key as at enrolment, not to one that
// somebody between the TPM and this program offers. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_KEY_FILE_H_
#define FOREKEY_HW_TPM_KEY_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct TpmKeyFile {
  std::string device_uri;   // "tpm:..."
  std::string parent_name;  // 34 bytes (SHA-256 Name), or empty where the file does not say
  uint32_t parent = 0;      // 0x40000001 (owner: the storage root template) or 0x81xxxxxx
  bool has_password = false;
  std::string public_area;   // TPM2B_PUBLIC
  std::string private_area;  // TPM2B_PRIVATE
};

absl::StatusOr<std::string> SerializeKeyFile(const TpmKeyFile& key);
// InvalidArgument, with what is wrong, for anything that SerializeKeyFile() would not write, apart
// from a file without our two lines (then the device is "tpm:").
absl::StatusOr<TpmKeyFile> ParseKeyFile(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_KEY_FILE_H_
