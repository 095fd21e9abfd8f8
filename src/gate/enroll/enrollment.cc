// SPDX-License-Identifier: Apache-2.0
#include "src/gate/enroll/enrollment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/bytes.h"
#include "src/base/printable.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/key_agreement.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"
#include "src/gate/session/payload.h"
#include "src/verify/webauthn_assertion.h"
#include "src/wire/session_keys.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint8_t kEvidenceVersion = 1;
constexpr size_t kInviteKeySize = 32;
constexpr size_t kInviteSignatureSize = 64;
constexpr size_t kMaxSpkiSize = 1024;
constexpr uint8_t kBeginStep = 1;
constexpr uint8_t kFinishStep = 2;
// Signatures of invites: an enrolment is a rare thing.
constexpr double kInviteSignaturesPerSecond = 100;
constexpr double kInviteSignatureBurst = 200;
// Of them, for one invite.
constexpr double kOneInvitesSignaturesPerSecond = 5;
constexpr double kOneInvitesSignatureBurst = 20;

absl::Status Malformed(absl::string_view what) { return Refuse(Reason::kRequestMalformed, what); }

absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

absl::Status CheckOpening(const v1::EnrollmentOpening& opening) {
  if (opening.channel_binding().size() != kChannelBindingSize) return Malformed("channel_binding");
  if (opening.key_share().size() != kKeyShareSize) return Malformed("key_share");
  if (opening.gate_identity().size() != kSha256Size) return Malformed("gate_identity");
  if (opening.kind() == v1::TOKEN_KIND_UNSPECIFIED) return Malformed("kind");
  return absl::OkStatus();
}

absl::Status CheckProof(const v1::EnrollmentProof& proof) {
  if (proof.spki().empty() || proof.spki().size() > kMaxSpkiSize) return Malformed("spki");
  if (proof.possession().signature().empty()) return Malformed("possession");
  if (proof.label().size() > kMaxCredentialLabel) return Malformed("label is longer than 64 bytes");
  // Administrators' terminals show it.
  return IsPrintable(proof.label()) ? absl::OkStatus() : Malformed("label");
}

// Asks by the vendors' roots, then by the simulators'. One rule for all kinds says which of two
// refusals is told: the vendors', unless the evidence does not chain to them, and the simulators'
// refusal is another one.
template <typename Ask>
auto AskVendorsThenSimulators(const TokenVerifier& verifier, EnrollmentContext context, Ask ask)
    -> decltype(ask(context)) {
  auto by_vendors = ask(context);
  if (StatusOf(by_vendors).ok() || !verifier.TrustsSimulators()) return by_vendors;
  context.anchors = TokenAnchors::kSimulators;
  auto by_simulators = ask(context);
  const absl::Status refused = StatusOf(by_simulators);
  const bool foreign_to_vendors = ReasonOf(StatusOf(by_vendors)) == Reason::kCertificateUntrusted;
  return refused.ok() || (foreign_to_vendors && ReasonOf(refused) != Reason::kCertificateUntrusted)
             ? std::move(by_simulators)
             : std::move(by_vendors);
}

// What a new key must have signed, and an attestation should bear.
std::string StatementOf(absl::string_view audience, absl::string_view enrollment_id,
                        absl::string_view subject, const v1::EnrollmentOpening& opening,
                        absl::string_view spki) {
  return BuildStatement(EnrollStatement{audience, enrollment_id, subject, opening.kind(), spki,
                                        opening.channel_binding(), opening.challenge()});
}

// What was seen and verified, for a later look: version || enrollment id || len4 opening || len4
// proof without its ticket. With subject and audience it is all that the statement is built from.
std::string Evidence(absl::string_view enrollment_id, absl::string_view opening,
                     v1::EnrollmentProof proof) {
  proof.clear_ticket();
  const std::string bare = proof.SerializeAsString();
  return ByteWriter()
      .U8(kEvidenceVersion)
      .Raw(enrollment_id)
      .U32(static_cast<uint32_t>(opening.size()))
      .Raw(opening)
      .U32(static_cast<uint32_t>(bare.size()))
      .Raw(bare)
      .bytes();
}

}  // namespace

absl::StatusOr<StoredEvidence> ParseEvidence(absl::string_view evidence) {
  ByteReader reader(evidence);
  StoredEvidence stored;
  const uint8_t version = reader.U8();
  stored.enrollment_id = std::string(reader.Raw(kEnrollmentIdSize));
  const absl::string_view opening = reader.Raw(reader.U32());
  const absl::string_view proof = reader.Raw(reader.U32());
  if (version != kEvidenceVersion || !reader.Finished() ||
      !stored.opening.ParseFromArray(opening.data(), static_cast<int>(opening.size())) ||
      !stored.proof.ParseFromArray(proof.data(), static_cast<int>(proof.size()))) {
    return Refuse(Reason::kEvidenceMalformed, "what was kept of the enrolment can't be read");
  }
  return stored;
}

