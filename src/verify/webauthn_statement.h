// SPDX-License-Identifier: Apache-2.0
// Attestation statements (WebAuthn Level 3 section 8): each format's own checks. Whether the chain
// leads to somebody trusted is webauthn_trust.h's business. For src/verify/webauthn_*.cc.
//
// All refuse with kEvidenceMalformed for a statement of another shape; what else is said at each.
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_STATEMENT_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_STATEMENT_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"
#include "src/verify/webauthn_policy.h"
#include "src/wire/attestation_object.h"
#include "src/wire/authenticator_data.h"

namespace forekey {

// Section 6.5.3.
enum class AttestationType { kNone, kSelf, kBasic, kAttCa };
absl::string_view AttestationTypeName(AttestationType type);  // "none", "self", "basic", "attca"

// COSE algorithms of statements (RFC 9053, RFC 8812): more than credentials may have, since they
// are the vendor's choice and sign once.
inline constexpr int64_t kCoseRs1 = -65535;  // tpm statements alone: webauthn_quirks.h

struct StatementInput {
  const AttestationObject& object;
  const AuthenticatorData& data;
  absl::string_view client_data_hash;  // SHA-256 of clientDataJSON
  const WebAuthnPolicy& policy;
};

struct StatementResult {
  AttestationType type = AttestationType::kNone;
  std::vector<Certificate> x5c;  // the attestation certificate first; empty for self and none
  std::vector<std::string> understood_critical;  // extensions of x5c[0] that were checked
  // What the CAs above x5c[0] must be for (PathOptions::purpose); empty where section 8 names none.
  std::string purpose;
  // The statement's signature covers flags, counter and AAGUID (fido-u2f's does not).
  bool covers_authenticator_data = true;
  // What composed the authenticator data is not what the statement is about: a TPM signs for the
  // platform.
  bool composed_by_platform = false;
  nlohmann::json facts = nlohmann::json::object();  // of the format, for administrators
};

// Sections 8.2 (packed), 8.3 (tpm), 8.6 (fido-u2f), 8.7 (none). The attested key must be in
// input.data. Refuse: kAttestationAlgorithm, kAttestationSignature, kCredentialMismatch,
// kCertificateMalformed, kCertificateProfile, kCertificatePurpose, kAaguidMismatch,
// kAttestationFormatRefused (ECDAA), and for tpm also the reasons kAttest* and kKeyAttributes.
absl::StatusOr<StatementResult> VerifyPackedStatement(const StatementInput& input);
absl::StatusOr<StatementResult> VerifyTpmStatement(const StatementInput& input);
absl::StatusOr<StatementResult> VerifyFidoU2fStatement(const StatementInput& input);
absl::StatusOr<StatementResult> VerifyNoneStatement(const StatementInput& input);

// ---- For the formats ----

absl::Status MalformedStatement(absl::string_view what);
// A member of the statement; refuses when it is missing or of another type.
absl::StatusOr<absl::string_view> StatementBytes(const CborValue& statement,
                                                 absl::string_view name);
absl::StatusOr<int64_t> StatementInteger(const CborValue& statement, absl::string_view name);
// 1 to 8 certificates of at most 16 KiB; x5c[0] must parse, later ones that don't are left out.
absl::StatusOr<std::vector<Certificate>> StatementCertificates(const CborValue& statement);
// The members of `statement` are these, all of them and no others.
absl::Status OnlyMembers(const CborValue& statement,
                         std::initializer_list<absl::string_view> names);

// The hash of a statement's algorithm; nullptr for an algorithm that is not accepted.
const EVP_MD* StatementHash(int64_t algorithm, bool allow_rs1);
// By the attestation certificate's key. The algorithm is the statement's, never that of the
// certificate's own signature, and must suit the key: kAttestationAlgorithm otherwise.
absl::Status VerifyStatementSignature(const Certificate& signer, int64_t algorithm, bool allow_rs1,
                                      absl::string_view message, absl::string_view signature);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_STATEMENT_H_
