// SPDX-License-Identifier: Apache-2.0
// The ID token of an identity provider as a further factor of a session ([factors.oidc]).
//
// What a token must be: src/verify/id_token.h. Where the keys come from:
// src/gate/factor/jwks_cache.h. Here besides: whose it is, that it is used once (durably: also a
// restart forgets none), how often one credential may try, and, of several providers, that nothing
// of one counts for another:
//   a token of A judged as B's                  its iss picks the provider, and with it the client,
//                                               the keys and all else that it is judged by
//   A's key signs what B is said to have issued each provider has a set of keys of its own, also
//   where
//                                               both name a key alike
//   A gives somebody the sub that ada has at B  who a subject is, is kept by issuer
//   A makes up a jti that B will use            tokens that were used are remembered by issuer
//   A hangs                                     a few openings wait for its keys, of each subject
//                                               fewer; the others are refused at once, and B's have
//                                               their own places
#ifndef FOREKEY_SRC_GATE_FACTOR_OIDC_FACTOR_H_
#define FOREKEY_SRC_GATE_FACTOR_OIDC_FACTOR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/base/deadline.h"
#include "src/base/secret.h"
#include "src/gate/factor/factor.h"
#include "src/gate/factor/factor_lane.h"
#include "src/gate/factor/factor_tries.h"
#include "src/gate/factor/jwks_cache.h"
#include "src/gate/factor/oidc_config.h"
#include "src/store/registry.h"
#include "src/verify/id_token.h"

namespace forekey {

// Safe from any thread. Check() takes a public-key operation, and may wait for the provider's keys
// (at most a few seconds, see JwksCacheOptions): not for a thread that others' calls need.
class OidcFactor final : public Factor {
 public:
  // `registry` and `clock` are borrowed. `report`: JwksCache's, with the issuer before it.
  OidcFactor(const OidcConfig& config, Registry& registry, const Clock& clock,
             const JwksCache::Report& report);

  // Before it there are no keys. FailedPrecondition where a jwks_file can't be read; a provider
  // that can't be reached is no error here.
  absl::Status Start() override;

  // VerifyIdToken()'s reasons; kIdTokenIssuer where no provider has that issuer, kIdTokenSubject
  // where it is not `subject`'s, kRateLimited, kFactorBusy, kIdentityProviderUnavailable,
  // kStoreUnavailable. The token is used up by the commit: kIdTokenReplayed, kReplayStoreFull,
  // kStoreUnavailable. The factor is as old as the provider says that the token is.
  absl::StatusOr<CheckedFactor> Check(const FactorAttempt& attempt, const Secret& token) override;
  absl::string_view name() const override;
  // By waiting for keys.
  size_t MostThreads() const override;

  // Has every provider's keys fetched again; does not wait.
  void RefreshSoon() override;
  // The same, and waits: what is not answered by then counts as an error.
  struct ProviderState {
    std::string issuer;
    std::string client_id;
    std::string source;
    JwksCache::State keys;
  };
  std::vector<ProviderState> RefreshBy(const Deadline& deadline);
  std::vector<ProviderState> States() const;

 private:
  struct Provider {
    Provider(const OidcProviderConfig& config, const Clock& clock, JwksCache::Report report);
    absl::StatusOr<std::shared_ptr<const JwkSet>> Keys(absl::string_view subject);
    absl::StatusOr<VerifiedIdToken> Verify(absl::string_view subject, absl::string_view token,
                                           absl::string_view nonce, absl::Time now);
    const OidcProviderConfig config;
    JwksCache keys;
    FactorLane lane;  // of those who wait for keys
  };
  Provider* Of(absl::string_view issuer) const;  // null: none
  absl::StatusOr<VerifiedIdToken> Verify(const FactorAttempt& attempt, const Secret& token);
  absl::Status Use(const VerifiedIdToken& token);
  // For the audit log: whose token it was, and by which key.
  std::string Describe(const VerifiedIdToken& token) const;

  const OidcConfig config_;
  Registry& registry_;
  const Clock& clock_;
  FactorTries tries_;
  std::vector<std::unique_ptr<Provider>> providers_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_FACTOR_OIDC_FACTOR_H_
