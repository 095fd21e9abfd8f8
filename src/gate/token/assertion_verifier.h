// The seam for token kinds on the call path: how a signature of a kind of token over a statement is
// checked. A kind that signs the statement itself (TPM, PIV) uses the plain verifier; FIDO2 brings
// its own, because what it signs is a WebAuthn assertion around SHA-256(statement).
#ifndef FOREKEY_SRC_GATE_TOKEN_ASSERTION_VERIFIER_H_
#define FOREKEY_SRC_GATE_TOKEN_ASSERTION_VERIFIER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/crypto/public_key.h"
#include "src/store/registry.h"
#include "src/verify/verified_attestation.h"
#include "src/wire/prefix.h"

namespace forekey {

struct AssertionFacts {
  std::vector<std::string> factors;    // what this signature proved
  std::optional<uint32_t> sign_count;  // FIDO2: advanced in the registry when the call is consumed
  // False: a counter that did not grow is told to the audit log, and the call goes on.
  bool refuse_rollback = true;
};

// Pure; safe from any thread. At most one public-key operation, after every cheaper check.
class AssertionVerifier {
 public:
  virtual ~AssertionVerifier() = default;
  // OK when `assertion` is a signature by `key` (the enrolled one of `credential`) over
  // `statement`. Refuses with kSignatureInvalid, kPrefixMalformed (a field that this kind does not
  // have, or lacks) or the kind's own reasons.
  virtual absl::StatusOr<AssertionFacts> Verify(const AssertionView& assertion,
                                                absl::string_view statement,
                                                const CredentialRecord& credential,
                                                const PublicKey& key) const = 0;
};

// The signature is over the statement, as the credential's algorithm has it; authenticator_data and
// client_data_json must be absent. The factors are the credential's own.
std::unique_ptr<AssertionVerifier> NewPlainAssertionVerifier();

// By token kind. A kind without an entry is refused (kTokenKindNotAllowed).
using AssertionVerifiers = std::map<TokenKind, std::unique_ptr<AssertionVerifier>>;

}  // namespace forekey

#endif  // FOREKEY_SRC_GATE_TOKEN_ASSERTION_VERIFIER_H_
