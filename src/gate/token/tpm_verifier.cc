// SPDX-License-Identifier: Apache-2.0
#include "src/gate/token/tpm_verifier.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/base/bytes.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/random.h"
#include "src/gate/token/firmware_source.h"
#include "src/gate/token/trust_folder.h"
#include "src/verify/roca_modulus.h"
#include "src/verify/tpm_attestation.h"
#include "src/verify/tpm_endorsement.h"
#include "src/verify/tpm_make_credential.h"

namespace forekey {
namespace {

// gate.proto's own bound: asked before any of them is parsed.
constexpr int kMaxIntermediates = 8;

class TpmVerifier final : public TokenVerifier {
 public:
  explicit TpmVerifier(TpmVerifierOptions options) : options_(std::move(options)) {}

  TokenKind kind() const override { return v1::TOKEN_KIND_TPM; }
  bool TrustsSimulators() const override { return !options_.simulators.empty(); }

  // The state: secret (32) || len1 device id || what was proved of the TPM, as JSON.
  absl::StatusOr<Secret> Demand(const v1::EnrollmentOpening& opening,
                                const EnrollmentContext& context,
                                v1::EnrollmentDemand* demand) const override {
    if (!opening.has_tpm()) return Refuse(Reason::kRequestMalformed, "the TPM's part is missing");
    const v1::TpmOpening& tpm = opening.tpm();
    // The AK first: its check is cheap, the certificate path is not.
    FOREKEY_ASSIGN_OR_RETURN(const AttestationKey ak, VerifyAkPublic(tpm.ak_public()));
    FOREKEY_ASSIGN_OR_RETURN(const VerifiedEndorsement endorsement, Endorse(tpm, context));
    if (!endorsement.ek_public()) return Refuse(Reason::kEvidenceMalformed, "no EK public area");

    const Secret secret(RandomBytes(kActivationSecretSize));
    FOREKEY_ASSIGN_OR_RETURN(TpmCredential credential,
                             MakeCredential(*endorsement.ek_public(), ak.name(), secret));
    demand->mutable_tpm()->set_credential_blob(std::move(credential.credential_blob));
    demand->mutable_tpm()->set_encrypted_secret(std::move(credential.encrypted_secret));

    nlohmann::json proved = endorsement.proved();
    if (context.anchors == TokenAnchors::kSimulators) proved["insecure_simulator"] = true;
    ByteWriter state;
    state.Reserve(4096);
    state.Raw(secret.view()).Len1(endorsement.device_id()).Raw(Text(proved));
    return Secret(std::move(state).bytes());
  }

  absl::StatusOr<AttestedToken> Attest(const TokenEvidence& evidence, absl::string_view state,
                                       const EnrollmentContext&) const override {
    if (!evidence.opening->has_tpm() || !evidence.proof->has_tpm()) {
      return Refuse(Reason::kRequestMalformed, "the TPM's part is missing");
    }
    const v1::TpmEvidence& tpm = evidence.proof->tpm();
    ByteReader reader(state);
    const absl::string_view secret = reader.Raw(kActivationSecretSize);
    TpmDevice device;
    device.device_id = std::string(reader.Len1());
    const absl::string_view proved = reader.Rest();
    if (!reader.Finished()) return absl::InternalError("the ticket's TPM state is malformed");
    device.proved = nlohmann::json::parse(proved.begin(), proved.end(), nullptr,
                                          /*allow_exceptions=*/false);
    if (!ConstantTimeEqual(tpm.activated_secret(), secret)) {
      return Refuse(Reason::kActivationSecretWrong);
    }
    FOREKEY_ASSIGN_OR_RETURN(VerifiedAttestation attestation,
                             VerifyKey(evidence, std::move(device)));
    return AttestedToken{std::move(attestation), "", "", std::nullopt};
  }

  absl::Status Recheck(const TokenEvidence& evidence,
                       const EnrollmentContext& context) const override {
    FOREKEY_ASSIGN_OR_RETURN(const VerifiedEndorsement endorsement,
                             Endorse(evidence.opening->tpm(), context));
    FOREKEY_RETURN_IF_ERROR(VerifyAkPublic(evidence.opening->tpm().ak_public()).status());
    FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromSpki(evidence.proof->spki()));
    FOREKEY_RETURN_IF_ERROR(CheckRocaModulus(key.evp(), Reason::kKeyAlgorithm, "the key's"));
    if (options_.firmware.empty()) return absl::OkStatus();
    TpmDevice device;
    device.device_id = endorsement.device_id();
    device.proved = endorsement.proved();
    return VerifyKey(evidence, std::move(device)).status();
  }

