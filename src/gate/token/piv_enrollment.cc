#include "src/gate/token/piv_enrollment.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/piv_attestation.h"
#include "src/wire/statement.h"

namespace forekey {
namespace {

// gate.proto's own bound for chains: asked before any of them is parsed.
constexpr int kMaxPivIntermediates = 8;

class PivEnrollment final : public EnrollmentKind {
 public:
  explicit PivEnrollment(PivEnrollmentOptions options) : options_(std::move(options)) {
    options_.policy.revocation = options_.revocation;
    options_.policy.max_intermediates = kMaxPivIntermediates;
  }

  TokenKind kind() const override { return TokenKind::kPiv; }

  // Everything that Verify() needs is in the configuration and the opening: there is no state.
  absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening, const EnrollmentContext&,
                                v1::EnrollmentDemand* demand) const override {
    if (!opening.has_piv()) return Refuse(Reason::kRequestMalformed, "the card's part is missing");
    if (const uint32_t hint = opening.piv().slot(); hint != 0) {
      if (hint > 0xff) return Refuse(Reason::kRequestMalformed, "slot");
      FOREKEY_RETURN_IF_ERROR(CheckPivSlot(static_cast<uint8_t>(hint)));
    }
    for (uint32_t slot = 0x82; slot <= 0x9e; ++slot) {
      const bool exists = slot <= 0x95 || slot == 0x9a || slot >= 0x9c;
      if (exists && CheckPivSlot(static_cast<uint8_t>(slot)).ok()) {
        demand->mutable_piv()->add_slots(slot);
      }
    }
    return Secret();
  }

  absl::StatusOr<VerifiedEnrollment> Verify(const v1::EnrollmentOpening& opening,
                                            const v1::EnrollmentProof& proof, absl::string_view,
                                            const EnrollmentContext& context) const override {
    if (!opening.has_piv() || !proof.has_piv()) {
      return Refuse(Reason::kRequestMalformed, "the card's part is missing");
    }
    FOREKEY_ASSIGN_OR_RETURN(VerifiedAttestation attestation, Attest(proof.piv(), context.now));
    if (attestation.key().spki() != proof.spki()) return Refuse(Reason::kCredentialMismatch);
    const v1::EnrollmentProof::Assertion& possession = proof.possession();
    if (!possession.authenticator_data().empty() || !possession.client_data_json().empty()) {
      return Refuse(Reason::kPossessionInvalid, "WebAuthn fields beside a card's signature");
    }
    const std::string statement = BuildStatement(EnrollStatement{
        context.audience, context.enrollment_id, context.subject, static_cast<int>(TokenKind::kPiv),
        proof.spki(), context.channel_binding, context.challenge});
    if (absl::Status signature = attestation.key().Verify(statement, possession.signature());
        !signature.ok()) {
      return Refuse(Reason::kPossessionInvalid, signature.message());
    }
    return VerifiedEnrollment{std::move(attestation), "", "", 0};
  }

  absl::Status Recheck(const v1::EnrollmentOpening&, const v1::EnrollmentProof& proof,
                       const EnrollmentContext& context) const override {
    return Attest(proof.piv(), context.now).status();
  }

 private:
  absl::Status CheckPivSlot(uint8_t slot) const {
    const PivPolicy& policy = options_.policy;
    if (!policy.slots.empty() && !policy.slots.contains(slot)) {
      return Refuse(Reason::kPivSlotMismatch, absl::StrFormat("slot %02x is not taken", slot));
    }
    // A certificate's own extKeyUsage may reserve it for Forekey, in whatever slot it lies.
    const bool may_be_dedicated =
        IsDedicatedPivSlot(slot) || (!options_.issuers.empty() && !policy.dedicated_usages.empty());
    if (policy.allow_shared || may_be_dedicated) return absl::OkStatus();
    return Refuse(Reason::kPivSharedKey, absl::StrFormat("slot %02x", slot));
  }

  absl::StatusOr<VerifiedAttestation> Attest(const v1::PivEvidence& evidence,
                                             absl::Time now) const {
    if (evidence.intermediates_size() > kMaxPivIntermediates) {
      return Refuse(Reason::kRequestMalformed, "more than 8 intermediates");
    }
    FOREKEY_ASSIGN_OR_RETURN(const Certificate certificate,
                             Certificate::ParseDer(evidence.certificate()));
    std::vector<Certificate> intermediates;
    for (const std::string& der : evidence.intermediates()) {
      // One that does not parse can't be in a path; the others may be.
      absl::StatusOr<Certificate> parsed = Certificate::ParseDer(der);
      if (parsed.ok()) intermediates.push_back(*std::move(parsed));
    }
    PivPolicy policy = options_.policy;
    policy.time = now;
    if (!evidence.is_attestation()) {
      if (options_.issuers.empty()) {
        return Refuse(Reason::kAttestationFormatRefused, "no issuing CA is configured");
      }
      policy.trust = &options_.issuers;
      return VerifyPivCertificate(certificate, intermediates, policy);
    }
    if (options_.trust.empty() && options_.simulators.empty()) {
      return Refuse(Reason::kAttestationFormatRefused, "no vendor's root is configured");
    }
    policy.trust = &options_.trust;
    absl::StatusOr<VerifiedAttestation> verified =
        VerifyPivAttestation(certificate, intermediates, policy);
    if (verified.ok() || options_.simulators.empty()) return verified;
    policy.trust = &options_.simulators;
    policy.insecure_simulators = true;
    absl::StatusOr<VerifiedAttestation> simulated =
        VerifyPivAttestation(certificate, intermediates, policy);
    // Of two refusals the one by the anchors that the evidence chains to tells more.
    const bool foreign = ReasonOf(simulated.status()) == Reason::kCertificateUntrusted;
    return simulated.ok() || !foreign ? std::move(simulated) : std::move(verified);
  }

  PivEnrollmentOptions options_;
};

}  // namespace

std::unique_ptr<EnrollmentKind> NewPivEnrollment(PivEnrollmentOptions options) {
  return std::make_unique<PivEnrollment>(std::move(options));
}

}  // namespace forekey
