// SPDX-License-Identifier: Apache-2.0
// TPM2_MakeCredential in software: TPM 2.0 Library, Part 1 §24 (credential protection) and annexes
// B.10 and C.6; Part 3 §12.6.
#ifndef FOREKEY_SRC_VERIFY_TPM_MAKE_CREDENTIAL_H_
#define FOREKEY_SRC_VERIFY_TPM_MAKE_CREDENTIAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/secret.h"
#include "src/wire/tpm_public.h"

namespace forekey {

// The size of the secret that an enrolment asks a TPM to open.
inline constexpr size_t kActivationSecretSize = 32;

// What TPM2_ActivateCredential takes.
struct TpmCredential {
  std::string credential_blob;   // TPM2B_ID_OBJECT
  std::string encrypted_secret;  // TPM2B_ENCRYPTED_SECRET
};

// Seals `secret` (1 byte to the size of the EK's nameAlg) so that only the TPM with the EK opens
// it, and only while it holds the object named `ak_name`. `ek`: from a VerifiedEndorsement, whose
// template was checked. Errors: InvalidArgument for another size or name; kEkUnsupported for an EK
// without AES-CFB protection; Internal when OpenSSL fails.
absl::StatusOr<TpmCredential> MakeCredential(const TpmPublic& ek, absl::string_view ak_name,
                                             const Secret& secret);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_TPM_MAKE_CREDENTIAL_H_
