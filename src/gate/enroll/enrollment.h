// SPDX-License-Identifier: Apache-2.0
// Enrolment: an invite's holder brings a token, the gate verifies by the token's attestation that
// the key lives in hardware, and the registry gets the credential (docs/PROTOCOL.md, "Enrolment").
//
// Threats, and the check that meets each:
//   a stranger                       the invite's key signs the whole of both requests; HMAC of the
//                                    challenge and look-up of the invite come before that signature
//   an invite used twice, or late    asked at both steps, and once more in the registry's
//                                    transaction
//   a thief of the connection        the gate identity pinned in the invite confirms both answers
//   a relaying rogue gate            audience and channel binding are in what the token certifies
//   a proof of another enrolment     enrollment id and challenge are in it, too; the challenge is
//                                    consumed
//   a key that is not hardware       the kind's attestation (TokenVerifier::Attest)
//   a key that another one holds     possession signature over the same statement, asked here of
//                                    every kind, with the key that was attested
//   filling the gate's memory        nothing is kept between the steps: the state is a sealed
//                                    ticket
#ifndef FOREKEY_SRC_GATE_ENROLL_ENROLLMENT_H_
#define FOREKEY_SRC_GATE_ENROLL_ENROLLMENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "forekey/v1/gate.pb.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/gate/call/certificates.h"
#include "src/gate/call/challenge.h"
#include "src/gate/enroll/enrollment_ticket.h"
#include "src/gate/limits/host_buckets.h"
#include "src/gate/limits/token_bucket.h"
#include "src/gate/session/identity.h"
#include "src/gate/token/gate_tokens.h"
#include "src/store/live_credentials.h"
#include "src/store/registry.h"
#include "src/store/replay.h"

namespace forekey {

inline constexpr absl::Duration kEnrollmentTicketLifetime = absl::Minutes(10);
inline constexpr size_t kMaxOpeningSize = 48 * 1024;  // an EnrollmentOpening; a ticket holds one
inline constexpr size_t kMaxProofSize = 128 * 1024;   // an EnrollmentProof with its ticket
inline constexpr size_t kMaxCredentialLabel = 64;

// Everything is borrowed and must outlive the authority.
struct EnrollmentParts {
  std::string audience;
  const Clock* clock = nullptr;
  const ChallengeIssuer* challenges = nullptr;
  const AcceptedCertificates* certificates = nullptr;
  const GateIdentities* identities = nullptr;
  LiveCredentials* credentials = nullptr;
  ReplayStore* replay = nullptr;
  const GateTokens* tokens = nullptr;
  bool one_subject_a_device = true;
};

struct BegunEnrollment {
  v1::BeginEnrollmentResponse response;
  std::string subject;  // for the audit log
};

struct FinishedEnrollment {
  v1::FinishEnrollmentResponse response;
  CredentialRecord credential;
  std::string
      replaced_credential;  // revoked by this enrolment, or empty: its sessions must be ended
  std::string invite_id;    // which was used
};

// What the registry keeps of an enrolment as evidence, for a later look.
struct StoredEvidence {
  std::string enrollment_id;
  v1::EnrollmentOpening opening;
  v1::EnrollmentProof proof;  // without its ticket
};
// kEvidenceMalformed.
absl::StatusOr<StoredEvidence> ParseEvidence(absl::string_view evidence);

// Whether the token of `record` would be trusted at `now` by the evidence that was kept of its
// enrolment: the kind's reasons, and kEvidenceMalformed for what was kept of another kind.
absl::Status RecheckEvidence(const TokenVerifier& verifier, absl::string_view audience,
                             const CredentialRecord& record, const StoredEvidence& evidence,
                             absl::Time now);

// Safe from any thread.
class EnrollmentAuthority {
 public:
  explicit EnrollmentAuthority(EnrollmentParts parts);

  // What is known of a request without a store, a bucket or a public-key operation: its shape, the
  // HMAC of its challenge, the seal of its ticket. Begin() and Finish() ask the same again.
  absl::Status CheckCheaply(const v1::BeginEnrollmentRequest& request) const;
  absl::Status CheckCheaply(const v1::FinishEnrollmentRequest& request) const;

  // Refuses with kRequestMalformed, the challenge's reasons, kChannelBindingUnknown,
  // kGateIdentityUnknown, kInviteUnknown, kInviteUsed, kInviteExpired, kInviteSignatureInvalid,
  // kTokenKindNotAllowed, kSubjectDisabled, kKeyShareInvalid, kRateLimited and the kind's own.
  absl::StatusOr<BegunEnrollment> Begin(const v1::BeginEnrollmentRequest& request);

  // Durable when it returns OK. Besides the above: kEnrollmentTicketInvalid, kChallengeReplayed,
  // kDeviceNotPinned, kCredentialExists, kDeviceExists, kCredentialMismatch, kPossessionInvalid.
  absl::StatusOr<FinishedEnrollment> Finish(const v1::FinishEnrollmentRequest& request);

 private:
  // The opening of a request that CheckCheaply() passes.
  absl::StatusOr<v1::EnrollmentOpening> OpeningOf(const v1::BeginEnrollmentRequest& request) const;
  struct TicketAndProof {
    EnrollmentTicket ticket;
    v1::EnrollmentProof proof;
  };
  absl::StatusOr<TicketAndProof> ProofOf(const v1::FinishEnrollmentRequest& request) const;
  // The invite of this key, usable now, whose key signed `payload` under `label`. At most one
  // public-key operation, and none before the buckets were asked: the invite's own first, so that
  // who knows one invite's key takes little from what all share.
  absl::StatusOr<InviteRecord> AuthenticateInvite(absl::string_view label,
                                                  absl::string_view public_key,
                                                  absl::string_view payload,
                                                  absl::string_view signature);
  // The kind's verifier, if gate and invite allow the kind.
  absl::StatusOr<std::shared_ptr<const TokenVerifier>> FindKind(TokenKind kind,
                                                                const InviteRecord& invite) const;
  absl::Status CheckSubject(const std::string& subject) const;
  absl::StatusOr<Secret> ConfirmationKey(const GateIdentity& identity,
                                         const v1::EnrollmentOpening& opening) const;
  absl::StatusOr<CredentialRecord> MakeCredential(const EnrollmentTicket& ticket,
                                                  const InviteRecord& invite,
                                                  const v1::EnrollmentProof& proof,
                                                  const AttestedToken& attested,
                                                  TokenAnchors anchors) const;
  // The key of the attestation, which must be `proof.spki()`, signed `statement`. Notes its count
  // of signatures in the record.
  static absl::Status CheckPossession(const TokenVerifier& verifier, const AttestedToken& attested,
                                      const v1::EnrollmentProof::Assertion& possession,
                                      absl::string_view statement, CredentialRecord* record);

  const EnrollmentParts parts_;
  const TicketSealer tickets_;
  HostBuckets invites_;
  TokenBucket signatures_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_ENROLL_ENROLLMENT_H_
