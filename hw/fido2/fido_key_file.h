// SPDX-License-Identifier: Apache-2.0
// Key references of FIDO2 credentials: one JSON object. The credential id is of use with the key
// alone. Private to hw/fido2.
#ifndef FOREKEY_HW_FIDO2_FIDO_KEY_FILE_H_
#define FOREKEY_HW_FIDO2_FIDO_KEY_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace forekey {

struct FidoKeyFile {
  std::string device_uri;     // where it was made; found again in any other place, see fido_key.h
  std::string credential_id;  // 1..1023 bytes
  std::string rp_id;
  std::string spki;    // DER
  std::string aaguid;  // 16 bytes, or empty (U2F)
  // The key shows the credential to nobody who has not given the PIN (credProtect level 3).
  bool hidden = false;
};

std::string SerializeFidoKeyFile(const FidoKeyFile& key);
// InvalidArgument, with what is wrong, for anything that SerializeFidoKeyFile() would not write.
absl::StatusOr<FidoKeyFile> ParseFidoKeyFile(absl::string_view text);

}  // namespace forekey

#endif  // FOREKEY_HW_FIDO2_FIDO_KEY_FILE_H_
