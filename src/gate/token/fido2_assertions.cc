#include "src/gate/token/fido2_assertions.h"

#include <string>

#include "nlohmann/json.hpp"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/verify/webauthn_assertion.h"

namespace forekey {
namespace {

class Fido2AssertionVerifier final : public AssertionVerifier {
 public:
  explicit Fido2AssertionVerifier(const Fido2AssertionPolicy& policy) : policy_(policy) {}

  absl::StatusOr<AssertionFacts> Verify(const AssertionView& assertion, absl::string_view statement,
                                        const CredentialRecord& credential,
                                        const PublicKey& key) const override {
    if (assertion.authenticator_data.empty() || assertion.client_data_json.empty()) {
      return Refuse(Reason::kPrefixMalformed,
                    "a FIDO2 key's signature without its WebAuthn fields");
    }
    // Pinned at enrolment: without them nothing says whom the key answers.
    if (credential.rp_id.empty() || credential.origin.empty()) {
      return absl::InternalError("a FIDO2 credential without rpId or origin");
    }
    const RelyingParty relying_party = RelyingParty::Of(credential.rp_id, credential.origin);
    const std::string challenge = Sha256(statement);
    AssertionOptions options;
    options.key = &key;
    options.authenticator_data = assertion.authenticator_data;
    options.client_data_json = assertion.client_data_json;
    options.signature = assertion.signature;
    options.challenge = challenge;
    options.relying_party = &relying_party;
    options.require_user_verification = policy_.require_user_verification;
    // Where BE is refused whoever says it, what it was at enrolment needs no reading.
    if (policy_.allow_backup_eligible) {
      options.enrolled_backup_eligible = EnrolledBackupEligible(credential.proved_json);
    }
    FOREKEY_ASSIGN_OR_RETURN(const VerifiedAssertion verified, VerifyAssertion(options));
    if (verified.backup_eligible() && !policy_.allow_backup_eligible) {
      return Refuse(Reason::kBackupEligible);
    }
    AssertionFacts facts{credential.factors, verified.sign_count(), policy_.refuse_clones};
    if (verified.uv()) facts.factors.push_back("fido2+uv");
    return facts;
  }

 private:
  const Fido2AssertionPolicy policy_;
};

}  // namespace

std::unique_ptr<AssertionVerifier> NewFido2AssertionVerifier(const Fido2AssertionPolicy& policy) {
  return std::make_unique<Fido2AssertionVerifier>(policy);
}

std::optional<bool> EnrolledBackupEligible(absl::string_view proved_json) {
  const auto proved = nlohmann::json::parse(proved_json.begin(), proved_json.end(), nullptr,
                                            /*allow_exceptions=*/false);
  if (!proved.is_object()) return std::nullopt;
  const auto flags = proved.find("flags");
  if (flags == proved.end() || !flags->is_object()) return std::nullopt;
  const auto be = flags->find("be");
  if (be == flags->end() || !be->is_boolean()) return std::nullopt;
  return be->get<bool>();
}

}  // namespace forekey
