// SPDX-License-Identifier: Apache-2.0
// Invites.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/file.h"
#include "src/base/status.h"
#include "src/crypto/certificate.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/crypto/random.h"
#include "src/gate/admin/administration.h"
#include "src/gate/session/announced_cas.h"
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
    if (!IsTokenKind(static_cast<TokenKind>(kind))) {
      return absl::InvalidArgumentError(absl::StrCat("unknown token kind ", kind));
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

// Those of now, and those that the gate changes to.
absl::Status LoadCas(const std::string& path, std::vector<std::string>* der) {
  FOREKEY_RETURN_IF_ERROR(LoadCa(path, der));
  if (path.empty() || FileSignature(NextCaPath(path)).empty()) return absl::OkStatus();
  return LoadCa(NextCaPath(path), der);
}

}  // namespace

absl::StatusOr<v1::CreateInviteResponse> Administration::CreateInvite(
    const v1::CreateInviteRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(CheckInviteRequest(request));
  absl::StatusOr<SubjectRecord> subject = state_.registry().FindSubject(request.subject());
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
  invite.identity_fingerprint = state_.identities().current()->fingerprint();
  invite.seed = Secret(RandomBytes(kInviteSeedSize));
  FOREKEY_RETURN_IF_ERROR(LoadCas(config_.tls.ca, &invite.ca_certificates));
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
  for (int kind : request.kinds()) record.kinds.push_back(static_cast<TokenKind>(kind));
  record.pinned_device = request.pinned_device();
  record.replaces_credential = request.replaces_credential();
  record.created_at = state_.clock().WallNow();
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
  FOREKEY_RETURN_IF_ERROR(state_.registry().AddInvite(record));
  v1::CreateInviteResponse response;
  response.set_invite(text);
  response.set_invite_id(record.id);
  response.set_expires_unix_s(absl::ToUnixSeconds(record.expires_at));
  return response;
}

v1::InviteInfo Administration::InfoOf(const InviteRecord& invite) {
  v1::InviteInfo info;
  info.set_invite_id(invite.id);
  info.set_subject(invite.subject);
  for (const std::string& role : invite.roles) info.add_roles(role);
  info.set_expires_unix_s(absl::ToUnixSeconds(invite.expires_at));
  if (invite.used_at) info.set_used_unix_s(absl::ToUnixSeconds(*invite.used_at));
  info.set_recovery(!invite.replaces_credential.empty());
  return info;
}

absl::StatusOr<v1::ListInvitesResponse> Administration::ListInvites(
    const v1::ListInvitesRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<InviteRecord> invites,
                           state_.registry().ListInvites());
  v1::ListInvitesResponse response;
  for (const InviteRecord& invite : invites) {
    *response.add_invites() = InfoOf(invite);
  }
  return response;
}

absl::StatusOr<v1::CancelInviteResponse> Administration::CancelInvite(
    const v1::CancelInviteRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(state_.registry().CancelInvite(request.invite_id()));
  (void)AuditChange(actor, "CancelInvite", "", absl::BytesToHexString(request.invite_id()));
  return v1::CancelInviteResponse();
}

}  // namespace forekey