absl::Status RecheckEvidence(const TokenVerifier& verifier, absl::string_view audience,
                             const CredentialRecord& record, const StoredEvidence& evidence,
                             absl::Time now) {
  const v1::EnrollmentOpening& opening = evidence.opening;
  if (opening.kind() != record.kind || verifier.kind() != record.kind) {
    return Refuse(Reason::kEvidenceMalformed, "what was kept is of another kind of token");
  }
  const auto statement = [&](absl::string_view spki) {
    return StatementOf(audience, evidence.enrollment_id, record.subject, opening, spki);
  };
  const std::string keyed = statement(evidence.proof.spki()), unkeyed = statement("");
  const TokenEvidence shown{&opening, &evidence.proof, keyed, unkeyed};
  return AskVendorsThenSimulators(
      verifier, {evidence.enrollment_id, now},
      [&](const EnrollmentContext& context) { return verifier.Recheck(shown, context); });
}

EnrollmentAuthority::EnrollmentAuthority(EnrollmentParts parts)
    : parts_(std::move(parts)),
      tickets_(parts_.audience),
      invites_(kOneInvitesSignaturesPerSecond, kOneInvitesSignatureBurst),
      signatures_(kInviteSignaturesPerSecond, kInviteSignatureBurst) {}

absl::StatusOr<InviteRecord> EnrollmentAuthority::AuthenticateInvite(absl::string_view label,
                                                                     absl::string_view public_key,
                                                                     absl::string_view payload,
                                                                     absl::string_view signature) {
  FOREKEY_ASSIGN_OR_RETURN(InviteRecord invite,
                           parts_.credentials->registry().FindInvite(public_key));
  if (invite.used_at) return Refuse(Reason::kInviteUsed);
  if (invite.expires_at <= parts_.clock->WallNow()) return Refuse(Reason::kInviteExpired);
  const BootTime now = parts_.clock->BootNow();
  if (!invites_.Take(invites_.HashOf(public_key), now)) {
    return Refuse(Reason::kRateLimited, "signatures of this invite");
  }
  if (!signatures_.Take(now)) return Refuse(Reason::kRateLimited, "signatures of invites");
  absl::StatusOr<PublicKey> key = PublicKey::FromEd25519(public_key);
  if (!key.ok() ||
      !key->Verify(BuildInviteStatement(label, parts_.audience, payload), signature).ok()) {
    return Refuse(Reason::kInviteSignatureInvalid);
  }
  return invite;
}

absl::StatusOr<std::shared_ptr<const TokenVerifier>> EnrollmentAuthority::FindKind(
    TokenKind kind, const InviteRecord& invite) const {
  if (!invite.kinds.empty() &&
      std::find(invite.kinds.begin(), invite.kinds.end(), kind) == invite.kinds.end()) {
    return Refuse(Reason::kTokenKindNotAllowed, "the invite is for another kind of token");
  }
  std::shared_ptr<const TokenVerifier> found = parts_.tokens->FindEnrolling(kind);
  if (found == nullptr) {
    return Refuse(Reason::kTokenKindNotAllowed, "this gate does not enrol that kind of token");
  }
  return found;
}

absl::Status EnrollmentAuthority::CheckSubject(const std::string& subject) const {
  absl::StatusOr<SubjectRecord> record = parts_.credentials->registry().FindSubject(subject);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();  // the enrolment makes it
  FOREKEY_RETURN_IF_ERROR(record.status());
  return record->disabled ? Refuse(Reason::kSubjectDisabled) : absl::OkStatus();
}

absl::StatusOr<Secret> EnrollmentAuthority::ConfirmationKey(
    const GateIdentity& identity, const v1::EnrollmentOpening& opening) const {
  FOREKEY_ASSIGN_OR_RETURN(const Secret secret, identity.key().Agree(opening.key_share()));
  return DeriveEnrollmentKey(secret, opening.challenge(), parts_.audience);
}

absl::StatusOr<v1::EnrollmentOpening> EnrollmentAuthority::OpeningOf(
    const v1::BeginEnrollmentRequest& request) const {
  if (request.invite_public_key().size() != kInviteKeySize ||
      request.invite_signature().size() != kInviteSignatureSize) {
    return Malformed("invite_public_key or invite_signature");
  }
  FOREKEY_ASSIGN_OR_RETURN(const v1::EnrollmentOpening opening,
                           ParsePayload<v1::EnrollmentOpening>(request.payload(), kMaxOpeningSize));
  FOREKEY_RETURN_IF_ERROR(CheckOpening(opening));
  FOREKEY_RETURN_IF_ERROR(
      parts_.challenges->Check(opening.challenge(), ChallengePurpose::kEnroll).status());
  if (!parts_.certificates->Accepts(opening.channel_binding(), parts_.clock->BootNow())) {
    return Refuse(Reason::kChannelBindingUnknown);
  }
  return opening;
}