 private:
  static std::string Text(const nlohmann::json& json) {
    return json.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  }

  // What the AK certified, and the firmware by which it did.
  absl::StatusOr<VerifiedAttestation> VerifyKey(const TokenEvidence& evidence,
                                                TpmDevice device) const {
    const v1::TpmEvidence& tpm = evidence.proof->tpm();
    FOREKEY_ASSIGN_OR_RETURN(const AttestationKey ak,
                             VerifyAkPublic(evidence.opening->tpm().ak_public()));
    device.firmware = &options_.firmware;
    return VerifyTpmKey(
        ak, TpmKeyEvidence{tpm.key_public(), tpm.certify_info(), tpm.certify_signature()},
        Sha256(evidence.statement), device);
  }

  absl::StatusOr<VerifiedEndorsement> Endorse(const v1::TpmOpening& tpm,
                                              const EnrollmentContext& context) const {
    if (tpm.ek_intermediates_size() > kMaxIntermediates) {
      return Refuse(Reason::kRequestMalformed, "more than 8 intermediates");
    }
    EndorsementEvidence evidence;
    evidence.ek_certificate = tpm.ek_certificate();
    evidence.ek_public = tpm.ek_public();
    for (const std::string& der : tpm.ek_intermediates()) {
      // One that does not parse can't be in a path; the others may be.
      absl::StatusOr<Certificate> certificate = Certificate::ParseDer(der);
      if (certificate.ok()) evidence.intermediates.push_back(*std::move(certificate));
    }
    EndorsementPolicy policy;
    policy.trust =
        context.anchors == TokenAnchors::kSimulators ? &options_.simulators : &options_.trust;
    policy.allowed_ek_hashes = options_.allowed_ek_hashes;
    policy.ek_algorithms = options_.ek_algorithms;
    policy.time = context.now;
    return VerifyEndorsement(evidence, policy);
  }

  const TpmVerifierOptions options_;
};

}  // namespace

std::unique_ptr<TokenVerifier> NewTpmVerifier(TpmVerifierOptions options) {
  return std::make_unique<TpmVerifier>(std::move(options));
}

TrustSource TpmTrustSource(const std::string& trust, const std::string& simulator_trust,
                           std::vector<std::string> allowed_ek_hashes, std::string firmware,
                           std::set<std::string> ek_algorithms) {
  const FirmwareSource list("attestation.tpm.firmware", std::move(firmware), trust);
  std::vector<std::string> paths = list.paths();
  paths.insert(paths.end(), {trust, simulator_trust});
  return {
      "attestation.tpm", std::move(paths),
      [trust, simulator_trust, list, allowed = std::move(allowed_ek_hashes),
       algorithms = std::move(ek_algorithms)]() -> absl::StatusOr<TrustReading> {
        TrustReading reading;
        TpmVerifierOptions options;
        options.allowed_ek_hashes = allowed;
        options.ek_algorithms = algorithms;
        FOREKEY_ASSIGN_OR_RETURN(options.firmware, list.Read());
        if (!trust.empty()) {
          FOREKEY_ASSIGN_OR_RETURN(
              options.trust, LoadTrustFolder(trust, "attestation.tpm.trust", &reading.left_out));
        }
        if (!simulator_trust.empty()) {
          FOREKEY_ASSIGN_OR_RETURN(
              options.simulators,
              LoadTrustFolder(simulator_trust, "attestation.tpm.simulator_trust",
                              &reading.left_out));
        }
        reading.detail =
            absl::StrCat(options.trust.anchors().size(), " certificates, ",
                         options.simulators.anchors().size(), " of simulators, ", allowed.size(),
                         " endorsement keys, ", FirmwareSource::Describe(options.firmware));
        reading.verifier = NewTpmVerifier(std::move(options));
        return reading;
      }};
}

}  // namespace forekey
