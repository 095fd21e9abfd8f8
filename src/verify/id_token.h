// SPDX-License-Identifier: Apache-2.0
// Verifies an ID token as a further factor of one opening (OpenID Connect Core 1.0, section
// 3.1.3.7, stricter; docs/PROTOCOL.md, "Further factors").
//
// Threats, and what meets each (tests/unit/verify/id_token_test.cc,
// tests/unit/gate/factor/oidc_test.cc):
//   no signature, or HMAC under the         algorithms come from a list without either, and must be
//                                           the
//   provider's public key                   key's; keys come from the provider's set alone
//   a key that the token brings along       jwk, jku, x5u and x5c are never looked at
//   a token of another provider, or for     iss exactly; aud this gate's client alone
//   another service
//   an access token, or what a service      typ, and the nonce
//   passed on
//   a stolen token                          the nonce is of one opening by one hardware; besides,
//                                           one use (the caller's, by one_use_id()) and a short age
//   another person's token                  the caller compares identity()
//   parsers that read one token in two ways strict base64url and JSON before the library
#ifndef FOREKEY_SRC_VERIFY_ID_TOKEN_H_
#define FOREKEY_SRC_VERIFY_ID_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/verify/id_token_policy.h"
#include "src/verify/jwk_set.h"
#include "src/wire/id_token.h"

namespace forekey {

class VerifiedIdToken {
 public:
  const std::string& issuer() const { return issuer_; }
  const std::string& subject() const { return subject_; }    // sub
  const std::string& identity() const { return identity_; }  // what the policy's claim holds
  const std::string& key_id() const { return key_id_; }  // kid; empty where the token names none
  absl::Time issued_at() const { return issued_at_; }    // not after the `now` that was given
  absl::Time good_until() const { return good_until_; }  // from then on no `now` lets it pass
  // 32 bytes, of issuer and jti where there is one, else of what is signed: a signature can be
  // written in two ways.
  const std::string& one_use_id() const { return one_use_id_; }

 private:
  friend absl::StatusOr<VerifiedIdToken> VerifyIdToken(absl::string_view, const JwkSet&,
                                                       const IdTokenPolicy&, absl::string_view,
                                                       absl::Time);
  VerifiedIdToken() = default;
  std::string issuer_, subject_, identity_, key_id_, one_use_id_;
  absl::Time issued_at_, good_until_;
};

// `nonce`: IdTokenNonce() of this opening. `now`: wall time. Refuses with kIdTokenMalformed,
// kIdToken... Algorithm, Issuer, KeyUnknown, Signature, Audience, Expired, Nonce, Subject (the
// claim is not there). The issuer is looked at before the key, so that another provider's tokens
// ask for no keys; all else after the signature.
absl::StatusOr<VerifiedIdToken> VerifyIdToken(absl::string_view text, const JwkSet& keys,
                                              const IdTokenPolicy& policy, absl::string_view nonce,
                                              absl::Time now);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_ID_TOKEN_H_
