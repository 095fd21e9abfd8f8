// How FIDO2 keys sign calls: WebAuthn assertions (src/verify/webauthn_assertion.h) whose challenge
// is SHA-256(statement), for the rpId and the origin that were pinned at enrolment.
#ifndef FOREKEY_SRC_GATE_TOKEN_FIDO2_ASSERTIONS_H_
#define FOREKEY_SRC_GATE_TOKEN_FIDO2_ASSERTIONS_H_

#include <memory>
#include <optional>

#include "absl/strings/string_view.h"
#include "src/gate/token/assertion_verifier.h"

namespace forekey {

struct Fido2AssertionPolicy {
  bool require_user_verification = false;
  // False: an assertion that says BE is refused, also by a key that was enrolled while it was
  // allowed.
  bool allow_backup_eligible = false;
  bool refuse_clones = true;
};

// Refuses with the reasons of VerifyAssertion, kBackupEligible, and kPrefixMalformed for a proof
// without WebAuthn fields. Factors: "fido2"; with UV "fido2+uv" besides. The counter goes into
// AssertionFacts::sign_count, to be advanced when the call is consumed.
std::unique_ptr<AssertionVerifier> NewFido2AssertionVerifier(const Fido2AssertionPolicy& policy);

// BE as it was at enrolment, out of what was proved then; nullopt where that does not say.
std::optional<bool> EnrolledBackupEligible(absl::string_view proved_json);

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_FIDO2_ASSERTIONS_H_
