// SPDX-License-Identifier: Apache-2.0
#include "src/verify/id_token.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/secret.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"

namespace forekey {
namespace {

constexpr size_t kMaxIdentity = 255;

absl::Status CheckIdTokenAudience(const ParsedIdToken& token, const IdTokenPolicy& policy) {
  if (token.audience.size() != 1) {
    return Refuse(Reason::kIdTokenAudience,
                  absl::StrCat("it has ", token.audience.size(), " audiences"));
  }
  if (token.audience.front() != policy.client_id) {
    return Refuse(Reason::kIdTokenAudience,
                  absl::StrCat("it is for ", token.audience.front().substr(0, 255)));
  }
  if (token.authorized_party && *token.authorized_party != policy.client_id) {
    return Refuse(Reason::kIdTokenAudience,
                  absl::StrCat("it was given to ", *token.authorized_party));
  }
  return absl::OkStatus();
}

absl::Status CheckIdTokenTimes(const ParsedIdToken& token, const IdTokenPolicy& policy,
                               absl::Time now) {
  const auto ago = [now](absl::Time time) {
    return absl::StrCat(absl::ToInt64Seconds(now - time), " s ago");
  };
  if (now >= token.expires_at + policy.leeway) {
    return Refuse(Reason::kIdTokenExpired, absl::StrCat("it expired ", ago(token.expires_at)));
  }
  if (token.issued_at > now + policy.leeway ||
      (token.not_before && *token.not_before > now + policy.leeway)) {
    return Refuse(Reason::kIdTokenExpired, "it is of the future: compare the clocks");
  }
  if (now - token.issued_at >= policy.max_age) {
    return Refuse(Reason::kIdTokenExpired, absl::StrCat("it was issued ", ago(token.issued_at)));
  }
  if (!policy.max_authentication_age) return absl::OkStatus();
  if (!token.authenticated_at)
    return Refuse(Reason::kIdTokenExpired, "it does not say when its owner logged in");
  if (*token.authenticated_at > now + policy.leeway) {
    return Refuse(Reason::kIdTokenExpired, "its auth_time is of the future: compare the clocks");
  }
  if (now - *token.authenticated_at >= *policy.max_authentication_age) {
    return Refuse(Reason::kIdTokenExpired,
                  absl::StrCat("its owner logged in ", ago(*token.authenticated_at)));
  }
  return absl::OkStatus();
}

absl::Status CheckIdTokenNonce(const ParsedIdToken& token, const IdTokenPolicy& policy,
                               absl::string_view nonce) {
  if (!token.nonce) {
    return policy.nonce_required ? Refuse(Reason::kIdTokenNonce, "it has none") : absl::OkStatus();
  }
  return ConstantTimeEqual(*token.nonce, nonce) ? absl::OkStatus() : Refuse(Reason::kIdTokenNonce);
}

}  // namespace

absl::StatusOr<VerifiedIdToken> VerifyIdToken(absl::string_view text, const JwkSet& keys,
                                              const IdTokenPolicy& policy, absl::string_view nonce,
                                              absl::Time now) {
  FOREKEY_ASSIGN_OR_RETURN(ParsedIdToken token, ParsedIdToken::Parse(text));
  if (!policy.algorithms.contains(token.algorithm) || !IsIdTokenAlgorithm(token.algorithm)) {
    return Refuse(Reason::kIdTokenAlgorithm, token.algorithm);
  }
  if (token.issuer != policy.issuer) {
    return Refuse(Reason::kIdTokenIssuer, absl::StrCat("it says ", token.issuer));
  }
  FOREKEY_RETURN_IF_ERROR(keys.Verify(text, token.algorithm, token.key_id, token.signature));
  FOREKEY_RETURN_IF_ERROR(CheckIdTokenAudience(token, policy));
  FOREKEY_RETURN_IF_ERROR(CheckIdTokenTimes(token, policy, now));
  FOREKEY_RETURN_IF_ERROR(CheckIdTokenNonce(token, policy, nonce));
  std::optional<std::string> identity = token.StringClaim(policy.claim);
  if (!identity || identity->empty() || identity->size() > kMaxIdentity) {
    return Refuse(Reason::kIdTokenSubject,
                  absl::StrCat("it has no claim ", policy.claim, " of 1 to 255 bytes"));
  }
  // OpenID Connect Core, section 5.1: without that anybody may call themselves anything.
  const auto verified_email = token.claims.find("email_verified");
  if (policy.claim == "email" &&
      (verified_email == token.claims.end() || *verified_email != true)) {
    return Refuse(Reason::kIdTokenSubject, "its provider has not verified the email address");
  }
  VerifiedIdToken verified;
  verified.identity_ = *std::move(identity);
  // RFC 7519, section 4.1.7: a jti is its issuer's.
  verified.one_use_id_ = token.id ? Sha256(absl::StrCat("jti ", token.issuer, " ", *token.id))
                                  : Sha256(token.signing_input);
  verified.issuer_ = std::move(token.issuer);
  verified.key_id_ = token.key_id.value_or("");
  verified.subject_ = std::move(token.subject);
  verified.issued_at_ = std::min(token.issued_at, now);
  verified.good_until_ =
      std::min(token.expires_at + policy.leeway, token.issued_at + policy.max_age);
  return verified;
}

}  // namespace forekey
