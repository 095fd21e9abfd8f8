// The administrator's half of GateCore.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"
#include "src/gate/service/gate_core.h"
#include "src/wire/invite.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

constexpr uint32_t kDefaultInviteLifetime = 24 * 3600;
constexpr uint32_t kMaxInviteLifetime = 30 * 24 * 3600;
constexpr size_t kEd25519Size = 32;

absl::Status CheckInviteRequest(const v1::CreateInviteRequest& request) {
  if (!IsWellFormedSubject(request.subject())) {
    return absl::InvalidArgumentError(
        "subject must be 1 to 255 of letters, digits and ._@+-, not beginning with '-' or '.'");
  }
  if (request.lifetime_s() > kMaxInviteLifetime) {
    return absl::InvalidArgumentError("an invite lives for at most 30 days");
  }
  for (int kind : request.kinds()) {
    if (kind <= 0 || !v1::TokenKind_IsValid(kind)) {
      return absl::InvalidArgumentError("unknown token kind");
    }
  }
  if (!request.pinned_device().empty() && request.pinned_device().size() != kSha256Size) {
    return absl::InvalidArgumentError("pinned_device must be a SHA-256");
  }
  if (!request.replaces_credential().empty() &&
      request.replaces_credential().size() != kCredentialIdSize) {
    return absl::InvalidArgumentError("replaces_credential must be a credential id");
  }
  return absl::OkStatus();
}

absl::Status LoadCa(const std::string& path, std::vector<std::string>* der) {
  if (path.empty()) return absl::OkStatus();
  FOREKEY_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  absl::StatusOr<std::vector<Certificate>> certificates = Certificate::ParseAll(content);
  if (!certificates.ok() || certificates->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": holds no certificate"));
  }
  for (const Certificate& certificate : *certificates) der->push_back(certificate.der());
  return absl::OkStatus();
}

int64_t UnixSeconds(const std::optional<absl::Time>& time) {
  return time ? absl::ToUnixSeconds(*time) : 0;
}

}  // namespace

absl::Status GateCore::AuditChange(absl::string_view actor, absl::string_view method,
                                   absl::string_view subject, absl::string_view detail) {
  Decision decision = NewDecision(AuditEvent::kAdmin);
  decision.admitted = true;
  decision.peer = std::string(actor);
  decision.method = std::string(method);
  decision.subject = std::string(subject);
  decision.detail = std::string(detail);
  return audit_->Admit(decision);
}

std::string GateCore::AdvertisedAddress() const {
  std::string address = config_.AdvertisedAddress();
  const int port = bound_port_.load(std::memory_order_relaxed);
  if (port != 0 && absl::EndsWith(address, ":0")) {
    address.replace(address.size() - 1, 1, absl::StrCat(port));
  }
  return address;
}

absl::StatusOr<v1::GetGateStatusResponse> GateCore::GetGateStatus(
    const v1::GetGateStatusRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const Registry::Counts counts, credentials_->registry().Count());
  v1::GetGateStatusResponse response;
  response.set_version(FOREKEY_VERSION);
  response.set_audience(config_.audience);
  response.set_address(AdvertisedAddress());
  response.set_identity_fingerprint(absl::BytesToHexString(identities_->current()->fingerprint()));
  response.set_sessions(sessions_->size());
  response.set_subjects(counts.subjects);
  response.set_credentials(counts.credentials);
  response.set_admitted(counters_.admitted.load(std::memory_order_relaxed));
  response.set_refused(counters_.refused.load(std::memory_order_relaxed));
  return response;
}

