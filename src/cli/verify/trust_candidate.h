// SPDX-License-Identifier: Apache-2.0
// One certificate that somebody wants trusted: whose it is and for what, or why not.
#ifndef FOREKEY_SRC_CLI_VERIFY_TRUST_CANDIDATE_H_
#define FOREKEY_SRC_CLI_VERIFY_TRUST_CANDIDATE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/crypto/certificate.h"

namespace forekey {

// What a CA vouches for; the names of the gate's [attestation.*] tables and of the folders of
// trust.
enum class TrustKind { kTpm, kFido2, kPiv };
absl::string_view TrustKindName(TrustKind kind);
std::optional<TrustKind> TrustKindFromName(absl::string_view name);

// Guessed by what the certificate says (extKeyUsage, names) and by the name of the file that it
// came in ("AMD/RootCA/..."); nullopt where neither tells. A guess chooses the folder that it is
// put into, never whether it is trusted: that is the person's decision, who is shown it.
std::optional<TrustKind> GuessTrustKind(const Certificate& certificate, absl::string_view file);

// Of a vendor who makes keys of all kinds: it is for those that no gate takes (of OpenPGP, of a
// YubiKey's security domain, of a YubiHSM).
bool IsForOtherUse(const Certificate& certificate);

// "infineon", "stmicroelectronics", ...; "other" where it is none of the known ones. For file
// names.
std::string TrustVendor(const Certificate& certificate, absl::string_view file);

// It signed itself.
bool IsRoot(const Certificate& certificate);

// Of a file that can't be parsed: it may be a certificate that was not copied whole, or damaged, by
// how it begins or by its name. A revocation list is none.
bool LooksLikeCertificate(absl::string_view bytes, absl::string_view file);

// Why it must not become an anchor: it is no CA, has ended or not begun, its key is weak or of no
// kind that is known (RSA has 2048 bits at least, curves 256, Ed25519 and Ed448 are good), or, for
// what is no root, it is signed by a hash other than SHA-256 and its greater and later kin.
//
// An anchor is taken as it is by the verifiers (TrustAnchors): here it is looked at.
absl::Status CheckTrustCandidate(const Certificate& certificate, absl::Time now,
                                 bool allow_expired);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_VERIFY_TRUST_CANDIDATE_H_
