// SPDX-License-Identifier: Apache-2.0
// What an ID token must be to be taken (src/verify/id_token.h).
#ifndef FOREKEY_SRC_VERIFY_ID_TOKEN_POLICY_H_
#define FOREKEY_SRC_VERIFY_ID_TOKEN_POLICY_H_

#include <optional>
#include <set>
#include <string>

#include "absl/time/time.h"

namespace forekey {

struct IdTokenPolicy {
  std::string issuer;     // iss, exactly
  std::string client_id;  // aud, exactly and alone
  std::set<std::string> algorithms = {"RS256", "PS256", "ES256", "ES384",
                                      "EdDSA"};  // IsIdTokenAlgorithm()
  bool nonce_required = true;  // false: a token without one is taken, too; another nonce never is
  absl::Duration max_age = absl::Minutes(5);  // since iat
  absl::Duration leeway = absl::Seconds(30);  // between the clocks
  // Since auth_time, which must then be there.
  std::optional<absl::Duration> max_authentication_age;
  std::string claim = "sub";  // that says who it is
};

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_ID_TOKEN_POLICY_H_
