// SPDX-License-Identifier: Apache-2.0
// TPMT_PUBLIC and its kin, to and from bytes and public keys. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_TPM_PUBLIC_H_
#define FOREKEY_HW_TPM_TPM_PUBLIC_H_

#include <tss2/tss2_tpm2_types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/public_key.h"

namespace forekey {

absl::StatusOr<std::string> Marshal(const TPM2B_PUBLIC& value);
absl::StatusOr<std::string> Marshal(const TPM2B_PRIVATE& value);
absl::StatusOr<std::string> Marshal(const TPMT_SIGNATURE& value);

// From whole buffers: InvalidArgument when they don't parse or something is left over.
absl::StatusOr<TPM2B_PUBLIC> UnmarshalPublic(absl::string_view bytes);
absl::StatusOr<TPM2B_PRIVATE> UnmarshalPrivate(absl::string_view bytes);
absl::StatusOr<TPM2B_ID_OBJECT> UnmarshalIdObject(absl::string_view bytes);
absl::StatusOr<TPM2B_ENCRYPTED_SECRET> UnmarshalEncryptedSecret(absl::string_view bytes);
// A TPMT_PUBLIC without a size before it, as EK templates stand in NV; what follows is ignored.
absl::StatusOr<TPMT_PUBLIC> UnmarshalTemplate(absl::string_view bytes);

// RSA, P-256 or P-384. Refuses what src/crypto refuses.
absl::StatusOr<PublicKey> PublicKeyOf(const TPMT_PUBLIC& area);

// ECDSA r and s as DER (RFC 3279). InvalidArgument for another kind of signature.
absl::StatusOr<std::string> EcdsaDer(const TPMT_SIGNATURE& signature);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_TPM_PUBLIC_H_
