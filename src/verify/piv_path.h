// SPDX-License-Identifier: Apache-2.0
// What a slot's attestation and a card's certificate have in common.
#ifndef FOREKEY_SRC_VERIFY_PIV_PATH_H_
#define FOREKEY_SRC_VERIFY_PIV_PATH_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"
#include "src/crypto/public_key.h"
#include "src/verify/piv_policy.h"

namespace forekey {

// The path to policy.trust at policy.time; too many intermediates are refused (kEvidenceMalformed)
// before any signature is checked.
absl::StatusOr<VerifiedPath> FindPivPath(const Certificate& leaf,
                                         const std::vector<Certificate>& intermediates,
                                         const PivPolicy& policy, PathOptions options);

// kCertificateProfile for a certificate whose key may issue certificates or lists.
absl::Status RefuseCa(const Certificate& leaf);

// kKeyAlgorithm for a key that makes no signatures that Forekey checks.
absl::StatusOr<PublicKey> PivKeyOf(const Certificate& leaf);

// Adds "key", "key_sha256", "path", "certificate_sha256" and "anchor_sha256".
void DescribePivPath(const VerifiedPath& path, const PublicKey& key, nlohmann::json* proved);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_PIV_PATH_H_
