// SPDX-License-Identifier: Apache-2.0
#include "src/client/enrollment.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/bytes.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/shell_word.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint8_t kBeginStep = 1;
constexpr uint8_t kFinishStep = 2;
constexpr size_t kMaxShownRpId = 128;
constexpr auto kPurpose = forekey::v1::GetChallengeRequest::PURPOSE_ENROLL;

absl::StatusOr<std::string> RawPublicKey(const SoftwareKey& key) {
  std::string raw(kX25519Size, '\0');  // Ed25519 keys have the same size
  size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(key.evp(), U8(raw), &size) != 1 || size != raw.size()) {
    return OpenSslError("EVP_PKEY_get_raw_public_key");
  }
  return raw;
}

// Without a Reason it is the gate's own word.
bool IsGatesRefusal(const absl::Status& status) {
  return absl::IsUnauthenticated(status) && !ReasonOf(status);
}

absl::Status NotTheInvitesGate(absl::string_view detail) {
  return Refuse(
      Reason::kGateConfirmationInvalid,
      absl::StrCat(detail,
                   ": a server between, or another gate, answered instead of the one that "
                   "the invite names; nothing was enrolled"));
}

}  // namespace

bool IsOwnRpId(absl::string_view audience, absl::string_view rp_id) {
  if (rp_id == audience) return true;
  if (!absl::EndsWith(audience, absl::StrCat(".", rp_id))) return false;
  const std::vector<absl::string_view> labels = absl::StrSplit(rp_id, '.');
  if (labels.size() < 2) return false;
  for (absl::string_view label : labels) {
    if (label.empty()) return false;
  }
  // Without the list of public suffixes: what looks like one ("co.uk", "com.au") is not taken for a
  // domain that somebody registered. The person can still allow it.
  constexpr absl::string_view kRegistries[] = {"ac", "co",  "com", "edu", "gob",   "gov", "gouv",
                                               "go", "lg",  "ltd", "mil", "ne",    "net", "nhs",
                                               "or", "org", "plc", "sch", "police"};
  return labels.size() > 2 || labels[1].size() != 2 ||
         std::find(std::begin(kRegistries), std::end(kRegistries), labels[0]) ==
             std::end(kRegistries);
}

absl::StatusOr<std::unique_ptr<Enrollment>> Enrollment::Begin(
    GateConnection* gate, const Invite& invite, forekey::v1::EnrollmentOpening opening,
    const std::string& allowed_rp_id) {
  if (gate->target().audience != invite.audience) {
    return Refuse(Reason::kAudienceMismatch, "the connection is to another gate than the invite's");
  }
  FOREKEY_ASSIGN_OR_RETURN(SoftwareKey invite_key, invite.SigningKey());
  FOREKEY_ASSIGN_OR_RETURN(std::string invite_public, RawPublicKey(invite_key));
  std::unique_ptr<Enrollment> enrollment(new Enrollment(gate, std::move(invite_key)));
  FOREKEY_ASSIGN_OR_RETURN(enrollment->challenge_, gate->GetChallenge(kPurpose));
  X25519PrivateKey ephemeral = X25519PrivateKey::Generate();
  enrollment->kind_ = opening.kind();
  opening.set_key_share(ephemeral.public_key());
  opening.set_gate_identity(invite.identity_fingerprint);
  forekey::v1::BeginEnrollmentRequest request;
  request.set_invite_public_key(invite_public);
  const auto begin = [&] {
    opening.set_challenge(enrollment->challenge_.bytes);
    opening.set_channel_binding(enrollment->challenge_.channel_binding);
    opening.SerializeToString(request.mutable_payload());
    request.set_invite_signature(enrollment->invite_key_.Sign(
        BuildInviteStatement(label::kInviteBegin, invite.audience, request.payload())));
    return gate->BeginEnrollment(request, enrollment->challenge_.channel_binding);
  };
  absl::StatusOr<forekey::v1::BeginEnrollmentResponse> begun = begin();
  if (IsGatesRefusal(begun.status())) {
    // Behind a balancer another process may have been asked than the one that issued the challenge.
    const auto next = gate->GetChallenge(kPurpose);
    if (next.ok() && !next->OfSameProcessAs(enrollment->challenge_)) {
      enrollment->challenge_ = *next;
      begun = begin();
    }
  }
  FOREKEY_ASSIGN_OR_RETURN(const forekey::v1::BeginEnrollmentResponse response, std::move(begun));
  FOREKEY_RETURN_IF_ERROR(enrollment->Confirm(invite, ephemeral, request.payload(), response));
  FOREKEY_RETURN_IF_ERROR(enrollment->CheckRelyingParty(allowed_rp_id));
  return enrollment;
}

