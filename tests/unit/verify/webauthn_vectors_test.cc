// SPDX-License-Identifier: Apache-2.0
// WebAuthn Level 3, section "Test Vectors": registrations and assertions that are not ours.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "nlohmann/json.hpp"
#include "src/verify/webauthn_assertion.h"
#include "src/verify/webauthn_registration.h"
#include "src/wire/cose_key.h"
#include "tests/support/hex.h"
#include "tests/support/status_matchers.h"

namespace forekey {
namespace {

using testing::FromHex;
using testing::IsOk;
using testing::RefusedWith;

class WebAuthnVectorsTest : public ::testing::Test {
 protected:
  WebAuthnVectorsTest() {
    std::ifstream file(FOREKEY_SOURCE "/tests/data/webauthn/w3c_vectors.json");
    json_ = nlohmann::json::parse(file);
    anchors_.Add(*Certificate::ParseDer(FromHex(json_["root"].get<std::string>())));
    party_ =
        RelyingParty::Of(json_["rp_id"].get<std::string>(), json_["origin"].get<std::string>());
  }

  static std::string Hex(const nlohmann::json& object, const char* name) {
    return FromHex(object[name].get<std::string>());
  }

  // As a relying party that takes whatever the specification takes.
  absl::StatusOr<VerifiedAttestation> Register(const nlohmann::json& vector,
                                               WebAuthnPolicy policy) {
    const std::string object = Hex(vector, "attestation_object");
    const std::string client = Hex(vector, "client_data");
    const std::string challenge = Hex(vector, "challenge");
    RegistrationOptions options;
    options.attestation_object = object;
    options.client_data_json = client;
    options.challenge = challenge;
    options.relying_party = &party_;
    options.policy = std::move(policy);
    options.anchors = &anchors_;
    options.time = absl::FromUnixSeconds(1'800'000'000);
    return VerifyRegistration(options);
  }

  static WebAuthnPolicy Lax() {
    WebAuthnPolicy policy;
    policy.allow_self = policy.allow_none = policy.allow_backup_eligible = true;
    policy.allow_cross_origin = true;
    policy.require_fixed_tpm_key = false;
    return policy;
  }

  nlohmann::json Vector(const std::string& name) {
    for (const auto& vector : json_["vectors"]) {
      if (vector["name"] == name) return vector;
    }
    return nullptr;
  }

  nlohmann::json json_;
  TrustAnchors anchors_;
  RelyingParty party_;
};

TEST_F(WebAuthnVectorsTest, RegistrationsAndAssertionsVerify) {
  for (const auto& vector : json_["vectors"]) {
    SCOPED_TRACE(vector["name"].get<std::string>());
    const auto registered = Register(vector, Lax());
    ASSERT_THAT(registered, IsOk());
    const auto cose = CoseKey::Parse(Hex(vector, "public_key"));
    ASSERT_THAT(cose, IsOk());
    EXPECT_EQ(registered->key().spki(), cose->key.spki());

    const auto& assertion = vector["assertion"];
    const std::string auth_data = Hex(assertion, "authenticator_data");
    const std::string client = Hex(assertion, "client_data");
    const std::string signature = Hex(assertion, "signature");
    const std::string challenge = Hex(assertion, "challenge");
    AssertionOptions options;
    options.key = &cose->key;
    options.authenticator_data = auth_data;
    options.client_data_json = client;
    options.signature = signature;
    options.challenge = challenge;
    options.relying_party = &party_;
    options.allow_cross_origin = true;
    options.enrolled_backup_eligible = registered->proved()["flags"]["be"].get<bool>();
    EXPECT_THAT(VerifyAssertion(options), IsOk());
  }
}

TEST_F(WebAuthnVectorsTest, TheDefaultPolicyRefusesWhatProvesNoHardware) {
  WebAuthnPolicy policy = Lax();
  policy.allow_none = false;
  EXPECT_THAT(Register(Vector("none.ES256"), policy),
              RefusedWith(Reason::kAttestationFormatRefused));
  policy = Lax();
  policy.allow_self = false;
  EXPECT_THAT(Register(Vector("packed-self.ES256"), policy),
              RefusedWith(Reason::kAttestationFormatRefused));
  policy = Lax();
  policy.allow_backup_eligible = false;
  EXPECT_THAT(Register(Vector("packed.ES256"), policy), RefusedWith(Reason::kBackupEligible));
  policy = Lax();
  policy.allow_cross_origin = false;
  EXPECT_THAT(Register(Vector("none.ES256.crossOrigin"), policy),
              RefusedWith(Reason::kClientDataOrigin));
  EXPECT_THAT(Register(Vector("none.ES256.topOrigin"), policy),
              RefusedWith(Reason::kClientDataOrigin));
  policy = Lax();
  policy.require_fixed_tpm_key = true;
  EXPECT_THAT(Register(Vector("tpm.ES256"), policy), RefusedWith(Reason::kKeyAttributes));
}

TEST_F(WebAuthnVectorsTest, ACertificateOfAnotherRootIsUntrusted) {
  anchors_ = TrustAnchors();
  for (const char* name : {"packed.ES256", "tpm.ES256", "fido-u2f.ES256"}) {
    EXPECT_THAT(Register(Vector(name), Lax()), RefusedWith(Reason::kCertificateUntrusted)) << name;
  }
}

}  // namespace
}  // namespace forekey
