// SPDX-License-Identifier: Apache-2.0
// FIDO U2F attestation (WebAuthn Level 3 section 8.6).
//
// The signature covers rpIdHash, client data, credential id and public key. It does not cover
// flags, counter or AAGUID: whoever relays the registration may set them. So nothing is concluded
// from them (StatementResult::covers_authenticator_data), and there is no user verification to be
// had.
#include <openssl/core_names.h>

#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/webauthn_statement.h"

namespace forekey {
namespace {

constexpr int64_t kEs256 = -7;

// Section 8.6 asks nothing of the certificate but its curve. A TPM signs for its owner, with an
// attestation key too, every message that does not begin as its own structures do; this one begins
// with a zero.
bool IsForTpmKeys(const Certificate& certificate) {
  return absl::c_any_of(certificate.ExtendedKeyUsages(), [](absl::string_view purpose) {
    return absl::StartsWith(purpose, "2.23.133.8.");  // tcg-kp
  });
}

bool IsP256(EVP_PKEY* key) {
  char group[64] = {};
  return key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) == 1 &&
         OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

}  // namespace

absl::StatusOr<StatementResult> VerifyFidoU2fStatement(const StatementInput& input) {
  const CborValue& statement = input.object.statement;
  FOREKEY_RETURN_IF_ERROR(OnlyMembers(statement, {"sig", "x5c"}));
  FOREKEY_ASSIGN_OR_RETURN(const absl::string_view signature, StatementBytes(statement, "sig"));
  StatementResult result;
  result.type = AttestationType::kBasic;
  result.covers_authenticator_data = false;
  if (const CborValue* x5c = statement.Find("x5c"); x5c->elements().size() != 1) {
    return MalformedStatement("x5c of fido-u2f holds exactly one certificate");
  }
  FOREKEY_ASSIGN_OR_RETURN(result.x5c, StatementCertificates(statement));
  if (!IsP256(result.x5c.front().key())) {
    return Refuse(Reason::kCertificateProfile,
                  "attestation certificate, section 8.6: its key is not on P-256");
  }
  if (IsForTpmKeys(result.x5c.front())) {
    return Refuse(Reason::kCertificatePurpose, "a TPM's certificate with a U2F token's statement");
  }
  const AttestedCredentialData& attested = *input.data.attested;
  if (attested.key.key.algorithm() != Algorithm::kEs256) {
    return Refuse(Reason::kKeyAlgorithm, "a U2F credential is not on P-256");
  }
  const std::string message =
      absl::StrCat(absl::string_view("\0", 1), input.data.rp_id_hash, input.client_data_hash,
                   attested.credential_id, "\x04", attested.key.x, attested.key.y);
  FOREKEY_RETURN_IF_ERROR(VerifyStatementSignature(result.x5c.front(), kEs256,
                                                   /*allow_rs1=*/false, message, signature));
  return result;
}

}  // namespace forekey
