// SPDX-License-Identifier: Apache-2.0
#include "src/verify/webauthn_registration.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/verify/roca_modulus.h"
#include "src/verify/webauthn_statement.h"
#include "src/verify/webauthn_trust.h"
#include "src/wire/base64url.h"

namespace forekey {
namespace {

nlohmann::json FlagsJson(AuthenticatorFlags flags) {
  return {{"up", flags.up()}, {"uv", flags.uv()}, {"be", flags.be()}, {"bs", flags.bs()}};
}

using StatementVerifier = absl::StatusOr<StatementResult> (*)(const StatementInput&);

// Asked before anything else is judged: of a format that is not taken, the rest tells nothing.
absl::StatusOr<StatementVerifier> VerifierOf(absl::string_view format) {
  if (format == "packed") return VerifyPackedStatement;
  if (format == "tpm") return VerifyTpmStatement;
  if (format == "fido-u2f") return VerifyFidoU2fStatement;
  if (format == "none") return VerifyNoneStatement;
  return Refuse(Reason::kAttestationFormatRefused,
                absl::StrCat("format \"", absl::CHexEscape(format.substr(0, 64)), "\""));
}

// Section 7.1 steps 15 to 19. What the statement does not cover is looked at too: an honest client
// that says "no user" has refused.
absl::Status CheckFlags(const RegistrationOptions& options, const AuthenticatorData& data) {
  if (!ConstantTimeEqual(data.rp_id_hash, options.relying_party->rp_id_hash)) {
    return Refuse(Reason::kRpIdMismatch);
  }
  if (!data.flags.up()) return Refuse(Reason::kUserNotPresent);
  if (options.policy.require_user_verification && !data.flags.uv()) {
    return Refuse(Reason::kUserNotVerified);
  }
  if (data.flags.be() && !options.policy.allow_backup_eligible) {
    return Refuse(Reason::kBackupEligible);
  }
  if (!data.attested) {
    return Refuse(Reason::kFlagsInvalid, "no attested credential data (AT) in a registration");
  }
  return absl::OkStatus();
}

// R7, R10: what says that a user was verified must be the token.
absl::Status CheckUserVerification(const WebAuthnPolicy& policy, absl::string_view format) {
  if (!policy.require_user_verification) return absl::OkStatus();
  if (format == "fido-u2f") {
    return Refuse(Reason::kUserNotVerified, "fido-u2f does not prove user verification");
  }
  if (IsComposedByPlatform(format) && !policy.platform_user_verification) {
    return Refuse(Reason::kUserNotVerified,
                  "with a statement of the format tpm the operating system alone says that the "
                  "user was verified (platform_user_verification)");
  }
  return absl::OkStatus();
}

// Told before anything is verified; `proved` begins as a copy of it.
nlohmann::json Describe(const AttestationObject& object, const AuthenticatorData& data,
                        const ClientData& client) {
  nlohmann::json facts = {{"kind", "fido2"},
                          {"format", std::string(object.format)},
                          {"flags", FlagsJson(data.flags)},
                          {"sign_count", data.sign_count},
                          {"extensions", data.extensions},
                          {"cross_origin", client.cross_origin.value_or(false)}};
  if (client.top_origin) facts["top_origin"] = *client.top_origin;
  if (object.tail != 0) facts["ignored_tail_bytes"] = object.tail;
  if (data.attested) {
    facts["aaguid"] = AaguidText(data.attested->aaguid);
    facts["credential_id"] = Base64UrlEncode(data.attested->credential_id);
    facts["algorithm"] = std::string(AlgorithmName(data.attested->key.key.algorithm()));
    facts["public_key_sha256"] = absl::BytesToHexString(Sha256(data.attested->key.key.spki()));
  }
  return facts;
}

}  // namespace

bool IsComposedByPlatform(absl::string_view format) { return format == "tpm"; }

absl::StatusOr<VerifiedAttestation> VerifyRegistration(const RegistrationOptions& options,
                                                       nlohmann::json* seen) {
  FOREKEY_ASSIGN_OR_RETURN(const AttestationObject object,
                           AttestationObject::Parse(options.attestation_object));
  FOREKEY_ASSIGN_OR_RETURN(const StatementVerifier verify_statement, VerifierOf(object.format));
  FOREKEY_ASSIGN_OR_RETURN(const ClientData client, ClientData::Parse(options.client_data_json));
  CoseKeyOptions key_options;
  key_options.from_u2f = object.format == "fido-u2f";
  FOREKEY_ASSIGN_OR_RETURN(const AuthenticatorData data,
                           AuthenticatorData::Parse(object.auth_data, key_options));
  nlohmann::json proved = Describe(object, data, client);
  if (seen != nullptr) *seen = proved;
  FOREKEY_RETURN_IF_ERROR(CheckClientData(client, kClientDataCreate, options.challenge,
                                          options.relying_party->origin,
                                          options.policy.allow_cross_origin));
  FOREKEY_RETURN_IF_ERROR(CheckFlags(options, data));
  FOREKEY_RETURN_IF_ERROR(
      CheckRocaModulus(data.attested->key.key.evp(), Reason::kKeyAlgorithm, "the credential's"));

  const std::string client_data_hash = Sha256(options.client_data_json);
  FOREKEY_ASSIGN_OR_RETURN(const StatementResult statement,
                           verify_statement({object, data, client_data_hash, options.policy}));
  proved["attestation_type"] = std::string(AttestationTypeName(statement.type));
  proved["authenticator_data_signed"] = statement.covers_authenticator_data;
  proved.update(statement.facts);
  if (seen != nullptr) *seen = proved;
  FOREKEY_RETURN_IF_ERROR(CheckUserVerification(options.policy, object.format));
  const absl::Status trusted = CheckTrust(options, data, statement, proved);
  if (seen != nullptr) *seen = proved;
  FOREKEY_RETURN_IF_ERROR(trusted);
  if (options.insecure_simulators) proved["insecure_simulator"] = true;
  return AttestationBuilder::Build(v1::TOKEN_KIND_FIDO2, data.attested->key.key, /*device_id=*/"",
                                   {"fido2"}, std::move(proved));
}

}  // namespace forekey
