// SPDX-License-Identifier: Apache-2.0
#include "src/gate/factor/oidc_factor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/https/https_get.h"
#include "src/verify/oidc_discovery.h"
#include "src/wire/id_token.h"
#include "src/wire/step_up.h"

namespace forekey {
namespace {

// A file costs nothing to look at.
constexpr absl::Duration kFileRefresh = absl::Seconds(10);
constexpr absl::Duration kFileRetry = absl::Seconds(1);
constexpr size_t kKeysWaiting = 4;  // for one provider's keys

absl::StatusOr<JwksDocument> FetchJwks(const HttpsGetOptions& get, const std::atomic<bool>& stop) {
  FOREKEY_ASSIGN_OR_RETURN(HttpsAnswer answer, HttpsGet(get, stop));
  return JwksDocument{std::move(answer.body), answer.max_age};
}

// The provider's document is read anew each time: its keys may have moved, and so may its name.
absl::StatusOr<JwksDocument> DiscoverJwks(HttpsGetOptions get, const std::string& issuer,
                                          const std::atomic<bool>& stop) {
  get.url = DiscoveryUrl(issuer);
  FOREKEY_ASSIGN_OR_RETURN(const HttpsAnswer document, HttpsGet(get, stop));
  absl::StatusOr<std::string> keys_url = ParseDiscovery(document.body, issuer);
  if (!keys_url.ok()) {
    return absl::UnavailableError(absl::StrCat(get.url, ": ", keys_url.status().message()));
  }
  get.url = *std::move(keys_url);
  return FetchJwks(get, stop);
}

JwksCache::Fetch FetchOf(const OidcProviderConfig& config) {
  if (!config.jwks_file.empty()) {
    return [path = config.jwks_file](const std::atomic<bool>&) -> absl::StatusOr<JwksDocument> {
      FOREKEY_ASSIGN_OR_RETURN(std::string body, ReadFile(path, kMaxJwkSetSize));
      return JwksDocument{std::move(body), std::nullopt};
    };
  }
  const HttpsGetOptions get{config.jwks_url, config.ca, config.timeout, kMaxJwkSetSize};
  if (!config.jwks_url.empty()) {
    return [get](const std::atomic<bool>& stop) { return FetchJwks(get, stop); };
  }
  return [get, issuer = config.token.issuer](const std::atomic<bool>& stop) {
    return DiscoverJwks(get, issuer, stop);
  };
}

JwksCacheOptions CacheOptionsOf(const OidcProviderConfig& config) {
  JwksCacheOptions options;
  options.refresh = config.jwks_file.empty() ? config.refresh : kFileRefresh;
  options.retry = config.jwks_file.empty() ? config.retry : kFileRetry;
  options.max_stale = config.max_stale;
  options.longest_wait = config.longest_wait;
  return options;
}

}  // namespace

OidcFactor::Provider::Provider(const OidcProviderConfig& provider, const Clock& clock,
                               JwksCache::Report report)
    : config(provider),
      keys(CacheOptionsOf(provider), clock, FetchOf(provider),
           [issuer = provider.token.issuer, report = std::move(report)](bool good,
                                                                        const std::string& what) {
             if (report) report(good, absl::StrCat(issuer, ": ", what));
           }),
      lane(absl::StrCat("keys of ", provider.token.issuer), kKeysWaiting) {}

absl::string_view OidcFactor::name() const { return kOidcFactor; }

size_t OidcFactor::MostThreads() const { return kKeysWaiting * providers_.size(); }

OidcFactor::OidcFactor(const OidcConfig& config, Registry& registry, const Clock& clock,
                       const JwksCache::Report& report)
    : config_(config),
      registry_(registry),
      clock_(clock),
      tries_({std::string(kOidcFactor), config.tries, config.per, Reason::kRateLimited}, registry,
             clock) {
  for (const OidcProviderConfig& provider : config_.providers) {
    providers_.push_back(std::make_unique<Provider>(provider, clock, report));
  }
}

absl::Status OidcFactor::Start() {
  for (const auto& provider : providers_) {
    if (provider->config.jwks_file.empty()) continue;
    if (absl::Status read = provider->keys.Refresh(); !read.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("[[factors.oidc.provider]] jwks_file ",
                                                        provider->config.jwks_file, ": ",
                                                        read.message()));
    }
  }
  for (const auto& provider : providers_) provider->keys.Start();
  return absl::OkStatus();
}

OidcFactor::Provider* OidcFactor::Of(absl::string_view issuer) const {
  const auto found = std::find_if(providers_.begin(), providers_.end(), [&](const auto& provider) {
    return provider->config.token.issuer == issuer;
  });
  return found == providers_.end() ? nullptr : found->get();
}

absl::StatusOr<std::shared_ptr<const JwkSet>> OidcFactor::Provider::Keys(
    absl::string_view subject) {
  if (absl::StatusOr<std::shared_ptr<const JwkSet>> at_hand = keys.AtHand(); at_hand.ok())
    return at_hand;
  FOREKEY_ASSIGN_OR_RETURN(const FactorLane::Place place, lane.Enter(subject));
  return keys.Keys();
}