absl::Status Enrollment::Confirm(const Invite& invite, const X25519PrivateKey& ephemeral,
                                 absl::string_view request_payload,
                                 const forekey::v1::BeginEnrollmentResponse& response) {
  if (!demand_.ParseFromString(response.payload())) {
    return NotTheInvitesGate("the gate's demand does not parse");
  }
  // The key is taken from the answer, so first of all it must be the one that the invite names.
  if (demand_.gate_identity().size() != kX25519Size ||
      !ConstantTimeEqual(Sha256(demand_.gate_identity()), invite.identity_fingerprint)) {
    return Refuse(Reason::kGateIdentityMismatch,
                  "the gate that answered has another identity key than the invite names: a server "
                  "between, a wrong address, or an invite from before the gate was set up anew; "
                  "nothing was enrolled");
  }
  FOREKEY_ASSIGN_OR_RETURN(Secret identity_secret, ephemeral.Agree(demand_.gate_identity()));
  confirmation_key_ = DeriveEnrollmentKey(identity_secret, challenge_.bytes, invite.audience);
  if (!ConstantTimeEqual(ComputeEnrollmentConfirmation(confirmation_key_, kBeginStep,
                                                       request_payload, response.payload()),
                         response.confirmation())) {
    return NotTheInvitesGate("the gate's confirmation is wrong");
  }
  if (demand_.audience() != invite.audience) {
    return Refuse(Reason::kAudienceMismatch,
                  absl::StrCat("the gate calls itself ", Shown(demand_.audience()), ", the invite ",
                               invite.audience));
  }
  if (demand_.has_fido2() &&
      demand_.fido2().origin() != absl::StrCat("forekey://", invite.audience)) {
    return Refuse(Reason::kAudienceMismatch,
                  "the gate wants a security key to sign for another origin than its own");
  }
  if (!IsWellFormedSubject(demand_.subject()) ||
      demand_.enrollment_id().size() != kEnrollmentIdSize) {
    return absl::InternalError("the gate's demand has a malformed subject or enrolment id");
  }
  return absl::OkStatus();
}

absl::Status Enrollment::CheckRelyingParty(const std::string& allowed_rp_id) const {
  if (!demand_.has_fido2()) return absl::OkStatus();
  const std::string& rp_id = demand_.fido2().rp_id();
  if (rp_id == allowed_rp_id || IsOwnRpId(demand_.audience(), rp_id)) return absl::OkStatus();
  const std::string shown = Printable(rp_id, kMaxShownRpId);
  return Refuse(
      Reason::kAudienceMismatch,
      absl::StrCat("the gate ", demand_.audience(),
                   " wants a credential of the security key for the relying party \"", shown,
                   "\", which is not its own name: others could be fooled with "
                   "what the key signs. If its administrator confirms that name, run "
                   "again with --rp-id ",
                   ShellWord(shown)));
}

std::string Enrollment::Statement(absl::string_view spki) const {
  EnrollStatement statement;
  statement.audience = demand_.audience();
  statement.enrollment_id = demand_.enrollment_id();
  statement.subject = demand_.subject();
  statement.kind = kind_;
  statement.spki = spki;
  statement.channel_binding = challenge_.channel_binding;
  statement.challenge = challenge_.bytes;
  return BuildStatement(statement);
}

std::string Enrollment::CredentialIdOf(absl::string_view spki) const {
  return CredentialId(demand_.audience(), demand_.subject(), spki);
}

absl::Status Enrollment::Finish(absl::string_view spki, absl::string_view label,
                                forekey::v1::EnrollmentProof proof) {
  proof.set_ticket(demand_.ticket());
  proof.set_spki(std::string(spki));
  proof.set_label(std::string(label));
  forekey::v1::FinishEnrollmentRequest request;
  proof.SerializeToString(request.mutable_payload());
  request.set_invite_signature(invite_key_.Sign(
      BuildInviteStatement(label::kInviteFinish, demand_.audience(), request.payload())));
  FOREKEY_ASSIGN_OR_RETURN(auto response,
                           gate_->FinishEnrollment(request, challenge_.channel_binding));
  if (!ConstantTimeEqual(ComputeEnrollmentConfirmation(confirmation_key_, kFinishStep,
                                                       request.payload(), response.credential_id()),
                         response.confirmation())) {
    return NotTheInvitesGate("the confirmation of the finished enrolment is wrong");
  }
  if (response.credential_id() != CredentialIdOf(spki)) {
    return Refuse(Reason::kCredentialMismatch,
                  "the gate enrolled another credential than the one that was proved");
  }
  return absl::OkStatus();
}

bool Enrollment::CameToAnotherProcess(const absl::Status& finished) const {
  if (!IsGatesRefusal(finished)) return false;
  const auto next = gate_->GetChallenge(kPurpose);
  return next.ok() && !next->OfSameProcessAs(challenge_);
}

}  // namespace forekey
