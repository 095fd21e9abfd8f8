// SPDX-License-Identifier: Apache-2.0
// Registrations: WebAuthn Level 3 section 7.1, with the attestation verified to a trust anchor.
// Pure functions of bytes, anchors, policy and time.
//
// Threats, and what stands against each:
//  R1 one made for another relying party or enrolment   rpIdHash, origin, challenge
//  R2 an assertion passed off as a registration         type; attested credential data is there
//  R3 a software key that says it is hardware           signature, path to an anchor; self and
//                                                       none refused unless the policy allows
//  R4 a vendor's other certificate as attestation       sections 8.2.1, 8.3.1, 8.6
//  R5 one model's attestation for another's             AAGUID extension, roots of its own
//                                                       metadata entry only
//  R6 a model that was revoked or whose keys leaked     status reports
//  R7 what is not signed taken as proved                fido-u2f: flags, counter, AAGUID ignored
//  R8 a key that is copied elsewhere                    BE refused, tpm key attributes
//  R9 structures that two parsers read in two ways      canonical CBOR, no duplicates, no leftovers
//  R10 what a TPM's owner has it sign taken as proved   tpm: the user is not verified, the model is
//                                                       nobody's unless a vendor says so
//  R11 keys that can be computed from what is public    roca_modulus.h: the credential's, and the
//                                                       one that signed the statement
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_REGISTRATION_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_REGISTRATION_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/crypto/certificate.h"
#include "src/verify/fido_metadata.h"
#include "src/verify/verified_attestation.h"
#include "src/verify/webauthn_ceremony.h"
#include "src/verify/webauthn_policy.h"
#include "src/wire/firmware_list.h"

namespace forekey {

struct RegistrationOptions {
  absl::string_view attestation_object;
  absl::string_view client_data_json;
  absl::string_view challenge;  // raw bytes
  const RelyingParty* relying_party = nullptr;
  WebAuthnPolicy policy;
  // Whom attestations chain to; either or both may be null. A model's roots in the metadata serve
  // that model alone; `anchors` serve every one.
  const TrustAnchors* anchors = nullptr;
  const FidoMetadata* metadata = nullptr;
  const FirmwareList* firmware = nullptr;  // the organisation's; null asks nothing
  absl::Time time;
  // The anchors are simulators': proved() says so.
  bool insecure_simulators = false;
};

// Statements of this format are composed by the operating system: what signs them, and later the
// assertions, proves nothing of a user.
bool IsComposedByPlatform(absl::string_view format);

// kind kFido2, factors {"fido2"}, no device id (models share their attestation keys). proved():
// format, attestation_type, aaguid, credential_id (base64url), algorithm, flags, sign_count,
// trust_path, model and certification from the metadata, firmware where the certificate tells it;
// aaguid only as far as it is proved.
//
// `seen`, when not null, gets what was read of the evidence before a refusal: for people, proves
// nothing.
//
// Refuses: everything of VerifyAssertion but the signature's, and kAttestationFormatRefused,
// kBackupEligible, kAaguidRefused, kAuthenticatorStatus, the reasons of webauthn_statement.h and of
// VerifyPath, those of firmware_check.h, kKeyAlgorithm.
absl::StatusOr<VerifiedAttestation> VerifyRegistration(const RegistrationOptions& options,
                                                       nlohmann::json* seen = nullptr);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_REGISTRATION_H_
