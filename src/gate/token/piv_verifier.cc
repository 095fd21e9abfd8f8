// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/piv_verifier.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/verify/piv_attestation.h"

namespace forekey {
namespace {

// gate.proto's own bound for chains: asked before any of them is parsed.
constexpr int kMaxPivIntermediates = 8;

class PivVerifier final : public TokenVerifier {
 public:
  explicit PivVerifier(PivVerifierOptions options) : options_(std::move(options)) {
    options_.policy.revocation = options_.revocation;
    options_.policy.max_intermediates = kMaxPivIntermediates;
  }

  TokenKind kind() const override { return v1::TOKEN_KIND_PIV; }
  bool TrustsSimulators() const override { return !options_.simulators.empty(); }

  // Everything that Attest() needs is in the configuration and the opening: there is no state.
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
    demand->mutable_piv()->set_attestations(TakesAttestations());
    demand->mutable_piv()->set_certificates(!options_.issuers.empty());
    return Secret();
  }

  absl::StatusOr<AttestedToken> Attest(const TokenEvidence& evidence, absl::string_view,
                                       const EnrollmentContext& context) const override {
    if (!evidence.opening->has_piv() || !evidence.proof->has_piv()) {
      return Refuse(Reason::kRequestMalformed, "the card's part is missing");
    }
    FOREKEY_ASSIGN_OR_RETURN(VerifiedAttestation attestation,
                             VerifyCard(evidence.proof->piv(), context));
    return AttestedToken{std::move(attestation), "", "", std::nullopt};
  }

  absl::Status Recheck(const TokenEvidence& evidence,
                       const EnrollmentContext& context) const override {
    return VerifyCard(evidence.proof->piv(), context).status();
  }

 private:
  bool TakesAttestations() const { return !options_.trust.empty() || !options_.simulators.empty(); }
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

  absl::StatusOr<VerifiedAttestation> VerifyCard(const v1::PivEvidence& evidence,
                                                 const EnrollmentContext& context) const {
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
    policy.time = context.now;
    policy.firmware = &options_.firmware;
    const bool simulators = context.anchors == TokenAnchors::kSimulators;
    if (!evidence.is_attestation()) {
      if (options_.issuers.empty() && !options_.emptied) {
        return Refuse(Reason::kAttestationFormatRefused, "no issuing CA is configured");
      }
      if (simulators) return Refuse(Reason::kCertificateUntrusted, "simulators attest their keys");
      policy.trust = &options_.issuers;
      return VerifyPivCertificate(certificate, intermediates, policy);
    }
    if (!TakesAttestations() && !options_.emptied) {
      return Refuse(Reason::kAttestationFormatRefused, "no vendor's root is configured");
    }
    policy.trust = simulators ? &options_.simulators : &options_.trust;
    policy.insecure_simulators = simulators;
    return VerifyPivAttestation(certificate, intermediates, policy);
  }

  PivVerifierOptions options_;
};

}  // namespace

std::unique_ptr<TokenVerifier> NewPivVerifier(PivVerifierOptions options) {
  return std::make_unique<PivVerifier>(std::move(options));
}

}  // namespace forekey
