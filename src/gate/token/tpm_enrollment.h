// The enrolment of TPM keys: the steps of its section over src/verify's TPM verifiers (docs/PROTOCOL.md,
// "Enrolment: TPM").
#ifndef FOREKEY_SRC_GATE_TOKEN_TPM_ENROLLMENT_H_
#define FOREKEY_SRC_GATE_TOKEN_TPM_ENROLLMENT_H_

#include <memory>
#include <string>
#include <vector>

#include "src/crypto/certificate.h"
#include "src/gate/token/enrollment_kind.h"
#include "src/gate/token/live_trust.h"

namespace forekey {

struct TpmEnrollmentOptions {
  TrustAnchors trust;                          // vendors' roots
  TrustAnchors simulators;                     // empty unless the config says insecure_simulators
  std::vector<std::string> allowed_ek_hashes;  // 32 bytes each
};

// Begin: the EK is a vendor's (or allow-listed), the AK's attributes are exact, and a secret is
// sealed to both. Finish: the secret came back (kActivationSecretWrong; constant time), the AK
// certified `proof.spki()` with SHA-256 of the enrolment statement as qualifying data, and the new
// key signed the statement (kPossessionInvalid). A TPM of a simulator's root is marked in what was
// proved.
std::unique_ptr<EnrollmentKind> NewTpmEnrollment(TpmEnrollmentOptions options);

// Folders of vendors' and of simulators' roots (either may be empty: none), and the allow-list.
TrustSource TpmTrustSource(const std::string& trust, const std::string& simulator_trust,
                           std::vector<std::string> allowed_ek_hashes);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TPM_ENROLLMENT_H_
