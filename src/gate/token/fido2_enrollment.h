// The enrolment of FIDO2 keys: the steps of its section over src/verify's registration verifier
// (docs/PROTOCOL.md, "Enrolment: FIDO2").
//
//   a registration of another enrolment, or relayed   its challenge is SHA-256 of this enrolment's
//                                                     statement (with an empty SPKI)
//   a registration whose key another one holds        possession: an assertion by the new key over
//                                                     the whole statement
//   a software key, another model, a leaked model     VerifyRegistration
#ifndef FOREKEY_SRC_GATE_TOKEN_FIDO2_ENROLLMENT_H_
#define FOREKEY_SRC_GATE_TOKEN_FIDO2_ENROLLMENT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/clock.h"
#include "src/crypto/certificate.h"
#include "src/gate/token/enrollment_kind.h"
#include "src/gate/token/fido2_config.h"
#include "src/gate/token/live_trust.h"
#include "src/verify/fido_metadata.h"
#include "src/verify/webauthn_policy.h"

namespace forekey {

struct Fido2EnrollmentOptions {
  std::string rp_id;
  std::string origin;
  WebAuthnPolicy policy;
  bool refuse_clones = true;
  TrustAnchors trust;                    // vendors' roots
  std::optional<FidoMetadata> metadata;  // FIDO's, with roots of each model
  TrustAnchors simulators;               // empty unless the config says insecure_simulators
  std::vector<std::string> left_out;     // files of the folders that hold no certificate
};

// "forekey://<audience>": what calls and enrolments at a gate say in clientDataJSON.
std::string Fido2Origin(absl::string_view audience);

// Begin: a model that says it is one of those that are refused is told so before anybody is asked
// to touch it (kAaguidRefused). Finish: the registration's reasons; kCredentialMismatch when it is
// not of `proof.spki()`; kPossessionInvalid when the assertion is not good; kCounterRollback when
// its counter is not beyond the registration's. A key of a simulator's root is marked in what was
// proved.
std::unique_ptr<EnrollmentKind> NewFido2Enrollment(Fido2EnrollmentOptions options);

// What the configuration says, loaded. A BLOB's number is kept in `state_directory`/fido-mds.json,
// and an older one is refused (kMetadataRollback) also after a restart. Errors name the key.
absl::StatusOr<Fido2EnrollmentOptions> LoadFido2Enrollment(const Fido2Config& config,
                                                           const std::string& audience,
                                                           const std::string& state_directory,
                                                           const Clock& clock);

// The same as often as it is asked for. `clock` outlives what is returned.
TrustSource Fido2TrustSource(const Fido2Config& config, const std::string& audience,
                             const std::string& state_directory, const Clock& clock);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_FIDO2_ENROLLMENT_H_
