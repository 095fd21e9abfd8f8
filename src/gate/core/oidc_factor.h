// The ID token of an identity provider as a further factor of a session ([factors.oidc]).
//
// What a token must be: src/verify/id_token.h. Where the keys come from:
// src/gate/core/jwks_cache.h. Here besides: whose it is, that it is used once (durably: also a
// restart forgets none), and how often one credential may try.
#ifndef FOREKEY_SRC_GATE_CORE_OIDC_FACTOR_H_
#define FOREKEY_SRC_GATE_CORE_OIDC_FACTOR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/base/clock.h"
#include "src/base/secret.h"
#include "src/gate/core/factor_tries.h"
#include "src/gate/core/jwks_cache.h"
#include "src/gate/core/oidc_config.h"
#include "src/store/registry.h"
#include "src/verify/id_token.h"

namespace forekey {

// Safe from any thread. Check() takes a public-key operation, and may wait for the provider's keys
// (at most a few seconds, see JwksCacheOptions): not for a thread that others' calls need.
class OidcFactor {
 public:
  // `registry` and `clock` are borrowed.
  OidcFactor(const OidcConfig& config, Registry& registry, const Clock& clock,
             JwksCache::Report report);

  // Before it there are no keys. FailedPrecondition where jwks_file can't be read; a provider that
  // can't be reached is no error here.
  absl::Status Start();

  // VerifyIdToken()'s reasons; kIdTokenSubject where it is not `subject`'s, kRateLimited,
  // kIdentityProviderUnavailable, kStoreUnavailable. `credential_ids`: who signed. The token is
  // good until Use() took it.
  absl::StatusOr<VerifiedIdToken> Check(absl::string_view subject,
                                        absl::Span<const std::string> credential_ids,
                                        absl::string_view nonce, const Secret& token);
  // Once, when all else is right: kIdTokenReplayed, kReplayStoreFull, kStoreUnavailable.
  absl::Status Use(const VerifiedIdToken& token);

  // For the audit log: whose token it was.
  std::string Describe(const VerifiedIdToken& token) const;

 private:
  absl::StatusOr<VerifiedIdToken> VerifyWithKeys(absl::string_view token, absl::string_view nonce);

  const OidcConfig config_;
  Registry& registry_;
  const Clock& clock_;
  FactorTries tries_;
  JwksCache keys_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_CORE_OIDC_FACTOR_H_