absl::StatusOr<EnrollmentAuthority::TicketAndProof> EnrollmentAuthority::ProofOf(
    const v1::FinishEnrollmentRequest& request) const {
  if (request.invite_signature().size() != kInviteSignatureSize)
    return Malformed("invite_signature");
  TicketAndProof both;
  FOREKEY_ASSIGN_OR_RETURN(both.proof,
                           ParsePayload<v1::EnrollmentProof>(request.payload(), kMaxProofSize));
  FOREKEY_RETURN_IF_ERROR(CheckProof(both.proof));
  FOREKEY_ASSIGN_OR_RETURN(both.ticket,
                           tickets_.Open(both.proof.ticket(), parts_.clock->BootNow()));
  return both;
}

absl::Status EnrollmentAuthority::CheckCheaply(const v1::BeginEnrollmentRequest& request) const {
  return OpeningOf(request).status();
}

absl::Status EnrollmentAuthority::CheckCheaply(const v1::FinishEnrollmentRequest& request) const {
  return ProofOf(request).status();
}

absl::StatusOr<BegunEnrollment> EnrollmentAuthority::Begin(
    const v1::BeginEnrollmentRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const v1::EnrollmentOpening opening, OpeningOf(request));
  const BootTime now = parts_.clock->BootNow();
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const GateIdentity> identity,
                           parts_.identities->Find(opening.gate_identity()));
  FOREKEY_ASSIGN_OR_RETURN(const InviteRecord invite,
                           AuthenticateInvite(label::kInviteBegin, request.invite_public_key(),
                                              request.payload(), request.invite_signature()));
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const TokenVerifier> verifier,
                           FindKind(opening.kind(), invite));
  FOREKEY_RETURN_IF_ERROR(CheckSubject(invite.subject));
  FOREKEY_ASSIGN_OR_RETURN(const Secret confirmation_key, ConfirmationKey(*identity, opening));

  EnrollmentTicket ticket;
  ticket.expires_at = now + kEnrollmentTicketLifetime;
  ticket.enrollment_id = RandomBytes(kEnrollmentIdSize);
  ticket.invite_public_key = request.invite_public_key();
  ticket.opening = request.payload();
  v1::EnrollmentDemand demand;
  FOREKEY_ASSIGN_OR_RETURN(
      ticket.state,
      AskVendorsThenSimulators(*verifier, {ticket.enrollment_id, parts_.clock->WallNow()},
                               [&](const EnrollmentContext& context) {
                                 demand.Clear();
                                 return verifier->Demand(opening, context, &demand);
                               }));
  demand.set_enrollment_id(ticket.enrollment_id);
  demand.set_ticket(tickets_.Seal(ticket));
  demand.set_audience(parts_.audience);
  demand.set_subject(invite.subject);
  demand.set_gate_identity(identity->public_key());

  BegunEnrollment begun;
  begun.subject = invite.subject;
  begun.response.set_payload(demand.SerializeAsString());
  begun.response.set_confirmation(ComputeEnrollmentConfirmation(
      confirmation_key, kBeginStep, request.payload(), begun.response.payload()));
  return begun;
}

absl::StatusOr<CredentialRecord> EnrollmentAuthority::MakeCredential(
    const EnrollmentTicket& ticket, const InviteRecord& invite, const v1::EnrollmentProof& proof,
    const AttestedToken& attested, TokenAnchors anchors) const {
  const VerifiedAttestation& attestation = attested.attestation;
  if (!invite.pinned_device.empty() && attestation.device_id() != invite.pinned_device) {
    return Refuse(Reason::kDeviceNotPinned);
  }
  CredentialRecord record;
  record.id = CredentialId(parts_.audience, invite.subject, proof.spki());
  record.subject = invite.subject;
  record.kind = attestation.kind();
  record.algorithm = static_cast<int>(attestation.key().algorithm());
  record.spki = proof.spki();
  record.label = proof.label();
  record.device_id = attestation.device_id();
  record.factors = attestation.factors();
  nlohmann::json proved = attestation.proved();
  if (anchors == TokenAnchors::kSimulators) proved["insecure_simulator"] = true;
  record.proved_json =
      proved.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  record.evidence = Evidence(ticket.enrollment_id, ticket.opening, proof);
  record.rp_id = attested.rp_id;
  record.origin = attested.origin;
  record.enrolled_at = parts_.clock->WallNow();
  return record;
}

