#include "src/gate/core/oidc_factor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/gate/core/https_get.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

// A file costs nothing to look at.
constexpr absl::Duration kFileRefresh = absl::Seconds(10);
constexpr absl::Duration kFileRetry = absl::Seconds(1);

JwksCache::Fetch FetchOf(const OidcConfig& config) {
  if (!config.jwks_file.empty()) {
    return [path = config.jwks_file](const std::atomic<bool>&) {
      return ReadFile(path, kMaxJwkSetSize);
    };
  }
  const HttpsGetOptions get{config.jwks_url, config.ca, config.timeout, kMaxJwkSetSize};
  return [get](const std::atomic<bool>& stop) { return HttpsGet(get, stop); };
}

JwksCacheOptions CacheOptionsOf(const OidcConfig& config) {
  JwksCacheOptions options;
  options.refresh = config.jwks_file.empty() ? config.refresh : kFileRefresh;
  options.retry = config.jwks_file.empty() ? config.retry : kFileRetry;
  options.max_stale = config.max_stale;
  return options;
}

}  // namespace

OidcFactor::OidcFactor(const OidcConfig& config, Registry& registry, const Clock& clock,
                       JwksCache::Report report)
    : config_(config),
      registry_(registry),
      clock_(clock),
      tries_({std::string(kOidcFactor), config.tries, config.per, Reason::kRateLimited}, registry, clock),
      keys_(CacheOptionsOf(config), clock, FetchOf(config), std::move(report)) {}

absl::Status OidcFactor::Start() {
  if (!config_.jwks_file.empty()) {
    if (absl::Status read = keys_.Refresh(); !read.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("[factors.oidc] jwks_file ", config_.jwks_file, ": ", read.message()));
    }
  }
  keys_.Start();
  return absl::OkStatus();
}

absl::StatusOr<VerifiedIdToken> OidcFactor::VerifyWithKeys(absl::string_view token,
                                                           absl::string_view nonce) {
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<const JwkSet> keys, keys_.Keys());
  const absl::Time now = clock_.WallNow();
  absl::StatusOr<VerifiedIdToken> verified = VerifyIdToken(token, *keys, config_.token, nonce, now);
  if (ReasonOf(verified.status()) != Reason::kIdTokenKeyUnknown) return verified;
  // The provider may have a new key.
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const JwkSet> newer, keys_.Newer(keys));
  if (newer == keys) return verified;
  return VerifyIdToken(token, *newer, config_.token, nonce, now);
}

absl::StatusOr<VerifiedIdToken> OidcFactor::Check(absl::string_view subject,
                                                  absl::Span<const std::string> credential_ids,
                                                  absl::string_view nonce, const Secret& token) {
  FOREKEY_RETURN_IF_ERROR(tries_.Take(credential_ids));
  FOREKEY_ASSIGN_OR_RETURN(const std::optional<OidcIdentity> due,
                           registry_.FindOidcIdentity(subject));
  FOREKEY_ASSIGN_OR_RETURN(VerifiedIdToken verified, VerifyWithKeys(token.view(), nonce));
  if (!due) {
    return Refuse(Reason::kIdTokenSubject, absl::StrCat(Describe(verified),
                                                        ", and the subject has no identity there: "
                                                        "forekey-gate subject oidc set"));
  }
  const OidcIdentity is{verified.issuer(), config_.token.claim, verified.identity()};
  if (is != *due) {
    return Refuse(Reason::kIdTokenSubject,
                  absl::StrCat(Describe(verified), ", and the subject is ", due->claim, " ",
                               due->value, " at ", due->issuer));
  }
  return verified;
}

absl::Status OidcFactor::Use(const VerifiedIdToken& token) {
  return registry_.UseIdToken(
      {token.one_use_id(), token.good_until(), clock_.WallNow(), config_.remembered});
}

std::string OidcFactor::Describe(const VerifiedIdToken& token) const {
  std::string text = absl::StrCat("ID token of ", token.issuer(), ", sub ", token.subject());
  if (config_.token.claim != "sub") {
    absl::StrAppend(&text, ", ", config_.token.claim, " ", token.identity());
  }
  return text;
}

}  // namespace forekey
