// SPDX-License-Identifier: Apache-2.0
// Packed attestation (WebAuthn Level 3 section 8.2).
//
// Threats: a statement lifted from another registration (the signature covers authenticator data
// and client data), a certificate of another model (AAGUID extension), a CA's or any other
// certificate of the same vendor used as an attestation certificate (section 8.2.1), self
// attestation passed off as a vendor's (the type is reported, and refused by default), an algorithm
// of the attacker's choice.
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/webauthn_certificate.h"
#include "src/verify/webauthn_statement.h"

namespace forekey {
namespace {

absl::StatusOr<StatementResult> VerifySelf(const StatementInput& input, int64_t algorithm,
                                           absl::string_view message, absl::string_view signature) {
  FOREKEY_RETURN_IF_ERROR(OnlyMembers(input.object.statement, {"alg", "sig"}));
  const PublicKey& key = input.data.attested->key.key;
  if (algorithm != static_cast<int64_t>(key.algorithm())) {
    return Refuse(Reason::kAttestationAlgorithm,
                  absl::StrCat("self attestation by COSE algorithm ", algorithm,
                               ", the credential's is ", static_cast<int64_t>(key.algorithm())));
  }
  if (!key.Verify(message, signature).ok()) return Refuse(Reason::kAttestationSignature);
  StatementResult result;
  result.type = AttestationType::kSelf;
  return result;
}

}  // namespace

absl::StatusOr<StatementResult> VerifyPackedStatement(const StatementInput& input) {
  const CborValue& statement = input.object.statement;
  if (statement.Find("ecdaaKeyId") != nullptr) {
    return Refuse(Reason::kAttestationFormatRefused, "packed by ECDAA");
  }
  FOREKEY_ASSIGN_OR_RETURN(const int64_t algorithm, StatementInteger(statement, "alg"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view signature, StatementBytes(statement, "sig"));
  const std::string message = absl::StrCat(input.object.auth_data, input.client_data_hash);
  if (statement.Find("x5c") == nullptr) return VerifySelf(input, algorithm, message, signature);

  FOREKEY_RETURN_IF_ERROR(OnlyMembers(statement, {"alg", "sig", "x5c"}));
  StatementResult result;
  result.type = AttestationType::kBasic;
  FOREKEY_ASSIGN_OR_RETURN(result.x5c, StatementCertificates(statement));
  FOREKEY_RETURN_IF_ERROR(VerifyStatementSignature(result.x5c.front(), algorithm,
                                                   /*allow_rs1=*/false, message, signature));
  FOREKEY_RETURN_IF_ERROR(CheckPackedCertificate(result.x5c.front(), input.data.attested->aaguid));
  result.facts["statement_algorithm"] = algorithm;
  return result;
}

}  // namespace forekey
