// SPDX-License-Identifier: Apache-2.0
// The client's side of an enrolment (docs/PROTOCOL.md, "Enrolment"): everything between an invite
// and a credential, except what the token does.
//
// Threats that are answered here, each with its test in tests/unit/client/enrollment_test.cc:
//   a rogue gate answers instead of the invite's          -> its identity key must hash to the
//                                                         invite's fingerprint, and it must prove
//                                                         that it holds it, before the token acts
//   an active proxy changes demand, subject or answer     -> the confirmations cover both payloads
//   a gate poses under another gate's name                -> the audience is the invite's
//   a proxy ends TLS with a certificate of its own        -> the payload, signed, has the binding
//   the gate acknowledges another credential              -> the id is computed here and compared
//   a gate has a security key make a credential for       -> its own name or a parent domain of
//   another relying party ("ssh:", a web site)               it; else only what the person named
#ifndef FOREKEY_SRC_CLIENT_ENROLLMENT_H_
#define FOREKEY_SRC_CLIENT_ENROLLMENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "forekey/v1/gate.pb.h"
#include "src/client/gate_client.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/wire/invite.h"

namespace forekey {

// One enrolment; one thread at a time. Errors as GateConnection's.
class Enrollment {
 public:
  // Gets a challenge and begins. `opening`: kind and token are filled in; the rest is done here.
  // Refuses (kGateIdentityMismatch, kGateConfirmationInvalid, kAudienceMismatch) a gate that isn't
  // the invite's. `gate` outlives the enrolment. `allowed_rp_id`: a relying party of a security key
  // that the person allows besides those that IsOwnRpId() does.
  static absl::StatusOr<std::unique_ptr<Enrollment>> Begin(GateConnection* gate,
                                                           const Invite& invite,
                                                           forekey::v1::EnrollmentOpening opening,
                                                           const std::string& allowed_rp_id = "");

  // What the gate asks of the token. Confirmed.
  const forekey::v1::EnrollmentDemand& demand() const { return demand_; }
  // What the new key signs; with an empty SPKI, what some attestations cover.
  std::string Statement(absl::string_view spki) const;
  // The id that the credential will have.
  std::string CredentialIdOf(absl::string_view spki) const;

  // `proof`: possession and token are filled in; ticket, SPKI and label are done here. The
  // credential is enrolled when this is OK. When it is not, it may be enrolled nonetheless after
  // kUnavailable, kDeadlineExceeded, kAborted, kCancelled, kInternal and kUnknown: the answer may
  // have been lost.
  absl::Status Finish(absl::string_view spki, absl::string_view label,
                      forekey::v1::EnrollmentProof proof);
  // Whether Finish(), which ended so, was refused by another process of the gate than Begin() met:
  // one that knows nothing of this enrolment, and enrolled nothing. Asks the gate for a challenge.
  bool CameToAnotherProcess(const absl::Status& finished) const;

 private:
  Enrollment(GateConnection* gate, SoftwareKey invite_key)
      : gate_(gate), invite_key_(std::move(invite_key)) {}
  absl::Status CheckRelyingParty(const std::string& allowed_rp_id) const;
  absl::Status Confirm(const Invite& invite, const X25519PrivateKey& ephemeral,
                       absl::string_view request_payload,
                       const forekey::v1::BeginEnrollmentResponse& response);

  GateConnection* const gate_;
  const SoftwareKey invite_key_;
  GateConnection::Challenge challenge_;
  forekey::v1::TokenKind kind_ = forekey::v1::TOKEN_KIND_UNSPECIFIED;
  forekey::v1::EnrollmentDemand demand_;
  Secret confirmation_key_;
};

// Whether a gate of that name may have credentials of security keys made for that relying party:
// its own name, or a domain above it of at least two labels that is no public suffix.
bool IsOwnRpId(absl::string_view audience, absl::string_view rp_id);

}  // namespace forekey

#endif  // FOREKEY_SRC_CLIENT_ENROLLMENT_H_
