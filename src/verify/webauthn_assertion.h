// SPDX-License-Identifier: Apache-2.0
// Assertions: WebAuthn Level 3 section 7.2. Pure functions of bytes; one public-key operation, and
// that comes last.
//
// Threats, and what stands against each:
//  A1 one made for another relying party or origin   rpIdHash, origin
//  A2 an old one, or one for another statement       challenge
//  A3 a registration passed off as an assertion      type; AT flag
//  A4 a key used without its user                    UP, always; UV where asked for
//  A5 a client that reads the JSON otherwise         one strict reading (client_data.h)
//  A6 a copy of the key                              CheckSignatureCounter, BE as enrolled
//  A7 bytes smuggled into what is signed             nothing left over in authenticatorData
#ifndef FOREKEY_SRC_VERIFY_WEBAUTHN_ASSERTION_H_
#define FOREKEY_SRC_VERIFY_WEBAUTHN_ASSERTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/public_key.h"
#include "src/verify/webauthn_ceremony.h"
#include "src/wire/prefix.h"

namespace forekey {

struct AssertionOptions {
  const PublicKey* key = nullptr;  // of the credential, as enrolled
  absl::string_view authenticator_data;
  absl::string_view client_data_json;
  absl::string_view signature;
  absl::string_view challenge;  // raw bytes
  const RelyingParty* relying_party = nullptr;
  bool require_user_verification = false;
  bool allow_cross_origin = false;
  // BE as it was at enrolment: it never changes (section 6.1.3). nullopt: not known.
  std::optional<bool> enrolled_backup_eligible;
};

// What an assertion says, while nothing vouches for it yet: `message` is what the key must have
// signed.
struct CheckedAssertion {
  std::string message;
  bool uv = false;
  bool backup_eligible = false;
  bool backed_up = false;
  uint32_t sign_count = 0;
  std::vector<std::string> extensions;
};

// Only VerifyAssertion makes one.
class VerifiedAssertion {
 public:
  bool up() const { return true; }  // it would have been refused
  bool uv() const { return uv_; }
  bool backup_eligible() const { return backup_eligible_; }
  bool backed_up() const { return backed_up_; }
  uint32_t sign_count() const { return sign_count_; }
  const std::vector<std::string>& extensions() const { return extensions_; }

 private:
  friend absl::StatusOr<VerifiedAssertion> VerifyAssertion(const AssertionOptions&);
  VerifiedAssertion() = default;
  bool uv_ = false;
  bool backup_eligible_ = false;
  bool backed_up_ = false;
  uint32_t sign_count_ = 0;
  std::vector<std::string> extensions_;
};

// All of an assertion's checks but for the signature. Refuses: kEvidenceMalformed, kClientDataType,
// kClientDataChallenge, kClientDataOrigin, kRpIdMismatch, kUserNotPresent, kUserNotVerified,
// kFlagsInvalid.
absl::StatusOr<CheckedAssertion> CheckAssertion(const AssertionOptions& options);

// CheckAssertion(), then the signature: refuses with kSignatureInvalid besides.
// The caller still checks the counter (CheckSignatureCounter), atomically with storing it.
absl::StatusOr<VerifiedAssertion> VerifyAssertion(const AssertionOptions& options);

// Section 6.1.1: the counter must grow; authenticators without one always send zero. Refuses with
// kCounterRollback.
absl::Status CheckSignatureCounter(uint32_t stored, uint32_t current);

}  // namespace forekey

#endif  // FOREKEY_SRC_VERIFY_WEBAUTHN_ASSERTION_H_
