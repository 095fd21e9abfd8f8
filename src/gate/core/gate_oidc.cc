// GateCore's further factors, and the administration of identities at the identity provider.
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status.h"
#include "src/gate/core/gate_core.h"

namespace forekey {
namespace {

constexpr size_t kMaxOidcIdentity = 255;

}  // namespace

absl::StatusOr<v1::SetOidcIdentityResponse> GateCore::SetOidcIdentity(
    const v1::SetOidcIdentityRequest& request, absl::string_view actor) {
  FOREKEY_RETURN_IF_ERROR(credentials_->registry().FindSubject(request.subject()).status());
  std::optional<OidcIdentity> identity;
  if (!request.identity().empty()) {
    if (!config_.oidc.enabled) {
      return absl::FailedPreconditionError("the config has no [factors.oidc]");
    }
    if (request.identity().size() > kMaxOidcIdentity) {
      return absl::InvalidArgumentError("an identity has 1 to 255 bytes");
    }
    identity =
        OidcIdentity{config_.oidc.token.issuer, config_.oidc.token.claim, request.identity()};
  }
  FOREKEY_RETURN_IF_ERROR(AuditChange(
      actor, "SetOidcIdentity", request.subject(),
      identity
          ? absl::StrCat("is now ", identity->claim, " ", identity->value, " at ", identity->issuer)
          : "identity taken away"));
  FOREKEY_RETURN_IF_ERROR(
      credentials_->SetOidcIdentity(request.subject(), identity, clock_->WallNow()));
  v1::SetOidcIdentityResponse response;
  if (identity) {
    response.set_issuer(identity->issuer);
    response.set_claim(identity->claim);
  }
  return response;
}

absl::Status GateCore::BuildFactors(bool fetch_keys) {
  if (config_.passwords.enabled) {
    passwords_ = std::make_unique<PasswordFactor>(config_.passwords, credentials_->registry(), *clock_);
  }
  if (config_.oidc.enabled) {
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
