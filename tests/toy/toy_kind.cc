// SPDX-License-Identifier: Apache-2.0
#include "tests/toy/toy_kind.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/file.h"
#include "src/base/reason.h"
#include "src/base/status.h"
#include "src/crypto/random.h"

namespace forekey::testing {

std::string ToyAttestation(absl::string_view nonce, absl::string_view statement) {
  return absl::StrCat("toy attestation", nonce, statement);
}

absl::Status ToyVerifier::CheckSerial(const v1::EnrollmentOpening& opening) const {
  if (mistakes_.checks_nothing || absl::StartsWith(opening.custom(), "toy ")) {
    return absl::OkStatus();
  }
  return Refuse(Reason::kRequestMalformed, "a toy says its serial number");
}

absl::StatusOr<Secret> ToyVerifier::Demand(const v1::EnrollmentOpening& opening,
                                           const EnrollmentContext&,
                                           v1::EnrollmentDemand* demand) const {
  FOREKEY_RETURN_IF_ERROR(CheckSerial(opening));
  demand->set_custom(RandomBytes(16));
  return Secret::CopyOf(demand->custom());
}

absl::StatusOr<AttestedToken> ToyVerifier::Attest(const TokenEvidence& evidence,
                                                  absl::string_view state,
                                                  const EnrollmentContext& context) const {
  FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromSpki(evidence.proof->spki()));
  const bool simulators = context.anchors == TokenAnchors::kSimulators;
  const std::optional<PublicKey>& vendor = simulators ? simulator_ : vendor_;
  if (!mistakes_.checks_nothing &&
      (!vendor ||
       !vendor->Verify(ToyAttestation(state, evidence.statement), evidence.proof->custom()).ok())) {
    return Refuse(Reason::kCertificateUntrusted, simulators ? "no simulator's" : "no vendor's");
  }
  nlohmann::json proved = {{"model", "toy"}, {"serial", evidence.opening->custom()}};
  return AttestedToken{
      AttestationBuilder::Build(mistakes_.says_it_is.value_or(kind()),
                                mistakes_.attests.value_or(key), "", {"custom"}, std::move(proved)),
      "", "", std::nullopt};
}

absl::Status ToyVerifier::Recheck(const TokenEvidence& evidence, const EnrollmentContext&) const {
  return CheckSerial(*evidence.opening);
}

void ToyConfig::Read(ConfigTable& table, absl::string_view base) {
  table.Path("vendor", base, &vendor);
}

TrustSource ToyConfig::Trust(const TokenEnvironment&) const {
  return {"attestation.custom", {vendor}, [file = vendor]() -> absl::StatusOr<TrustReading> {
            FOREKEY_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 4096));
            FOREKEY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromSpki(absl::HexStringToBytes(
                                                        absl::StripTrailingAsciiWhitespace(text))));
            TrustReading reading;
            reading.detail = "one vendor of toys";
            reading.verifier = std::make_unique<ToyVerifier>(std::move(key));
            return reading;
          }};
}

std::unique_ptr<TokenVerifier> ToyConfig::WithoutTrust(const TokenEnvironment&) const {
  return std::make_unique<ToyVerifier>(std::nullopt);
}

}  // namespace forekey::testing
