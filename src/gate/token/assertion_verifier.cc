#include "src/gate/token/assertion_verifier.h"

#include "src/base/reason.h"
#include "src/base/status.h"

namespace forekey {
namespace {

class PlainAssertionVerifier final : public AssertionVerifier {
 public:
  absl::StatusOr<AssertionFacts> Verify(const AssertionView& assertion, absl::string_view statement,
                                        const CredentialRecord& credential,
                                        const PublicKey& key) const override {
    if (!assertion.authenticator_data.empty() || !assertion.client_data_json.empty()) {
      return Refuse(Reason::kPrefixMalformed, "WebAuthn fields beside a plain signature");
    }
    FOREKEY_RETURN_IF_ERROR(key.Verify(statement, assertion.signature));
    return AssertionFacts{credential.factors, std::nullopt};
  }
};

}  // namespace

std::unique_ptr<AssertionVerifier> NewPlainAssertionVerifier() {
  return std::make_unique<PlainAssertionVerifier>();
}

}  // namespace forekey
