// GateCore's further factors, and the administration of identities at identity providers.
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "src/base/status.h"
#include "src/gate/service/gate_core.h"

namespace forekey {
namespace {

constexpr size_t kMaxOidcIdentity = 255;
constexpr absl::Duration kRefreshPatience = absl::Seconds(20);  // an administrator's

}  // namespace

absl::StatusOr<const OidcProviderConfig*> GateCore::ProviderNamed(absl::string_view issuer) const {
  const std::vector<OidcProviderConfig>& providers = config_.oidc.providers;
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

absl::StatusOr<v1::SetOidcIdentityResponse> GateCore::SetOidcIdentity(
    const v1::SetOidcIdentityRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().FindSubject(request.subject()).status());
  v1::SetOidcIdentityResponse response;
  if (request.identity().empty()) {
    FOREKEY_RETURN_IF_ERROR(AuditChange(
        actor, "SetOidcIdentity", request.subject(),
        request.issuer().empty() ? "identities taken away"
                                 : absl::StrCat("identity at ", request.issuer(), " taken away")));
    FOREKEY_RETURN_IF_ERROR(credentials_->ClearOidcIdentities(request.subject(), request.issuer()));
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
      credentials_->SetOidcIdentity(request.subject(), identity, clock_->WallNow()));
  response.set_issuer(identity.issuer);
  response.set_claim(identity.claim);
  return response;
}

void GateCore::RefreshIdentityProviders() {
  if (oidc_ != nullptr) oidc_->RefreshSoon();
}

absl::StatusOr<v1::ListIdentityProvidersResponse> GateCore::ListIdentityProviders(
    const v1::ListIdentityProvidersRequest& request, absl::string_view actor) {
  v1::ListIdentityProvidersResponse response;
  if (oidc_ == nullptr) return response;
  if (request.refresh()) {
    FOREKEY_RETURN_IF_ERROR(AuditChange(actor, "RefreshIdentityProviders", "",
                                        "has the keys of all providers fetched"));
  }
  for (const OidcFactor::ProviderState& state :
       request.refresh() ? oidc_->RefreshBy(absl::Now() + kRefreshPatience) : oidc_->States()) {
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

size_t GateCore::MostOpeningThreads() const {
  return (config_.passwords.enabled ? PasswordFactor::MostThreads(config_.passwords) : 0) +
         OidcFactor::MostThreads(config_.oidc);
}

absl::Status GateCore::BuildFactors(bool fetch_keys) {
  if (config_.passwords.enabled) {
    passwords_ =
        std::make_unique<PasswordFactor>(config_.passwords, credentials_->registry(), *clock_);
  }
  if (!config_.oidc.providers.empty()) {
    oidc_ = std::make_unique<OidcFactor>(config_.oidc, credentials_->registry(), *clock_,
                                         [this](bool good, const std::string& what) {
                                           Decision decision = NewDecision(AuditEvent::kGate);
                                           decision.admitted = good;
                                           decision.detail = what;
                                           (void)audit_->Admit(decision);
                                         });
    if (fetch_keys) FOREKEY_RETURN_IF_ERROR(oidc_->Start());
  }
  opener_->TakeFactors(config_.audience, passwords_.get(), oidc_.get());
  return absl::OkStatus();
}

}  // namespace forekey
