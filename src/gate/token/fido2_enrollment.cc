#include "src/gate/token/fido2_enrollment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/gate/token/fido2_assertions.h"
#include "src/verify/webauthn_assertion.h"
#include "src/verify/webauthn_registration.h"
#include "src/wire/authenticator_data.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

// Most wanted first: what nearly every token has and verifies fastest.
constexpr Algorithm kWanted[] = {Algorithm::kEs256, Algorithm::kEdDsa, Algorithm::kEs384,
                                 Algorithm::kRs256};

class Fido2Enrollment final : public EnrollmentKind {
 public:
  explicit Fido2Enrollment(Fido2EnrollmentOptions options)
      : options_(std::move(options)),
        relying_party_(RelyingParty::Of(options_.rp_id, options_.origin)) {}

  TokenKind kind() const override { return TokenKind::kFido2; }

  // Everything that Verify() needs is in the configuration and the opening: there is no state.
  absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                const EnrollmentContext& context,
                                v1::EnrollmentDemand* demand) const override {
    if (!opening.has_fido2()) return Refuse(Reason::kRequestMalformed, "FIDO2's part is missing");
    FOREKEY_RETURN_IF_ERROR(CheckHint(opening.fido2().aaguid()));
    v1::Fido2Demand* fido2 = demand->mutable_fido2();
    fido2->set_rp_id(options_.rp_id);
    fido2->set_origin(options_.origin);
    for (Algorithm algorithm : kWanted) fido2->add_algorithms(static_cast<int>(algorithm));
    fido2->set_user_verification(options_.policy.require_user_verification);
    // Tells nothing of the person, and never overwrites another discoverable credential in the
    // token.
    fido2->set_user_handle(std::string(context.enrollment_id));
    return Secret();
  }

  absl::StatusOr<VerifiedEnrollment> Verify(const v1::EnrollmentOpening& opening,
                                            const v1::EnrollmentProof& proof, absl::string_view,
                                            const EnrollmentContext& context) const override {
    if (!opening.has_fido2() || !proof.has_fido2()) {
      return Refuse(Reason::kRequestMalformed, "FIDO2's part is missing");
    }
    FOREKEY_ASSIGN_OR_RETURN(VerifiedAttestation attestation, Register(proof.fido2(), context));
    if (attestation.key().spki() != proof.spki()) return Refuse(Reason::kCredentialMismatch);
    FOREKEY_ASSIGN_OR_RETURN(
        const uint32_t sign_count,
        CheckPossession(attestation, proof.possession(), StatementOf(context, proof.spki())));
    return VerifiedEnrollment{std::move(attestation), options_.rp_id, options_.origin, sign_count};
  }

  absl::Status Recheck(const v1::EnrollmentOpening&, const v1::EnrollmentProof& proof,
                       const EnrollmentContext& context) const override {
    return Register(proof.fido2(), context).status();
  }

 private:
  static std::string StatementOf(const EnrollmentContext& context, absl::string_view spki) {
    return BuildStatement(EnrollStatement{context.audience, context.enrollment_id, context.subject,
                                          static_cast<int>(TokenKind::kFido2), spki,
                                          context.channel_binding, context.challenge});
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

  absl::StatusOr<VerifiedAttestation> Register(const v1::Fido2Evidence& evidence,
                                               const EnrollmentContext& context) const {
    const std::string challenge = Sha256(StatementOf(context, ""));
    RegistrationOptions registration;
    registration.attestation_object = evidence.attestation_object();
    registration.client_data_json = evidence.client_data_json();
    registration.challenge = challenge;
    registration.relying_party = &relying_party_;
    registration.policy = options_.policy;
    registration.anchors = &options_.trust;
    registration.metadata = options_.metadata ? &*options_.metadata : nullptr;
    registration.time = context.now;
    absl::StatusOr<VerifiedAttestation> verified = VerifyRegistration(registration);
    if (verified.ok() || options_.simulators.empty()) return verified;
    registration.anchors = &options_.simulators;
    registration.metadata = nullptr;
    registration.insecure_simulators = true;
    absl::StatusOr<VerifiedAttestation> simulated = VerifyRegistration(registration);
    return simulated.ok() ? std::move(simulated) : std::move(verified);
  }

  // The counter to begin with.
  absl::StatusOr<uint32_t> CheckPossession(const VerifiedAttestation& attestation,
                                           const v1::EnrollmentProof::Assertion& possession,
                                           const std::string& statement) const {
    const std::string challenge = Sha256(statement);
    AssertionOptions assertion;
    assertion.key = &attestation.key();
    assertion.authenticator_data = possession.authenticator_data();
    assertion.client_data_json = possession.client_data_json();
    assertion.signature = possession.signature();
    assertion.challenge = challenge;
    assertion.relying_party = &relying_party_;
    assertion.require_user_verification = options_.policy.require_user_verification;
    assertion.enrolled_backup_eligible = EnrolledBackupEligible(attestation.proved().dump());
    absl::StatusOr<VerifiedAssertion> verified = VerifyAssertion(assertion);
    if (!verified.ok()) {
      const auto reason = ReasonOf(verified.status());
      return Refuse(Reason::kPossessionInvalid, absl::StrCat(reason ? ReasonName(*reason) : "",
                                                             ": ", verified.status().message()));
    }
    const auto counted = attestation.proved().find("sign_count");
    const uint32_t registered =
        counted != attestation.proved().end() && counted->is_number_unsigned()
            ? counted->get<uint32_t>()
            : 0;
    const absl::Status grown = CheckSignatureCounter(registered, verified->sign_count());
    if (!grown.ok() && options_.refuse_clones) return grown;
    return verified->sign_count();
  }

  const Fido2EnrollmentOptions options_;
  const RelyingParty relying_party_;
};

}  // namespace

std::string Fido2Origin(absl::string_view audience) { return absl::StrCat("forekey://", audience); }

std::unique_ptr<EnrollmentKind> NewFido2Enrollment(Fido2EnrollmentOptions options) {
  return std::make_unique<Fido2Enrollment>(std::move(options));
}

}  // namespace forekey
