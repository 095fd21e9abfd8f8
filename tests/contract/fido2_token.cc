// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/fido2_token.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "src/base/status.h"
#include "src/crypto/digest.h"
#include "src/crypto/public_key.h"
#include "src/verify/webauthn_assertion.h"

namespace forekey {

SignOptions SignForGate() {
  SignOptions options;
  options.rp_id = kFidoRpId;
  options.origin = kFidoOrigin;
  return options;
}

forekey::v1::EnrollmentDemand DemandForGate(const std::vector<int>& algorithms, bool verify_user) {
  forekey::v1::EnrollmentDemand demand;
  demand.set_subject("ada");
  auto* fido2 = demand.mutable_fido2();
  fido2->set_rp_id(kFidoRpId);
  fido2->set_origin(kFidoOrigin);
  for (int algorithm : algorithms) fido2->add_algorithms(algorithm);
  fido2->set_user_verification(verify_user);
  fido2->set_user_handle("0123456789abcdef");
  return demand;
}

absl::StatusOr<std::string> EnrollFidoKey(Driver& driver, const std::string& uri,
                                          const forekey::v1::EnrollmentDemand& demand,
                                          EnrollOptions options,
                                          forekey::v1::EnrollmentProof* proof, std::string* spki) {
  FOREKEY_ASSIGN_OR_RETURN(auto enroller, driver.Enroll(uri, std::move(options)));
  FOREKEY_RETURN_IF_ERROR(enroller->Opening().status());
  FOREKEY_ASSIGN_OR_RETURN(std::string key, enroller->CreateKey(demand, "unkeyed"));
  if (spki != nullptr) *spki = std::move(key);
  FOREKEY_RETURN_IF_ERROR(enroller->Prove("keyed", proof));
  return enroller->KeyReference();
}

absl::StatusOr<std::unique_ptr<Fido2Token>> Fido2Token::New(fido2sim::SimulatorOptions options) {
  std::unique_ptr<Fido2Token> token(new Fido2Token);
  options.config.auto_touch = true;
  FOREKEY_ASSIGN_OR_RETURN(token->simulator_, fido2sim::Fido2Simulator::Start(std::move(options)));
  token->driver_ = std::make_unique<Fido2Driver>(std::vector<std::string>{token->uri()});
  FOREKEY_ASSIGN_OR_RETURN(const auto roots, Certificate::ParseAll(token->simulator_->root_pem()));
  for (const Certificate& root : roots) token->anchors_.Add(root);
  return token;
}

absl::StatusOr<forekey::v1::EnrollmentDemand> Fido2Token::Demand(
    const forekey::v1::EnrollmentOpening& opening) {
  if (!opening.has_fido2()) return absl::InvalidArgumentError("no FIDO2 opening");
  return DemandForGate();
}

absl::Status Fido2Token::CheckEvidence(absl::string_view spki, absl::string_view statement,
                                       const forekey::v1::EnrollmentProof& proof) {
  const RelyingParty party = RelyingParty::Of(kFidoRpId, kFidoOrigin);
  const std::string challenge = Sha256(kUnkeyedStatement);
  RegistrationOptions options;
  options.attestation_object = proof.fido2().attestation_object();
  options.client_data_json = proof.fido2().client_data_json();
  options.challenge = challenge;
  options.relying_party = &party;
  options.anchors = &anchors_;
  options.time = absl::Now();
  FOREKEY_ASSIGN_OR_RETURN(const VerifiedAttestation attestation, VerifyRegistration(options));
  if (attestation.key().spki() != spki) return absl::InternalError("an attestation of another key");
  DeviceSignature possession;
  possession.signature = proof.possession().signature();
  possession.authenticator_data = proof.possession().authenticator_data();
  possession.client_data_json = proof.possession().client_data_json();
  return CheckSignature(spki, statement, possession);
}

absl::Status Fido2Token::CheckSignature(absl::string_view spki, absl::string_view statement,
                                        const DeviceSignature& signature) {
  FOREKEY_ASSIGN_OR_RETURN(const PublicKey key, PublicKey::FromSpki(spki));
  const RelyingParty party = RelyingParty::Of(kFidoRpId, kFidoOrigin);
  const std::string challenge = Sha256(statement);
  AssertionOptions options;
  options.key = &key;
  options.authenticator_data = signature.authenticator_data;
  options.client_data_json = signature.client_data_json;
  options.signature = signature.signature;
  options.challenge = challenge;
  options.relying_party = &party;
  return VerifyAssertion(options).status();
}

absl::Status Fido2Token::LockOut(bool locked_out) {
  simulator_->WithAuthenticator([locked_out](fido2sim::Authenticator& authenticator) {
    authenticator.state().pin_retries = locked_out ? 0 : fido2sim::kPinRetries;
  });
  return absl::OkStatus();
}

int Fido2Token::Leftovers() {
  int discoverable = 0;
  simulator_->WithAuthenticator([&discoverable](fido2sim::Authenticator& authenticator) {
    for (const auto& credential : authenticator.state().credentials)
      discoverable += credential.discoverable;
  });
  return discoverable;
}

absl::StatusOr<std::unique_ptr<TokenUnderTest>> MakeFido2Token() {
  FOREKEY_ASSIGN_OR_RETURN(std::unique_ptr<TokenUnderTest> token, Fido2Token::New());
  return token;
}

}  // namespace forekey
