// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/token_verifier.h"

#include <utility>

#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {

absl::StatusOr<AssertionFacts> TokenVerifier::VerifyAssertion(const AssertionView& assertion,
                                                              absl::string_view statement,
                                                              const CredentialRecord& credential,
                                                              const PublicKey& key,
                                                              AssertionPolicy policy) const {
  FOREKEY_ASSIGN_OR_RETURN(SignedAssertion read,
                           ReadAssertion(assertion, statement, credential, policy));
  FOREKEY_RETURN_IF_ERROR(
      key.Verify(read.message ? absl::string_view(*read.message) : statement, assertion.signature));
  return std::move(read.facts);
}

absl::StatusOr<SignedAssertion> TokenVerifier::ReadAssertion(const AssertionView& assertion,
                                                             absl::string_view statement,
                                                             const CredentialRecord& credential,
                                                             AssertionPolicy) const {
  if (!assertion.authenticator_data.empty() || !assertion.client_data_json.empty()) {
    return Refuse(Reason::kPrefixMalformed, "WebAuthn fields beside a plain signature");
  }
  return SignedAssertion{std::nullopt, AssertionFacts{credential.factors, std::nullopt}};
}

}  // namespace forekey
