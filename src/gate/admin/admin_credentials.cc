// SPDX-License-Identifier: Apache-2.0
// Enrolled credentials: listed, revoked, rechecked.
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/crypto/public_key.h"
#include "src/gate/admin/administration.h"

namespace forekey {

absl::StatusOr<v1::ListCredentialsResponse> Administration::ListCredentials(
    const v1::ListCredentialsRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<CredentialRecord> credentials,
                           state_.registry().ListCredentials(request.subject()));
  v1::ListCredentialsResponse response;
  for (const CredentialRecord& credential : credentials) {
    v1::EnrolledCredential* info = response.add_credentials();
    info->set_credential_id(credential.id);
    info->set_subject(credential.subject);
    info->set_kind(credential.kind);
    info->set_label(credential.label);
    if (auto algorithm = AlgorithmFromCose(credential.algorithm)) {
      info->set_algorithm(std::string(AlgorithmName(*algorithm)));
    }
    info->set_enrolled_unix_s(absl::ToUnixSeconds(credential.enrolled_at));
    if (credential.revoked_at)
      info->set_revoked_unix_s(absl::ToUnixSeconds(*credential.revoked_at));
    info->set_revocation_note(credential.revocation_note);
    info->set_proved_json(credential.proved_json);
  }
  return response;
}

void Administration::EndRevoked(const std::string& id, bool revoked,
                                const v1::RevokeCredentialRequest& request, absl::string_view actor,
                                v1::RevokeCredentialResponse& response) {
  // Also where it was revoked before: a gate that stopped between the two steps is put right.
  const size_t ended = EndSessionsOfCredential(id);
  response.set_revoked(response.revoked() + (revoked ? 1 : 0));
  response.set_sessions_ended(response.sessions_ended() + static_cast<uint32_t>(ended));
  (void)AuditChange(actor, "RevokeCredential", request.subject(),
                    absl::StrCat(absl::BytesToHexString(id), revoked ? "" : " (revoked before)",
                                 ", sessions ended: ", ended, ", note: ", request.note()));
}

absl::StatusOr<v1::RevokeCredentialResponse> Administration::RevokeCredential(
    const v1::RevokeCredentialRequest& request, absl::string_view actor) {
  if (request.credential_id().empty() == request.subject().empty()) {
    return absl::InvalidArgumentError("name either a credential or a subject");
  }
  v1::RevokeCredentialResponse response;
  if (request.subject().empty()) {
    ChangePosition made;
    FOREKEY_ASSIGN_OR_RETURN(const bool revoked,
                             state_.credentials().Revoke(request.credential_id(), request.note(),
                                                         state_.clock().WallNow(), &made));
    EndRevoked(request.credential_id(), revoked, request, actor, response);
    *response.mutable_spread() = AwaitEverywhere({made});
    return response;
  }
  FOREKEY_ASSIGN_OR_RETURN(const Registry::RevokedSubject done,
                           state_.credentials().RevokeSubject(request.subject(), request.note(),
                                                              state_.clock().WallNow()));
  for (const auto& credential : done.credentials) {
    EndRevoked(credential.id, credential.revoked, request, actor, response);
  }
  for (const InviteRecord& invite : done.cancelled_invites) {
    *response.add_cancelled_invites() = InfoOf(invite);
    (void)AuditChange(actor, "CancelInvite", request.subject(),
                      absl::StrCat(absl::BytesToHexString(invite.id),
                                   ", with its subject's credentials, note: ", request.note()));
  }
  *response.mutable_spread() = AwaitEverywhere({done.made});
  return response;
}

absl::StatusOr<v1::RecheckCredentialsResponse> Administration::RecheckCredentials(
    const v1::RecheckCredentialsRequest& request, absl::string_view actor) {
  FOREKEY_ASSIGN_OR_RETURN(CredentialRecheck* const recheck, needs_.recheck());
  FOREKEY_RETURN_IF_ERROR(
      AuditChange(actor, "RecheckCredentials", "",
                  request.revoke() ? "and revokes what is withdrawn" : "only looks"));
  return recheck->Recheck(request, actor);
}

}  // namespace forekey
