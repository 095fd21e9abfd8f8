// SPDX-License-Identifier: Apache-2.0
// FIDO2 keys: enrolment over src/verify's registration verifier (docs/PROTOCOL.md, "Enrolment:
// FIDO2"), and calls, which such keys sign as WebAuthn assertions (src/verify/webauthn_assertion.h)
// whose challenge is SHA-256(statement), for the rpId and the origin that were pinned at enrolment.
//
//   a registration of another enrolment, or relayed   its challenge is SHA-256 of this enrolment's
//                                                     statement (with an empty SPKI)
//   a registration whose key another one holds        possession: an assertion by the new key over
//                                                     the whole statement
//   a software key, another model, a leaked model     VerifyRegistration
#ifndef FOREKEY_SRC_GATE_TOKEN_FIDO2_VERIFIER_H_
#define FOREKEY_SRC_GATE_TOKEN_FIDO2_VERIFIER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/crypto/certificate.h"
#include "src/gate/token/fido2_config.h"
#include "src/gate/token/live_trust.h"
#include "src/gate/token/token_verifier.h"
#include "src/verify/fido_metadata.h"
#include "src/verify/webauthn_policy.h"
#include "src/wire/firmware_list.h"

namespace forekey {

struct Fido2VerifierOptions {
  std::string rp_id;
  std::string origin;
  WebAuthnPolicy policy;
  bool refuse_clones = true;
  TrustAnchors trust;                    // vendors' roots
  std::optional<FidoMetadata> metadata;  // FIDO's, with roots of each model
  FirmwareList firmware;                 // empty asks nothing
  TrustAnchors simulators;               // empty unless the config says insecure_simulators
  std::vector<std::string> left_out;     // files of the folders that hold no certificate
  // Not empty: what was read can't be trusted, and why. Nothing is enrolled (kMetadataInvalid).
  std::string refuse_all;
};

// BE of a key as it was when the key was enrolled, as `proved_json` tells; nullopt where it does
// not tell.
std::optional<bool> EnrolledBackupEligible(absl::string_view proved_json);

// The attestation format that the key was enrolled with, as `proved_json` tells; nullopt where it
// does not tell.
std::optional<std::string> EnrolledFormat(absl::string_view proved_json);

// "forekey://<audience>": what calls and enrolments at a gate say in clientDataJSON.
std::string Fido2Origin(absl::string_view audience);

// Demand: a model that says it is one of those that are refused is told so before anybody is asked
// to touch it (kAaguidRefused). Attest: the registration's reasons. A key of a simulator's root is
// marked in what was proved.
//
// VerifyAssertion: the reasons of webauthn_assertion.h, kBackupEligible, and kPrefixMalformed for a
// proof without WebAuthn fields. Factors: "fido2"; with UV "fido2+uv" besides, unless the key was
// attested by an operating system (IsComposedByPlatform) that the policy does not believe. The
// counter goes into AssertionFacts::sign_count, to be advanced when the call is consumed.
std::unique_ptr<TokenVerifier> NewFido2Verifier(Fido2VerifierOptions options);

// What the configuration says, loaded. A BLOB's number is kept in `state_directory`/fido-mds.json,
// and an older one is refused (kMetadataRollback) also after a restart. Errors name the key.
absl::StatusOr<Fido2VerifierOptions> LoadFido2Trust(const Fido2Config& config,
                                                    const std::string& audience,
                                                    const std::string& state_directory,
                                                    const Clock& clock);

// Reads what LoadFido2Trust() reads. `clock` outlives what is returned. Where the metadata's signer
// is revoked after it was read, what it signed counts no more: nothing is enrolled, until there is
// another BLOB. Enrolled credentials are not judged by that.
TrustSource Fido2TrustSource(const Fido2Config& config, const std::string& audience,
                             const std::string& state_directory, const Clock& clock);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_FIDO2_VERIFIER_H_