absl::StatusOr<v1::CreateInviteResponse> GateCore::CreateInvite(
    const v1::CreateInviteRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(CheckInviteRequest(request));
  absl::StatusOr<SubjectRecord> subject = credentials_->registry().FindSubject(request.subject());
  if (!subject.ok() && !absl::IsNotFound(subject.status())) return subject.status();
  if (subject.ok() && request.roles_size() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.subject(),
                     " exists and keeps its own roles: leave the roles out, or change them first"));
  }

  Invite invite;
  invite.audience = config_.audience;
  invite.address = AdvertisedAddress();
  if (absl::EndsWith(invite.address, ":0")) {
    return absl::FailedPreconditionError(
        "no port to invite to: the config says 0, and the gate does not listen yet");
  }
  invite.identity_fingerprint = identities_->current()->fingerprint();
  invite.seed = Secret(RandomBytes(kInviteSeedSize));
  FOREKEY_RETURN_IF_ERROR(LoadCa(config_.tls.ca, &invite.ca_certificates));
  const std::string text = invite.Serialize();
  if (text.empty()) return absl::FailedPreconditionError("[tls] ca is too large for an invite");
  FOREKEY_ASSIGN_OR_RETURN(const SoftwareKey key, invite.SigningKey());

  InviteRecord record;
  // The raw key is the end of its SubjectPublicKeyInfo (RFC 8410).
  record.public_key = key.public_key().spki().substr(key.public_key().spki().size() - kEd25519Size);
  record.id = Sha256(record.public_key);
  record.subject = request.subject();
  record.roles.assign(request.roles().begin(), request.roles().end());
  std::sort(record.roles.begin(), record.roles.end());
  record.roles.erase(std::unique(record.roles.begin(), record.roles.end()), record.roles.end());
  record.kinds.assign(request.kinds().begin(), request.kinds().end());
  record.pinned_device = request.pinned_device();
  record.replaces_credential = request.replaces_credential();
  record.created_at = clock_->WallNow();
  record.expires_at =
      record.created_at +
      absl::Seconds(request.lifetime_s() == 0 ? kDefaultInviteLifetime : request.lifetime_s());
  FOREKEY_RETURN_IF_ERROR(AuditChange(
      actor, "CreateInvite", record.subject,
      absl::StrCat(
          subject.ok() ? "recovery: " : "", "invite ", absl::BytesToHexString(record.id),
          ", roles: ", absl::StrJoin(record.roles, ","),
          record.replaces_credential.empty()
              ? ""
              : absl::StrCat(", replaces ", absl::BytesToHexString(record.replaces_credential)))));
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().AddInvite(record));
  v1::CreateInviteResponse response;
  response.set_invite(text);
  response.set_invite_id(record.id);
  response.set_expires_unix_s(absl::ToUnixSeconds(record.expires_at));
  return response;
}

absl::StatusOr<v1::ListInvitesResponse> GateCore::ListInvites(
    const v1::ListInvitesRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<InviteRecord> invites,
                           credentials_->registry().ListInvites());
  v1::ListInvitesResponse response;
  for (const InviteRecord& invite : invites) {
    v1::InviteInfo* info = response.add_invites();
    info->set_invite_id(invite.id);
    info->set_subject(invite.subject);
    for (const std::string& role : invite.roles) info->add_roles(role);
    info->set_expires_unix_s(absl::ToUnixSeconds(invite.expires_at));
    info->set_used_unix_s(UnixSeconds(invite.used_at));
    info->set_recovery(!invite.replaces_credential.empty());
  }
  return response;
}

// What takes power away is done first and written afterwards: a full disk must not keep a stolen
// credential alive. What gives power is written first.

absl::StatusOr<v1::CancelInviteResponse> GateCore::CancelInvite(
    const v1::CancelInviteRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().CancelInvite(request.invite_id()));
  (void)AuditChange(actor, "CancelInvite", "", absl::BytesToHexString(request.invite_id()));
  return v1::CancelInviteResponse();
}

absl::StatusOr<v1::ListSubjectsResponse> GateCore::ListSubjects(
    const v1::ListSubjectsRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<SubjectRecord> subjects,
                           credentials_->registry().ListSubjects());
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<CredentialRecord> credentials,
                           credentials_->registry().ListCredentials(""));
  std::map<std::string, uint32_t> live;
  for (const CredentialRecord& credential : credentials) {
    if (!credential.revoked_at) ++live[credential.subject];
  }
  v1::ListSubjectsResponse response;
  for (const SubjectRecord& subject : subjects) {
    v1::SubjectInfo* info = response.add_subjects();
    info->set_subject(subject.name);
    for (const std::string& role : subject.roles) info->add_roles(role);
    info->set_disabled(subject.disabled);
    info->set_created_unix_s(absl::ToUnixSeconds(subject.created_at));
    info->set_live_credentials(live[subject.name]);
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<OidcIdentity> identities,
                             credentials_->registry().FindOidcIdentities(subject.name));
    for (const OidcIdentity& oidc : identities) {
      info->add_oidc_identities(absl::StrCat(oidc.claim, "=", oidc.value, " at ", oidc.issuer));
    }
  }
  return response;
}