absl::StatusOr<VerifiedIdToken> OidcFactor::Provider::Verify(absl::string_view subject,
                                                             absl::string_view token,
                                                             absl::string_view nonce,
                                                             absl::Time now) {
  FOREKEY_ASSIGN_OR_RETURN(std::shared_ptr<const JwkSet> set, Keys(subject));
  absl::StatusOr<VerifiedIdToken> verified = VerifyIdToken(token, *set, config.token, nonce, now);
  if (ReasonOf(verified.status()) != Reason::kIdTokenKeyUnknown) return verified;
  // The provider may have a new key.
  FOREKEY_ASSIGN_OR_RETURN(const FactorLane::Place place, lane.Enter(subject));
  FOREKEY_ASSIGN_OR_RETURN(const std::shared_ptr<const JwkSet> newer, keys.Newer(set));
  if (newer == set) return verified;
  return VerifyIdToken(token, *newer, config.token, nonce, now);
}

absl::StatusOr<CheckedFactor> OidcFactor::Check(const FactorAttempt& attempt, const Secret& token) {
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedIdToken verified, Verify(attempt, token));
  // As old as the provider says that it is, not as the opening is.
  const absl::Duration age =
      std::max(absl::ZeroDuration(), clock_.WallNow() - verified.issued_at());
  CheckedFactor checked;
  checked.proved = {std::string(kOidcFactor), verified.issued_at(), clock_.BootNow() - age};
  checked.remark = Describe(verified);
  checked.commit = [this, verified] { return Use(verified); };
  return checked;
}

absl::StatusOr<VerifiedIdToken> OidcFactor::Verify(const FactorAttempt& attempt,
                                                   const Secret& token) {
  FOREKEY_RETURN_IF_ERROR(tries_.Take(attempt.credential_ids));
  const absl::string_view subject = attempt.subject;
  const std::vector<absl::string_view> ids(attempt.credential_ids.begin(),
                                           attempt.credential_ids.end());
  const std::string nonce = IdTokenNonce(attempt.audience, attempt.key_share, ids);
  FOREKEY_ASSIGN_OR_RETURN(const std::vector<OidcIdentity> due,
                           registry_.FindOidcIdentities(subject));
  FOREKEY_ASSIGN_OR_RETURN(const ParsedIdToken parsed, ParsedIdToken::Parse(token.view()));
  Provider* const provider = Of(parsed.issuer);
  if (provider == nullptr)
    return Refuse(Reason::kIdTokenIssuer, absl::StrCat("it says ", parsed.issuer));
  FOREKEY_ASSIGN_OR_RETURN(VerifiedIdToken verified,
                           provider->Verify(subject, token.view(), nonce, clock_.WallNow()));
  const OidcIdentity is{verified.issuer(), provider->config.token.claim, verified.identity()};
  const auto same_issuer = std::find_if(due.begin(), due.end(), [&](const OidcIdentity& identity) {
    return identity.issuer == is.issuer;
  });
  if (same_issuer == due.end()) {
    return Refuse(Reason::kIdTokenSubject, absl::StrCat(Describe(verified),
                                                        ", and the subject has no identity there: "
                                                        "forekey-gate subject oidc set"));
  }
  if (is != *same_issuer) {
    return Refuse(Reason::kIdTokenSubject,
                  absl::StrCat(Describe(verified), ", and the subject is ", same_issuer->claim, " ",
                               same_issuer->value, " there"));
  }
  return verified;
}

absl::Status OidcFactor::Use(const VerifiedIdToken& token) {
  return registry_.UseIdToken(
      {token.one_use_id(), token.good_until(), clock_.WallNow(), config_.remembered});
}

std::string OidcFactor::Describe(const VerifiedIdToken& token) const {
  std::string text = absl::StrCat("ID token of ", token.issuer(), ", sub ", token.subject());
  if (const Provider* provider = Of(token.issuer()); provider->config.token.claim != "sub") {
    absl::StrAppend(&text, ", ", provider->config.token.claim, " ", token.identity());
  }
  if (!token.key_id().empty()) absl::StrAppend(&text, ", key ", token.key_id());
  return text;
}

void OidcFactor::RefreshSoon() {
  for (const auto& provider : providers_) (void)provider->keys.RefreshSoon();
}

std::vector<OidcFactor::ProviderState> OidcFactor::RefreshBy(const Deadline& deadline) {
  std::vector<uint64_t> attempts;  // all are asked at once
  for (const auto& provider : providers_) attempts.push_back(provider->keys.RefreshSoon());
  std::vector<absl::Status> answers;
  for (size_t i = 0; i < providers_.size(); ++i) {
    answers.push_back(providers_[i]->keys.Await(attempts[i], deadline));
  }
  std::vector<ProviderState> states = States();
  for (size_t i = 0; i < states.size(); ++i)
    states[i].keys.error = std::string(answers[i].message());
  return states;
}

std::vector<OidcFactor::ProviderState> OidcFactor::States() const {
  std::vector<ProviderState> states;
  for (const auto& provider : providers_) {
    states.push_back({provider->config.token.issuer, provider->config.token.client_id,
                      provider->config.KeySource(), provider->keys.state()});
  }
  return states;
}

}  // namespace forekey
