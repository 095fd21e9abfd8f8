// SPDX-License-Identifier: Apache-2.0
// TPM attestation (WebAuthn Level 3 section 8.3; TPM 2.0 Library, Part 2 §10.12 and §12.2).
//
// Threats: a structure that the TPM did not make (magic), another of its attestations (type), one
// for another registration (extraData), one for another key (name), a key that the TPM got from
// software or may give away (attributes), any certificate of the maker in place of an AIK's
// (section 8.3.1), a CA that is not for AIKs above it (StatementResult::purpose).
//
// The statement's algorithm may be RS1, and in the field nearly always is: Windows Hello signs with
// SHA-1 whatever the credential's algorithm is. Here alone; collisions would have to be found in
// what the TPM itself composes, with its own clock and counters in it.
#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/verify/webauthn_certificate.h"
#include "src/verify/webauthn_statement.h"
#include "src/wire/tpm_attest.h"
#include "src/wire/tpm_constants.h"
#include "src/wire/tpm_public.h"

namespace forekey {
namespace {

absl::Status Unsupported(absl::string_view what) {
  return Refuse(Reason::kKeyAlgorithm, absl::StrCat("pubArea: ", what));
}

// The credential's key, used for nothing but signing, in that TPM for good.
absl::Status CheckPublicArea(const TpmPublic& area, const StatementInput& input) {
  FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, area.Key());
  if (key.spki() != input.data.attested->key.key.spki()) {
    return Refuse(Reason::kCredentialMismatch, "pubArea is not the credential's key");
  }
  if (area.name_algorithm() != tpm::kAlgSha256) {
    return Unsupported("a name algorithm other than SHA-256");
  }
  const uint16_t scheme = area.scheme().algorithm;
  if (area.symmetric().algorithm != tpm::kAlgNull ||
      (scheme != tpm::kAlgNull && scheme != (area.is_rsa() ? tpm::kAlgRsaSsa : tpm::kAlgEcdsa))) {
    return Unsupported("not a signing key's parameters");
  }
  const bool signs = area.Has(tpm::kSign) && !area.Has(tpm::kRestricted);
  const bool fixed = area.Has(tpm::kFixedTpm | tpm::kFixedParent | tpm::kSensitiveDataOrigin);
  if (!signs || (input.policy.require_fixed_tpm_key && !fixed)) {
    return Refuse(Reason::kKeyAttributes, tpm::AttributesText(area.attributes()));
  }
  return absl::OkStatus();
}

absl::Status CheckCertInfo(absl::string_view bytes, absl::string_view extra_data,
                           absl::string_view name) {
  FOREKEY_ASSIGN_OR_RETURN(const TpmAttest attest,
                           TpmAttest::ParseCertify(bytes, /*any_safe=*/true));
  if (attest.bytes != bytes) return MalformedStatement("certInfo with a size before it");
  if (attest.extra_data != extra_data) {
    return Refuse(Reason::kAttestExtraData, "extraData is not the hash of this registration");
  }
  if (attest.name != name) return Refuse(Reason::kAttestName);
  return absl::OkStatus();
}

// The hash of the registration, by the statement's algorithm.
absl::StatusOr<std::string> HashToBeSigned(int64_t algorithm, absl::string_view message) {
  const EVP_MD* md = StatementHash(algorithm, /*allow_rs1=*/true);
  if (md == nullptr) {
    return Refuse(Reason::kAttestationAlgorithm, absl::StrCat("COSE algorithm ", algorithm));
  }
  switch (EVP_MD_get_size(md)) {
    case 20:
      return Sha1(message);
    case 32:
      return Sha256(message);
    case 48:
      return Sha384(message);
    default:
      return Sha512(message);
  }
}

}  // namespace

absl::StatusOr<StatementResult> VerifyTpmStatement(const StatementInput& input) {
  const CborValue& statement = input.object.statement;
  if (statement.Find("ecdaaKeyId") != nullptr) {
    return Refuse(Reason::kAttestationFormatRefused, "tpm by ECDAA");
  }
  FOREKEY_RETURN_IF_ERROR(
      OnlyMembers(statement, {"ver", "alg", "x5c", "sig", "certInfo", "pubArea"}));
  if (statement.Find("ver")->text() != absl::string_view("2.0")) {
    return MalformedStatement("ver is not 2.0");
  }
  FOREKEY_ASSIGN_OR_RETURN(const int64_t algorithm, StatementInteger(statement, "alg"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view signature, StatementBytes(statement, "sig"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view cert_info,
                           StatementBytes(statement, "certInfo"));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view pub_area, StatementBytes(statement, "pubArea"));
  StatementResult result;
  result.type = AttestationType::kAttCa;
  result.composed_by_platform = true;
  FOREKEY_ASSIGN_OR_RETURN(result.x5c, StatementCertificates(statement));

  FOREKEY_ASSIGN_OR_RETURN(const TpmPublic area, TpmPublic::Parse(pub_area));
  if (area.bytes() != pub_area) return MalformedStatement("pubArea with a size before it");
  FOREKEY_RETURN_IF_ERROR(CheckPublicArea(area, input));
  FOREKEY_ASSIGN_OR_RETURN(
      const std::string extra_data,
      HashToBeSigned(algorithm, absl::StrCat(input.object.auth_data, input.client_data_hash)));
  FOREKEY_RETURN_IF_ERROR(CheckCertInfo(cert_info, extra_data, area.Name()));
  FOREKEY_RETURN_IF_ERROR(VerifyStatementSignature(result.x5c.front(), algorithm,
                                                   /*allow_rs1=*/true, cert_info, signature));
  FOREKEY_RETURN_IF_ERROR(
      CheckAikCertificate(result.x5c.front(), input.data.attested->aaguid, result.facts));
  result.understood_critical = AikCriticalExtensions();
  result.purpose = std::string(kAikPurpose);
  result.facts["statement_algorithm"] = algorithm;
  result.facts["tpm_key_attributes"] = tpm::AttributesText(area.attributes());
  return result;
}

}  // namespace forekey