absl::StatusOr<v1::SetSubjectResponse> GateCore::SetSubject(const v1::SetSubjectRequest& request,
                                                            absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().FindSubject(request.subject()).status());
  std::vector<std::string> roles(request.roles().begin(), request.roles().end());
  const std::string change =
      absl::StrCat(request.set_disabled() ? (request.disabled() ? "disabled " : "enabled ") : "",
                   request.set_roles() ? absl::StrCat("roles: ", absl::StrJoin(roles, ",")) : "");
  const bool only_disables = request.set_disabled() && request.disabled() && !request.set_roles();
  if (!only_disables) {
    FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "SetSubject", request.subject(), change));
  }
  if (request.set_disabled()) {
    FOREKEY_RETURN_IF_ERROR(credentials_->SetDisabled(request.subject(), request.disabled()));
    if (request.disabled()) sessions_->EndBySubject(request.subject());
  }
  if (request.set_roles()) {
    FOREKEY_RETURN_IF_ERROR(credentials_->SetRoles(request.subject(), roles));
  }
  if (only_disables) (void)AuditChange(actor, "SetSubject", request.subject(), change);
  return v1::SetSubjectResponse();
}

absl::StatusOr<v1::ListCredentialsResponse> GateCore::ListCredentials(
    const v1::ListCredentialsRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<CredentialRecord> credentials,
                           credentials_->registry().ListCredentials(request.subject()));
  v1::ListCredentialsResponse response;
  for (const CredentialRecord& credential : credentials) {
    v1::EnrolledCredential* info = response.add_credentials();
    info->set_credential_id(credential.id);
    info->set_subject(credential.subject);
    info->set_kind(static_cast<v1::TokenKind>(credential.kind));
    info->set_label(credential.label);
    if (auto algorithm = AlgorithmFromCose(credential.algorithm)) {
      info->set_algorithm(std::string(AlgorithmName(*algorithm)));
    }
    info->set_enrolled_unix_s(absl::ToUnixSeconds(credential.enrolled_at));
    info->set_revoked_unix_s(UnixSeconds(credential.revoked_at));
    info->set_revocation_note(credential.revocation_note);
    info->set_proved_json(credential.proved_json);
  }
  return response;
}

absl::StatusOr<v1::RevokeCredentialResponse> GateCore::RevokeCredential(
    const v1::RevokeCredentialRequest& request, absl::string_view actor) {
  if (request.credential_id().empty() == request.subject().empty()) {
    return absl::InvalidArgumentError("name either a credential or a subject");
  }
  std::vector<std::string> ids = {request.credential_id()};
  if (!request.subject().empty()) {
    FOREKEY_RETURN_IF_ERROR(credentials_->registry().FindSubject(request.subject()).status());
    FOREKEY_ASSIGN_OR_RETURN(const std::vector<CredentialRecord> credentials,
                             credentials_->registry().ListCredentials(request.subject()));
    ids.clear();
    for (const CredentialRecord& credential : credentials) ids.push_back(credential.id);
  }
  v1::RevokeCredentialResponse response;
  for (const std::string& id : ids) {
    FOREKEY_ASSIGN_OR_RETURN(const bool revoked,
                             credentials_->Revoke(id, request.note(), clock_->WallNow()));
    // Also where it was revoked before: a gate that stopped between the two steps is put right.
    const size_t ended = sessions_->EndByCredential(id);
    response.set_revoked(response.revoked() + (revoked ? 1 : 0));
    response.set_sessions_ended(response.sessions_ended() + static_cast<uint32_t>(ended));
    (void)AuditChange(actor, "RevokeCredential", request.subject(),
                      absl::StrCat(absl::BytesToHexString(id), revoked ? "" : " (revoked before)",
                                   ", sessions ended: ", ended, ", note: ", request.note()));
  }
  return response;
}

absl::StatusOr<v1::BackUpResponse> GateCore::BackUp(const v1::BackUpRequest& request,
                                                    absl::string_view actor) {
  if (request.path().empty() || request.path()[0] != '/') {
    return absl::InvalidArgumentError(
        "the backup's path must be absolute: it is the gate that writes it");
  }
  // It is a copy of everything that is enrolled: who took one is written first.
  FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "BackUp", "", request.path()));
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().Backup(request.path()));
  FOREKEY_ASSIGN_OR_RETURN(const Registry::Counts counts, credentials_->registry().Count());
  v1::BackUpResponse response;
  response.set_subjects(counts.subjects);
  response.set_credentials(counts.credentials);
  return response;
}

absl::StatusOr<v1::RotateIdentityResponse> GateCore::RotateIdentity(
    const v1::RotateIdentityRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(
      AuditChange(actor, "RotateIdentity", "", "the gate's identity is rotated"));
  FOREKEY_RETURN_IF_ERROR(identities_->Rotate());
  v1::RotateIdentityResponse response;
  response.set_identity_fingerprint(absl::BytesToHexString(identities_->current()->fingerprint()));
  return response;
}

}  // namespace forekey
