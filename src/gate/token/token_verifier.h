// SPDX-License-Identifier: Apache-2.0
// What the gate knows of one kind of token, as one object: what it asks of a new token, how it
// verifies what the token answers, and how it reads a signature of that kind. Kinds are listed in
// token_kinds.cc.
//
// What holds for every kind is no kind's own business, so that none can forget it:
//   the signature itself         VerifyAssertion() here, at enrolment and at each call; a kind says
//                                only which bytes were signed
//   the statement                built by the enrolment authority (src/gate/enroll)
//   the attested key             compared by the authority with the proof's
//   vendors, then simulators     asked by the authority, one after the other (`anchors`)
#ifndef FOREKEY_SRC_GATE_TOKEN_TOKEN_VERIFIER_H_
#define FOREKEY_SRC_GATE_TOKEN_TOKEN_VERIFIER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/secret.h"
#include "src/crypto/public_key.h"
#include "src/store/registry.h"
#include "src/verify/verified_attestation.h"
#include "src/wire/prefix.h"
#include "src/wire/token_kind.h"

namespace forekey {

// Whose roots vouch for a token.
enum class TokenAnchors { kVendors, kSimulators };

// Views outlive the call alone.
struct EnrollmentContext {
  absl::string_view enrollment_id;
  absl::Time now;
  TokenAnchors anchors = TokenAnchors::kVendors;
};

// What the client showed in both steps. Borrowed.
struct TokenEvidence {
  const v1::EnrollmentOpening* opening = nullptr;
  const v1::EnrollmentProof* proof = nullptr;
  absl::string_view statement;          // of this enrolment, with proof->spki()
  absl::string_view unkeyed_statement;  // the same with an empty SPKI
};

struct AttestedToken {
  VerifiedAttestation attestation;
  // FIDO2: pinned with the credential.
  std::string rp_id;
  std::string origin;
  // Where tokens of the kind count their signatures: the count that the attestation bears.
  std::optional<uint32_t> sign_count;
};

// Whether the gate's configuration has a say in how a signature is read, or only the protocol (an
// audit log that is checked later: what the policy asked was decided when the call came).
enum class AssertionPolicy { kOfTheGate, kOfTheProtocol };

struct AssertionFacts {
  std::vector<std::string> factors;    // what this signature proved
  std::optional<uint32_t> sign_count;  // FIDO2: advanced in the registry when the call is consumed
  // False: a counter that did not grow is told to the audit log, and the call goes on.
  bool refuse_rollback = true;
};

// One signature, before it is verified.
struct SignedAssertion {
  // The bytes that the key must have signed, where they are not the statement itself; they bear it.
  std::optional<std::string> message;
  AssertionFacts facts;  // what the signature proves, once it is verified
};

// Immutable; safe from any thread. The invite's holder is authenticated before any of the first
// three is called.
class TokenVerifier {
 public:
  virtual ~TokenVerifier() = default;
  virtual TokenKind kind() const = 0;

  // True where Demand, Attest or Recheck can end otherwise with TokenAnchors::kSimulators.
  virtual bool TrustsSimulators() const { return false; }

  // Checks what the token says first and fills the `token` part of `demand`. What it returns is
  // sealed into the ticket and given to Attest(): secrets may be in it. Refuses with the verifiers'
  // reasons.
  virtual absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                        const EnrollmentContext& context,
                                        v1::EnrollmentDemand* demand) const = 0;

  // Verifies the evidence, which must be about this enrolment's statement as far as the kind can
  // have it so, and gives the key that it attests.
  virtual absl::StatusOr<AttestedToken> Attest(const TokenEvidence& evidence,
                                               absl::string_view state,
                                               const EnrollmentContext& context) const = 0;

  // Whether what Attest() took once would be trusted at `context.now`: the path to an anchor,
  // revocation, the model's status, the policy. What tied it to that enrolment (possession,
  // activation) is not asked again. Refuses with the verifiers' reasons.
  virtual absl::Status Recheck(const TokenEvidence& evidence,
                               const EnrollmentContext& context) const = 0;

  // OK when `assertion` is a signature by `key` (the enrolled one of `credential`) over
  // `statement`. One public-key operation, after every cheaper check. Refuses with
  // kSignatureInvalid, kPrefixMalformed (a field that this kind does not have, or lacks) or the
  // kind's own reasons.
  absl::StatusOr<AssertionFacts> VerifyAssertion(
      const AssertionView& assertion, absl::string_view statement,
      const CredentialRecord& credential, const PublicKey& key,
      AssertionPolicy policy = AssertionPolicy::kOfTheGate) const;

 protected:
  // What `assertion` says that was signed; refuses all that can be told without the key. The plain
  // way, which kinds have unless they say otherwise: the signature is over the statement as the
  // credential's algorithm has it, there are no WebAuthn fields, and the factors are the
  // credential's own.
  virtual absl::StatusOr<SignedAssertion> ReadAssertion(const AssertionView& assertion,
                                                        absl::string_view statement,
                                                        const CredentialRecord& credential,
                                                        AssertionPolicy policy) const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_TOKEN_VERIFIER_H_
