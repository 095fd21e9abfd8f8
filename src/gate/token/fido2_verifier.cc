// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/fido2_verifier.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/verify/webauthn_assertion.h"
#include "src/verify/webauthn_registration.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/json_object.h"

namespace forekey {
namespace {

class Fido2Verifier final : public TokenVerifier {
 public:
  explicit Fido2Verifier(Fido2VerifierOptions options)
      : options_(std::move(options)),
        relying_party_(RelyingParty::Of(options_.rp_id, options_.origin)) {}

  TokenKind kind() const override { return v1::TOKEN_KIND_FIDO2; }
  bool TrustsSimulators() const override { return !options_.simulators.empty(); }

  // Everything that Attest() needs is in the configuration and the opening: there is no state.
  absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                const EnrollmentContext& context,
                                v1::EnrollmentDemand* demand) const override {
    if (!opening.has_fido2()) return Refuse(Reason::kRequestMalformed, "FIDO2's part is missing");
    FOREKEY_RETURN_IF_ERROR(CheckUsable());
    FOREKEY_RETURN_IF_ERROR(CheckHint(opening.fido2().aaguid()));
    v1::Fido2Demand* fido2 = demand->mutable_fido2();
    fido2->set_rp_id(options_.rp_id);
    fido2->set_origin(options_.origin);
    for (const AlgorithmFacts& facts : AllAlgorithms()) {
      fido2->add_algorithms(static_cast<int>(facts.algorithm));
    }
    fido2->set_user_verification(options_.policy.require_user_verification);
    // Tells nothing of the person, and never overwrites another discoverable credential in the
    // token.
    fido2->set_user_handle(std::string(context.enrollment_id));
    return Secret();
  }

  absl::StatusOr<AttestedToken> Attest(const TokenEvidence& evidence, absl::string_view,
                                       const EnrollmentContext& context) const override {
    if (!evidence.opening->has_fido2() || !evidence.proof->has_fido2()) {
      return Refuse(Reason::kRequestMalformed, "FIDO2's part is missing");
    }
    FOREKEY_ASSIGN_OR_RETURN(VerifiedAttestation attestation, Register(evidence, context));
    const auto counted = attestation.proved().find("sign_count");
    const uint32_t sign_count =
        counted != attestation.proved().end() && counted->is_number_unsigned()
            ? counted->get<uint32_t>()
            : 0;
    return AttestedToken{std::move(attestation), options_.rp_id, options_.origin, sign_count};
  }

  absl::Status Recheck(const TokenEvidence& evidence,
                       const EnrollmentContext& context) const override {
    return Register(evidence, context).status();
  }

 protected:
  absl::StatusOr<SignedAssertion> ReadAssertion(const AssertionView& assertion,
                                                absl::string_view statement,
                                                const CredentialRecord& credential,
                                                AssertionPolicy policy) const override {
    if (assertion.authenticator_data.empty() || assertion.client_data_json.empty()) {
      return Refuse(Reason::kPrefixMalformed,
                    "a FIDO2 key's signature without its WebAuthn fields");
    }
    // Pinned at enrolment: without them nothing says whom the key answers.
    if (credential.rp_id.empty() || credential.origin.empty()) {
      return absl::InternalError("a FIDO2 credential without rpId or origin");
    }
    const bool by_gate = policy == AssertionPolicy::kOfTheGate;
    const bool allow_backup_eligible = !by_gate || options_.policy.allow_backup_eligible;
    const RelyingParty relying_party = RelyingParty::Of(credential.rp_id, credential.origin);
    const std::string challenge = Sha256(statement);
    AssertionOptions options;
    options.authenticator_data = assertion.authenticator_data;
    options.client_data_json = assertion.client_data_json;
    options.challenge = challenge;
    options.relying_party = &relying_party;
    options.require_user_verification = by_gate && options_.policy.require_user_verification;
    // Where BE is refused whoever says it, what it was at enrolment needs no reading.
    if (allow_backup_eligible) {
      options.enrolled_backup_eligible = EnrolledBackupEligible(credential.proved_json);
    }
    FOREKEY_ASSIGN_OR_RETURN(CheckedAssertion checked, CheckAssertion(options));
    if (checked.backup_eligible && !allow_backup_eligible) return Refuse(Reason::kBackupEligible);
    SignedAssertion read;
    read.message = std::move(checked.message);
    read.facts = {credential.factors, checked.sign_count, by_gate && options_.refuse_clones};
    if (checked.uv && TokenVerifiesUser(credential.proved_json)) {
      read.facts.factors.push_back("fido2+uv");
    } else if (options.require_user_verification) {
      return Refuse(Reason::kUserNotVerified,
                    "the operating system alone says that the user was verified "
                    "(platform_user_verification)");
    }
    return read;
  }

