// SPDX-License-Identifier: Apache-2.0
// The storage key, keys under it, and sessions salted to it. Private to hw/tpm.
#ifndef FOREKEY_HW_TPM_KEYS_H_
#define FOREKEY_HW_TPM_KEYS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hw/tpm/esys.h"
#include "src/base/secret.h"

namespace forekey {

inline constexpr TPM2_HANDLE kOwnerParent = 0x40000001;
inline constexpr TPM2_HANDLE kPersistentStorageKey = 0x81000001;

// A TPM's authorisation values have at most the size of the key's name algorithm's digest.
inline constexpr size_t kMaxKeyPassword = 32;

struct Blobs {
  TPM2B_PUBLIC public_area{};
  TPM2B_PRIVATE private_area{};
};

// 0x81000001 where it is a P-256 storage key as the ecosystem makes it, kOwnerParent otherwise.
absl::StatusOr<TPM2_HANDLE> ChooseParent(Esys& esys);
// `expected_name`: from the key's reference; empty when it is not known yet. kNotSetUp when the key
// has another Name: the TPM was cleared, or is another one, or somebody stands in between.
absl::StatusOr<EsysHandle> LoadParent(Esys& esys, TPM2_HANDLE parent,
                                      absl::string_view expected_name);

// An HMAC session whose key is salted to `parent`, AES-128-CFB for parameters, good for several
// commands. `attributes`: TPMA_SESSION_DECRYPT (the caller's first parameter is encrypted) and
// TPMA_SESSION_ENCRYPT (the TPM's).
absl::StatusOr<EsysHandle> StartSaltedSession(Esys& esys, const EsysHandle& parent,
                                              TPMA_SESSION attributes);

// `password` crosses the bus encrypted.
absl::StatusOr<Blobs> CreateKeyUnder(Esys& esys, const EsysHandle& parent,
                                     const TPM2B_PUBLIC& wanted, const Secret& password);
absl::StatusOr<EsysHandle> LoadKeyUnder(Esys& esys, const EsysHandle& parent, const Blobs& blobs);

// Tells ESYS the key's password; it is used in HMACs alone.
absl::Status SetPassword(Esys& esys, const EsysHandle& key, const Secret& password);

// ECDSA over a SHA-256 digest (32 bytes), as DER. `session`: ESYS_TR_PASSWORD for a key without
// one.
absl::StatusOr<std::string> SignDigest(Esys& esys, const EsysHandle& key, ESYS_TR session,
                                       absl::string_view digest);

}  // namespace forekey

#endif  // FOREKEY_HW_TPM_KEYS_H_
