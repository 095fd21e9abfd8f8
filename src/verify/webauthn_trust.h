// SPDX-License-Identifier: Apache-2.0
// Whether an attestation statement that verified leads to somebody trusted: WebAuthn Level 3
// section 7.1 steps 22 to 24. For webauthn_registration.cc.
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_TRUST_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_TRUST_H_

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "src/verify/webauthn_registration.h"
#include "src/verify/webauthn_statement.h"

namespace forekey {

// Checks the type against the policy, the path, the model (AAGUID lists, status, level), and writes
// what that proved into `proved`. Refuses: kAttestationFormatRefused, the reasons of VerifyPath,
// kAaguidRefused, kAuthenticatorStatus.
absl::Status CheckTrust(const RegistrationOptions& options, const AuthenticatorData& data,
                        const StatementResult& statement, nlohmann::json& proved);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_TRUST_H_