 private:
  // LAW 9. A record that does not tell how the key was attested proves no user either.
  bool TokenVerifiesUser(absl::string_view proved_json) const {
    if (options_.policy.platform_user_verification) return true;
    const std::optional<std::string> format = EnrolledFormat(proved_json);
    return format && !IsComposedByPlatform(*format);
  }

  absl::Status CheckUsable() const {
    return options_.refuse_all.empty() ? absl::OkStatus()
                                       : Refuse(Reason::kMetadataInvalid, options_.refuse_all);
  }

  // The attestation decides; a hint only saves the user a touch in vain.
  absl::Status CheckHint(absl::string_view aaguid) const {
    if (aaguid.empty()) return absl::OkStatus();
    if (aaguid.size() != kAaguidSize) return Refuse(Reason::kRequestMalformed, "aaguid");
    const std::string model(aaguid);
    const WebAuthnPolicy& policy = options_.policy;
    if (policy.aaguid_deny.contains(model) ||
        (!policy.aaguid_allow.empty() && !policy.aaguid_allow.contains(model))) {
      return Refuse(Reason::kAaguidRefused,
                    absl::StrCat("the token says it is ", AaguidText(model)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<VerifiedAttestation> Register(const TokenEvidence& evidence,
                                               const EnrollmentContext& context) const {
    FOREKEY_RETURN_IF_ERROR(CheckUsable());
    const v1::Fido2Evidence& fido2 = evidence.proof->fido2();
    const bool simulators = context.anchors == TokenAnchors::kSimulators;
    const std::string challenge = Sha256(evidence.unkeyed_statement);
    RegistrationOptions registration;
    registration.attestation_object = fido2.attestation_object();
    registration.client_data_json = fido2.client_data_json();
    registration.challenge = challenge;
    registration.relying_party = &relying_party_;
    registration.policy = options_.policy;
    registration.anchors = simulators ? &options_.simulators : &options_.trust;
    registration.metadata = options_.metadata && !simulators ? &*options_.metadata : nullptr;
    registration.firmware = &options_.firmware;
    registration.insecure_simulators = simulators;
    registration.time = context.now;
    return VerifyRegistration(registration);
  }

  const Fido2VerifierOptions options_;
  const RelyingParty relying_party_;
};

}  // namespace

std::optional<bool> EnrolledBackupEligible(absl::string_view proved_json) {
  const auto proved = ParseBoundedJson(proved_json);
  if (!proved.is_object()) return std::nullopt;
  const auto flags = proved.find("flags");
  if (flags == proved.end() || !flags->is_object()) return std::nullopt;
  const auto be = flags->find("be");
  if (be == flags->end() || !be->is_boolean()) return std::nullopt;
  return be->get<bool>();
}

std::optional<std::string> EnrolledFormat(absl::string_view proved_json) {
  const auto proved = ParseBoundedJson(proved_json);
  if (!proved.is_object()) return std::nullopt;
  const auto format = proved.find("format");
  if (format == proved.end() || !format->is_string()) return std::nullopt;
  return format->get<std::string>();
}

std::string Fido2Origin(absl::string_view audience) { return absl::StrCat("forekey://", audience); }

std::unique_ptr<TokenVerifier> NewFido2Verifier(Fido2VerifierOptions options) {
  return std::make_unique<Fido2Verifier>(std::move(options));
}

}  // namespace forekey
