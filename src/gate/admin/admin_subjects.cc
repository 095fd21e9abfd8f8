// SPDX-License-Identifier: Apache-2.0
// Subjects: who they are, what they may do, their passwords and their names elsewhere.
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "src/base/deadline.h"
#include "src/base/status.h"
#include "src/gate/admin/administration.h"
#include "src/gate/factor/oidc_factor.h"
#include "src/gate/factor/password_factor.h"

namespace forekey {
namespace {

constexpr size_t kMaxOidcIdentity = 255;
constexpr absl::Duration kRefreshPatience = absl::Seconds(20);  // an administrator's

}  // namespace

absl::StatusOr<v1::ListSubjectsResponse> Administration::ListSubjects(
    const v1::ListSubjectsRequest& request) {
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<SubjectRecord> subjects,
                           state_.registry().ListSubjects());
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<CredentialRecord> credentials,
                           state_.registry().ListCredentials(""));
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
                             state_.registry().FindOidcIdentities(subject.name));
    for (const OidcIdentity& oidc : identities) {
      info->add_oidc_identities(absl::StrCat(oidc.claim, "=", oidc.value, " at ", oidc.issuer));
    }
  }
  return response;
}

absl::StatusOr<v1::SetSubjectResponse> Administration::SetSubject(
    const v1::SetSubjectRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(state_.registry().FindSubject(request.subject()).status());
  std::vector<std::string> roles(request.roles().begin(), request.roles().end());
  const std::string change =
      absl::StrCat(request.set_disabled() ? (request.disabled() ? "disabled " : "enabled ") : "",
                   request.set_roles() ? absl::StrCat("roles: ", absl::StrJoin(roles, ",")) : "");
  const bool only_disables = request.set_disabled() && request.disabled() && !request.set_roles();
  if (!only_disables) {
    FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "SetSubject", request.subject(), change));
  }
  ChangePosition disabling, new_roles;
  if (request.set_disabled()) {
    FOREKEY_RETURN_IF_ERROR(
        state_.credentials().SetDisabled(request.subject(), request.disabled(), &disabling));
    if (request.disabled() && needs_.sessions != nullptr) {
      needs_.sessions->EndBySubject(request.subject());
    }
  }
  if (request.set_roles()) {
    FOREKEY_RETURN_IF_ERROR(state_.credentials().SetRoles(request.subject(), roles, &new_roles));
  }
  if (only_disables) (void)AuditChange(actor, "SetSubject", request.subject(), change);
  v1::SetSubjectResponse response;
  *response.mutable_spread() = AwaitEverywhere({disabling, new_roles});
  return response;
}

absl::StatusOr<v1::SetPasswordResponse> Administration::SetPassword(
    const v1::SetPasswordRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(state_.registry().FindSubject(request.subject()).status());
  std::string hash;
  if (!request.password().empty()) {
    const auto passwords = needs_.factors->Get<PasswordFactor>();
    if (!passwords) {
      return absl::FailedPreconditionError("the config has no [factors.password]");
    }
    FOREKEY_ASSIGN_OR_RETURN(hash, passwords->Hash(Secret::CopyOf(request.password())));
  }
  FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "SetPassword", request.subject(),
                                      hash.empty() ? "password taken away" : "password set"));
  FOREKEY_RETURN_IF_ERROR(
      state_.credentials().SetPasswordHash(request.subject(), hash, state_.clock().WallNow()));
  return v1::SetPasswordResponse();
}

absl::StatusOr<const OidcProviderConfig*> Administration::ProviderNamed(
    absl::string_view issuer) const {
  const std::vector<OidcProviderConfig>& providers =
      config_.factors.Get<OidcSection>().config.providers;
  if (providers.empty()) return absl::FailedPreconditionError("the config has no [factors.oidc]");
  if (issuer.empty() && providers.size() == 1) return &providers.front();
  std::vector<absl::string_view> issuers;
  for (const OidcProviderConfig& provider : providers) {
    if (provider.token.issuer == issuer) return &provider;
    issuers.push_back(provider.token.issuer);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      issuer.empty() ? "which of the identity providers: " : "no provider has that issuer: ",
      absl::StrJoin(issuers, ", ")));
}

absl::StatusOr<v1::SetOidcIdentityResponse> Administration::SetOidcIdentity(
    const v1::SetOidcIdentityRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(state_.registry().FindSubject(request.subject()).status());
  v1::SetOidcIdentityResponse response;
  if (request.identity().empty()) {
    FOREKEY_RETURN_IF_ERROR(AuditChange(
        actor, "SetOidcIdentity", request.subject(),
        request.issuer().empty() ? "identities taken away"
                                 : absl::StrCat("identity at ", request.issuer(), " taken away")));
    FOREKEY_RETURN_IF_ERROR(
        state_.credentials().ClearOidcIdentities(request.subject(), request.issuer()));
    return response;
  }
  FOREKEY_ASSIGN_OR_RETURN(const OidcProviderConfig* provider, ProviderNamed(request.issuer()));
  if (request.identity().size() > kMaxOidcIdentity) {
    return absl::InvalidArgumentError("an identity has 1 to 255 bytes");
  }
  const OidcIdentity identity{provider->token.issuer, provider->token.claim, request.identity()};
  FOREKEY_RETURN_IF_ERROR(AuditChange(
      actor, "SetOidcIdentity", request.subject(),
      absl::StrCat("is now ", identity.claim, " ", identity.value, " at ", identity.issuer)));
  FOREKEY_RETURN_IF_ERROR(
      state_.credentials().SetOidcIdentity(request.subject(), identity, state_.clock().WallNow()));
  response.set_issuer(identity.issuer);
  response.set_claim(identity.claim);
  return response;
}

absl::StatusOr<v1::ListIdentityProvidersResponse> Administration::ListIdentityProviders(
    const v1::ListIdentityProvidersRequest& request, absl::string_view actor) {
  v1::ListIdentityProvidersResponse response;
  OidcFactor* const oidc = needs_.factors->Get<OidcFactor>();
  if (oidc == nullptr) return response;
  if (request.refresh()) {
    FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "RefreshIdentityProviders", "",
                                        "has the keys of all providers fetched"));
  }
  for (const OidcFactor::ProviderState& state :
       request.refresh() ? oidc->RefreshBy(Deadline::In(kRefreshPatience)) : oidc->States()) {
    v1::IdentityProviderInfo* info = response.add_providers();
    info->set_issuer(state.issuer);
    info->set_client_id(state.client_id);
    info->set_source(state.source);
    info->set_keys(static_cast<uint32_t>(state.keys.keys));
    info->set_age_s(state.keys.age ? absl::ToInt64Seconds(*state.keys.age) : -1);
    info->set_error(state.keys.error);
  }
  return response;
}

}  // namespace forekey
