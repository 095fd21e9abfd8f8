// SPDX-License-Identifier: Apache-2.0
// An OpenID Connect ID token (OpenID Connect Core 1.0, section 2) in the JWS compact serialization
// (RFC 7515, section 3.1), and the nonce by which Forekey binds one to an opening
// (docs/PROTOCOL.md, "Further factors").
//
// Here it is only taken apart: nothing of it is verified (src/verify/id_token.h does that). The
// agent looks at it so as not to give a gate a token that is meant for somebody else.
#ifndef FOREKEY_SRC_WIRE_ID_TOKEN_H_
#define FOREKEY_SRC_WIRE_ID_TOKEN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace forekey {

// base64url(SHA-256("forekey/1 id-token" 00 || len2 audience || key_share (32) || n (1) || n *
// credential id)), 43 characters. The key share is the client's for this opening, and under the
// hardware's signature: a token with this nonce is of use to nobody who does not hold that share's
// private key.
std::string IdTokenNonce(absl::string_view audience, absl::string_view key_share,
                         absl::Span<const absl::string_view> credential_ids);

struct ParsedIdToken {
  // The header's.
  std::string algorithm;
  std::optional<std::string> key_id;
  // The claims.
  std::string issuer;
  std::string subject;
  std::vector<std::string> audience;  // at least one
  std::optional<std::string> authorized_party;
  std::optional<std::string> nonce;
  std::optional<std::string> id;  // jti
  absl::Time expires_at;
  absl::Time issued_at;
  std::optional<absl::Time> not_before;
  std::optional<absl::Time> authenticated_at;
  nlohmann::json claims;  // all of them

  absl::string_view signing_input;  // a view into the text that was parsed
  std::string signature;            // decoded

  // Refuses with kIdTokenMalformed: longer than kMaxIdTokenSize; other than three base64url parts
  // (so also JWEs, and the JSON serialization with its several signatures); header or claims that
  // are no JSON object or have a member twice; "crit", which nothing here understands; a "typ"
  // other than JWT (an access token is none); a claim that is needed and missing, or of another
  // type. Keys and addresses of keys in the header (jwk, jku, x5u, x5c) are never looked at.
  static absl::StatusOr<ParsedIdToken> Parse(absl::string_view text);

  // nullopt: it is not there, or no string.
  std::optional<std::string> StringClaim(const std::string& name) const;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_WIRE_ID_TOKEN_H_