absl::Status EnrollmentAuthority::CheckPossession(const TokenVerifier& verifier,
                                                  const AttestedToken& attested,
                                                  const v1::EnrollmentProof::Assertion& possession,
                                                  absl::string_view statement,
                                                  CredentialRecord* record) {
  const PublicKey& key = attested.attestation.key();
  const AssertionView assertion{"", possession.signature(), possession.authenticator_data(),
                                possession.client_data_json()};
  const absl::StatusOr<AssertionFacts> facts =
      verifier.VerifyAssertion(assertion, statement, *record, key);
  if (!facts.ok()) {
    const std::optional<Reason> reason = ReasonOf(facts.status());
    if (!reason) return facts.status();  // our own failure
    return Refuse(Reason::kPossessionInvalid,
                  absl::StrCat(ReasonName(*reason), ": ", facts.status().message()));
  }
  if (!facts->sign_count) return absl::OkStatus();
  const absl::Status grown =
      CheckSignatureCounter(attested.sign_count.value_or(0), *facts->sign_count);
  if (!grown.ok() && facts->refuse_rollback) return grown;
  record->sign_count = *facts->sign_count;
  return absl::OkStatus();
}

absl::StatusOr<FinishedEnrollment> EnrollmentAuthority::Finish(
    const v1::FinishEnrollmentRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const TicketAndProof both, ProofOf(request));
  const EnrollmentTicket& ticket = both.ticket;
  const v1::EnrollmentProof& proof = both.proof;
  FOREKEY_ASSIGN_OR_RETURN(const InviteRecord invite,
                           AuthenticateInvite(label::kInviteFinish, ticket.invite_public_key,
                                              request.payload(), request.invite_signature()));

  FOREKEY_ASSIGN_OR_RETURN(const v1::EnrollmentOpening opening,
                           ParsePayload<v1::EnrollmentOpening>(ticket.opening, kMaxOpeningSize));
  const BootTime now = parts_.clock->BootNow();
  if (!parts_.certificates->Accepts(opening.channel_binding(), now)) {
    return Refuse(Reason::kChannelBindingUnknown);
  }
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const GateIdentity> identity,
                           parts_.identities->Find(opening.gate_identity()));
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const TokenVerifier> verifier,
                           FindKind(opening.kind(), invite));
  FOREKEY_RETURN_IF_ERROR(CheckSubject(invite.subject));
  const std::string statement =
      StatementOf(parts_.audience, ticket.enrollment_id, invite.subject, opening, proof.spki());
  const std::string unkeyed =
      StatementOf(parts_.audience, ticket.enrollment_id, invite.subject, opening, "");
  const TokenEvidence evidence{&opening, &proof, statement, unkeyed};
  TokenAnchors anchors = TokenAnchors::kVendors;
  FOREKEY_ASSIGN_OR_RETURN(
      const AttestedToken attested,
      AskVendorsThenSimulators(*verifier, {ticket.enrollment_id, parts_.clock->WallNow()},
                               [&](const EnrollmentContext& context) {
                                 anchors = context.anchors;
                                 return verifier->Attest(evidence, ticket.state.view(), context);
                               }));
  // A credential for another key than the attested one, or of another kind, would undo everything.
  if (attested.attestation.key().spki() != proof.spki() ||
      attested.attestation.kind() != opening.kind()) {
    return Refuse(Reason::kCredentialMismatch);
  }
  FOREKEY_ASSIGN_OR_RETURN(CredentialRecord record,
                           MakeCredential(ticket, invite, proof, attested, anchors));
  FOREKEY_RETURN_IF_ERROR(
      CheckPossession(*verifier, attested, proof.possession(), statement, &record));
  FOREKEY_ASSIGN_OR_RETURN(const Secret confirmation_key, ConfirmationKey(*identity, opening));

  // Its age was asked at the beginning; from then on the ticket's lifetime counts, and so the
  // challenge is remembered until no ticket over it can be alive.
  FOREKEY_ASSIGN_OR_RETURN(
      const CheckedChallenge challenge,
      parts_.challenges->CheckAnyAge(opening.challenge(), ChallengePurpose::kEnroll));
  FOREKEY_RETURN_IF_ERROR(parts_.replay->Consume(challenge.nonce, now,
                                                 challenge.expires_at + kEnrollmentTicketLifetime));
  FOREKEY_RETURN_IF_ERROR(parts_.credentials->Enroll(
      Registry::Enrollment{invite.id, record, parts_.one_subject_a_device, record.enrolled_at}));

  FinishedEnrollment finished;
  finished.response.set_credential_id(record.id);
  finished.response.set_confirmation(
      ComputeEnrollmentConfirmation(confirmation_key, kFinishStep, request.payload(), record.id));
  finished.credential = std::move(record);
  finished.replaced_credential = invite.replaces_credential;
  finished.invite_id = invite.id;
  return finished;
}

}  // namespace forekey
