// The seam for token kinds at enrolment: what a kind asks of a new token, and how it verifies what
// the token answers. A kind is one file that implements this, and one line in gate_core.cc.
#ifndef FOREKEY_SRC_GATE_TOKEN_ENROLLMENT_KIND_H_
#define FOREKEY_SRC_GATE_TOKEN_ENROLLMENT_KIND_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/secret.h"
#include "src/verify/verified_attestation.h"

namespace forekey {

// What both steps of one enrolment know. Views outlive the call alone.
struct EnrollmentContext {
  absl::string_view audience;
  absl::string_view enrollment_id;
  absl::string_view subject;
  absl::string_view channel_binding;
  absl::string_view challenge;
  absl::Time now;
};

struct VerifiedEnrollment {
  VerifiedAttestation attestation;
  // FIDO2: pinned with the credential.
  std::string rp_id;
  std::string origin;
  uint32_t sign_count = 0;
};

// Immutable; safe from any thread. The invite's holder is authenticated before either is called.
class EnrollmentKind {
 public:
  virtual ~EnrollmentKind() = default;
  virtual TokenKind kind() const = 0;

  // Checks what the token says first and fills the `token` part of `demand`. What it returns is
  // sealed into the ticket and given to Verify(): secrets may be in it. Refuses with the verifiers'
  // reasons.
  virtual absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                        const EnrollmentContext& context,
                                        v1::EnrollmentDemand* demand) const = 0;

  // Verifies the evidence and the possession signature, both over this enrolment's statement, and
  // that both are for `proof.spki()`.
  virtual absl::StatusOr<VerifiedEnrollment> Verify(const v1::EnrollmentOpening& opening,
                                                    const v1::EnrollmentProof& proof,
                                                    absl::string_view state,
                                                    const EnrollmentContext& context) const = 0;

  // Whether what Verify() took once would be trusted at `context.now`: the path to an anchor,
  // revocation, the model's status, the policy. What tied it to that enrolment (possession,
  // activation) is not asked again. Refuses with the verifiers' reasons.
  virtual absl::Status Recheck(const v1::EnrollmentOpening& opening,
                               const v1::EnrollmentProof& proof,
                               const EnrollmentContext& context) const = 0;
};

using EnrollmentKinds = std::map<TokenKind, std::unique_ptr<EnrollmentKind>>;

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_ENROLLMENT_KIND_H_
